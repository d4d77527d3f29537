"""Report: the lake at a glance, a page that every run adds itself to."""

from __future__ import annotations

import base64
import io
import json
import os
import re
from datetime import date, timedelta
from typing import Any

import pytest
from PIL import Image

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.rows import Status
from imagelake.run.errors import StorageUnavailableError
from imagelake.run.models import FeedEntry, Run
from report.app import handler
from report.charts import Bar, chart
from report.contact_sheet import ShownImage
from report.glance import FeedDay, FeedGlance, Glance, LakeDay
from report.glance_images import MAX_IMAGES, newest_first, thumbnails
from report.glance_page import render_glance, size
from tests.support.factories import ENTRY, OTHER_ENTRY, RUN, Context, event, failed, item, jpeg, up_to_date
from tests.support.fake_lake import Lake
from tests.support.feed_results import closed, done
from tests.support.glances import UNTIL, day, glance_of, thumbnail
from tests.support.page_tags import Tags

HOSTILE = """<script>alert(1)</script>"'><img src=x onerror=alert(1)> &amp; \u202e"""


def run_of(number: int, **changes: Any) -> Run:
    """The daily run of a day of April 2026, at 05:00."""
    dt = (date(2026, 4, 1) + timedelta(days=number - 1)).isoformat()
    return RUN.model_copy(update={"run_id": f"daily-{dt}", "dt": dt, "started_at": f"{dt}T05:00:00Z", **changes})


def report(run: Run, *results: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = handler(event("report", run=run, results=list(results)), Context())
    return answer


def glance(lake: Lake) -> Glance:
    return lake.bucket.get_model(object_keys.GLANCE, Glance)


def page(lake: Lake) -> str:
    return lake.bucket.get(object_keys.GLANCE_PAGE).decode()


def read(number: int, feed: FeedEntry = ENTRY, **changes: Any) -> dict[str, Any]:
    """The result of a feed that was read from 04:00 of the day before."""
    at = (date(2026, 4, 1) + timedelta(days=number - 1)).isoformat()
    before = (date(2026, 4, 1) + timedelta(days=number - 2)).isoformat()
    values: dict[str, Any] = {
        "asked_from": f"{before}T04:00:00.000000Z", "oldest_at": f"{before}T04:00:00.000000Z", "pages": 1, "calls": 1,
        "bookmark": {"newest_id": f"{number}", "newest_at": f"{at}T04:00:00.000000Z"}, "new_posts": 9, "posts": 9,
    }  # fmt: skip
    return up_to_date(feed, **values | changes)


def shown(number: int, feed: str = "a", picture: bytes = b"", **changes: Any) -> ShownImage:
    row: Any = {
        "media_id": f"m{number}", "feed": feed, "source": "rss", "dt": "2026-04-01", "alt_text": None, "permalink": None
    }  # fmt: skip
    return ShownImage(row | changes, "data:image/jpeg;base64," + base64.b64encode(picture or jpeg()).decode())


def test_run_is_counted_with_its_images_its_size_and_its_cost(lake: Lake) -> None:
    made = closed(lake, item("a"), item("b"), item("c"), statuses=(Status.OK, Status.OK, Status.FAILED))
    report(run_of(1), done(lake, made, tolerance=50, cost_usd=0.25), failed())
    found = glance(lake)
    assert (found.runs, found.images, found.image_bytes) == (1, 2, 2 * len(jpeg()))
    assert found.feeds[ENTRY.feed_id].days == {"2026-04-01": FeedDay(images=2, missing=1)}
    assert found.feeds[OTHER_ENTRY.feed_id].days == {"2026-04-01": FeedDay(not_read=1)}
    (cost,) = found.days.values()
    assert (cost.runs, cost.not_ok, cost.usd_networks) == (1, 1, 0.25)
    assert cost.usd_aws > 0
    assert found.months == {"2026-04": cost}
    assert [image.media_id for image in found.newest] == [item("a").media_id, item("b").media_id]


def test_run_that_is_reported_twice_counts_once(lake: Lake) -> None:
    results = done(lake, closed(lake)), failed()
    report(run_of(1), *results)
    first = glance(lake), page(lake)
    report(run_of(2), read(2))
    second = glance(lake), page(lake)
    assert second != first
    for again in (run_of(2), run_of(1)):
        report(again, *results)
        assert (glance(lake), page(lake)) == second


def test_report_that_was_killed_between_figures_and_page_writes_the_page(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = Bucket.put

    def die(bucket: Bucket, key: str, *rest: Any) -> None:
        if key == object_keys.GLANCE_PAGE:
            raise StorageUnavailableError("killed")
        put(bucket, key, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Bucket, "put", die)
        with pytest.raises(StorageUnavailableError):
            report(run_of(1), read(1))
    report(run_of(1), read(1))
    assert glance(lake).runs == 1
    assert "daily-2026-04-01" in page(lake)


def test_two_runs_at_once_are_both_counted(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    write, others = Bucket.put_if_unchanged, iter([run_of(3), run_of(2)])

    def other_first(bucket: Bucket, key: str, *rest: Any) -> bool:
        if key == object_keys.GLANCE and (other := next(others, None)):
            report(other, read(2, OTHER_ENTRY))
        return write(bucket, key, *rest)

    monkeypatch.setattr(Bucket, "put_if_unchanged", other_first)
    report(run_of(1), read(1))
    found = glance(lake)
    assert sorted(found.counted) == [run_of(number).run_id for number in (1, 2, 3)]
    assert set(found.feeds) == {ENTRY.feed_id, OTHER_ENTRY.feed_id}
    assert found.last_run == "daily-2026-04-03"


def test_page_of_two_runs_at_once_has_both(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    put, others = Bucket.put, iter([run_of(2)])

    def other_first(bucket: Bucket, key: str, *rest: Any) -> None:
        if key == object_keys.GLANCE_PAGE and (other := next(others, None)):
            report(other, read(2, OTHER_ENTRY))
        put(bucket, key, *rest)

    monkeypatch.setattr(Bucket, "put", other_first)
    report(run_of(1), read(1))
    assert page(lake) == render_glance(glance(lake))
    assert OTHER_ENTRY.name in page(lake)


def test_figures_that_are_erased_while_a_page_is_written_do_not_stay(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    report(run_of(1), done(lake, closed(lake)))
    put, erasures = Bucket.put, iter([True])

    def erased_first(bucket: Bucket, key: str, *rest: Any) -> None:
        if key == object_keys.GLANCE_PAGE and next(erasures, False):
            smaller = glance(lake).model_copy(update={"newest": []})
            bucket.put_json(object_keys.GLANCE, smaller.model_dump(mode="json"))
        put(bucket, key, *rest)

    monkeypatch.setattr(Bucket, "put", erased_first)
    report(run_of(2), read(2))
    assert Tags(page(lake)).sources() == []


def test_run_that_loses_every_race_fails_and_can_be_retried(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Bucket.put_if_unchanged

    def lose(bucket: Bucket, key: str, *rest: Any) -> bool:
        return key != object_keys.GLANCE and write(bucket, key, *rest)

    monkeypatch.setattr("report.glance_objects._MAX_PAUSE", 0)
    with monkeypatch.context() as patch:
        patch.setattr(Bucket, "put_if_unchanged", lose)
        with pytest.raises(StorageUnavailableError, match=re.escape("reports/_glance.json")):
            report(run_of(1), read(1))
    report(run_of(1), read(1))
    assert glance(lake).runs == 1


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"feeds": 1}', b"\xff"])
def test_damaged_figures_start_anew(lake: Lake, body: bytes) -> None:
    lake.bucket.put(object_keys.GLANCE, body, "application/json")
    report(run_of(1), read(1))
    assert glance(lake).runs == 1


def test_several_runs_of_a_day_are_added(lake: Lake) -> None:
    report(run_of(1), done(lake, closed(lake, item("a"))))
    report(run_of(1, run_id="later"), done(lake, closed(lake, item("b"))))
    assert glance(lake).feeds[ENTRY.feed_id].days == {"2026-04-01": FeedDay(images=2)}
    assert glance(lake).days["2026-04-01"].runs == 2


def test_thirty_days_are_kept_and_a_feed_without_runs_leaves(lake: Lake) -> None:
    report(run_of(1), read(1), read(1, OTHER_ENTRY))
    for number in (2, 30, 31):
        report(run_of(number), read(number))
    found = glance(lake)
    assert found.dates == [(date(2026, 4, 2) + timedelta(days=ago)).isoformat() for ago in range(30)]
    assert list(found.days) == ["2026-04-02", "2026-04-30", "2026-05-01"]
    assert set(found.feeds) == {ENTRY.feed_id}
    assert list(found.feeds[ENTRY.feed_id].days) == list(found.days)
    assert list(found.months) == ["2026-04", "2026-05"]
    assert (found.runs, str(found.since)[:10]) == (4, "2026-04-01")


@pytest.mark.slow
def test_months_of_a_year_are_kept(lake: Lake) -> None:
    for number in range(1, 1 + 31 * 20, 31):
        report(run_of(number), read(number))
    months = list(glance(lake).months)
    assert (len(months), months[-1]) == (13, "2027-11")


def test_run_of_an_earlier_day_does_not_move_the_days_back(lake: Lake) -> None:
    report(run_of(60), read(60))
    report(run_of(1), failed(feed=ENTRY))
    found = glance(lake)
    assert (found.dates[-1], found.last_run) == ("2026-05-30", "daily-2026-05-30")
    assert found.feeds[ENTRY.feed_id].state == "complete"
    assert (found.runs, list(found.days)) == (2, ["2026-05-30"])


def test_gap_is_shown_until_a_run_has_read_it(lake: Lake) -> None:
    report(run_of(1), read(1))
    stopped = read(3, limit="posts", stopped_by="posts", oldest_at="2026-04-03T03:00:00.000000Z")
    stopped["plan"]["asked_from"] = "2026-04-01T04:00:00.000000Z"
    report(run_of(3), stopped)
    feed = glance(lake).feeds[ENTRY.feed_id]
    assert feed.state == "gap"
    assert "2 days with a gap" not in page(lake)
    assert "3 days with a gap" in page(lake)
    assert "2026-04-02: no run, gap" in page(lake)
    report(run_of(4), read(4, asked_from="2026-04-01T04:00:00.000000Z", oldest_at="2026-04-01T04:00:00.000000Z"))
    assert glance(lake).feeds[ENTRY.feed_id].gaps == []
    assert "0 days with a gap" in page(lake)


def test_older_gap_is_a_problem_of_its_feed_until_it_is_read(lake: Lake) -> None:
    report(run_of(1), read(1))
    # X bills posts, so its bookmark moves on, and the next run does not read the gap.
    x = FeedEntry(feed_id="x-1", name="x:NASA", config="x:NASA")
    report(run_of(2), read(2, x), read(2))
    stopped = read(3, x, limit="posts", stopped_by="posts", oldest_at="2026-04-03T03:00:00.000000Z", cost_usd=1.0)
    report(run_of(3), stopped, read(3))
    assert "1 with an open gap" in page(lake)
    report(run_of(4), read(4, x), read(4))
    assert glance(lake).feeds["x-1"].state == "complete"
    assert "1 with an open gap" in page(lake)
    assert '<span class="warn">older gap</span>' in page(lake)
    filled = {"asked_from": "2026-04-01T00:00:00Z", "asked_to": "", "oldest_at": "2026-04-01T00:00:00Z"}
    report(run_of(5), read(5, x, backfill=True, **filled), read(5))
    assert "all read, no open gap" in page(lake)
    assert "older gap</span>" not in page(lake)


@pytest.mark.parametrize("states", [["failed"], ["failed", "gap"], ["complete", "no_activity"], ["gap", "gap"]])
def test_feeds_with_a_problem_are_counted_by_its_kind(states: list[Any]) -> None:
    feeds = {
        f"f-{number}": FeedGlance(name="a", state=state, silent=False, run_at=UNTIL, days={day(0): FeedDay()})
        for number, state in enumerate(states)
    }
    text = render_glance(Glance(until=UNTIL, since=UNTIL, days={day(0): LakeDay(runs=4, not_ok=4)}, feeds=feeds))
    for state, words in (("failed", "failed in the last run"), ("gap", "with an open gap")):
        number = states.count(state)
        assert (f"{number} {words}" in text) == (number > 0)
    assert ("all read, no open gap" in text) == ({"failed", "gap"}.isdisjoint(states))
    assert "4 partial or failed" in text
    assert "no problem" not in text


def test_feed_that_is_not_requested_keeps_its_state(lake: Lake) -> None:
    report(run_of(1), read(1))
    report(run_of(2), failed("FeedBusyError", ENTRY))
    assert glance(lake).feeds[ENTRY.feed_id].state == "complete"


def test_plan_changes_nothing(lake: Lake) -> None:
    report(run_of(1, plan=True), read(1))
    assert lake.bucket.list("reports/_") == []
    assert not lake.bucket.exists(object_keys.GLANCE_PAGE)


def test_page_without_feeds_and_runs() -> None:
    text = render_glance(Glance())
    assert "No run is counted yet." in text
    assert not {tag for tag, _ in Tags(text).found} & {"svg", "table", "figure"}


def test_page_with_fifty_feeds_is_small_and_has_each() -> None:
    names = [f"bluesky:user-{number}.example" for number in range(50)]
    text = render_glance(glance_of(*names))
    tags = Tags(text)
    assert all(name in tags.text for name in names)
    assert sum(tag == "svg" and attrs.get("role") == "img" for tag, attrs in tags.found) == 52
    assert len(text) < 700_000


def test_page_with_very_many_feeds_shows_those_that_need_attention() -> None:
    lake = glance_of(*(f"rss:https://example.org/{number}/" for number in range(150)))
    text = Tags(render_glance(lake)).text
    assert "50 more are not shown." in text
    assert all(feed.name in text for feed in lake.feeds.values() if feed.state in ("gap", "failed") or feed.silent)


def test_page_when_everything_is_hostile() -> None:
    lake = glance_of(HOSTILE, "x" * 5000, alt=HOSTILE)
    images = [thumbnail(1, HOSTILE, "javascript:alert(1)"), thumbnail(2, HOSTILE, "https://a.example/?q=\"'<b>")]
    text = render_glance(lake.model_copy(update={"newest": images, "last_run": HOSTILE}))
    tags = Tags(text)
    assert {tag for tag, _ in tags.found}.isdisjoint({"script", "iframe", "link", "object", "form", "use", "image"})
    assert not [name for _, attrs in tags.found for name in attrs if name.startswith("on") or name == "style"]
    assert all(src.startswith("data:image/jpeg;base64,") for src in tags.sources())
    assert "javascript:" not in text
    assert "default-src 'none'" in text
    run, post = tags.links()
    assert re.fullmatch(r"[\w%.~-]+/index\.html", run)
    assert post == "https://a.example/?q=\"'<b>"


def test_name_is_only_in_the_text_of_a_row_and_an_image_only_in_its_figure() -> None:
    """An erasure replaces names in texts of rows, and figures by their media id."""
    text = render_glance(glance_of("bluesky:alice.example"))
    outside = re.sub(r'<tr data-feed="feed-0">.*?</tr>', "", text, flags=re.DOTALL)
    assert "alice" not in outside
    (row,) = re.findall(r'<tr data-feed="feed-0">.*?</tr>', text, re.DOTALL)
    assert row.count("alice") == 1
    assert "alice" in re.sub(r"<[^>]*>", "", row)
    without = re.sub(r'<figure id="(image-\d+)" data-item="([^"]*)">.*?</figure>', "", text, flags=re.DOTALL)
    assert "media-" not in without
    assert "data:image" not in without


def test_every_drawing_has_a_title_and_every_day_too() -> None:
    text = render_glance(glance_of("a", "b"))
    drawings = re.findall(r'<svg class="chart".*?</svg>', text, re.DOTALL)
    assert len(drawings) == 4
    for drawing in drawings:
        assert re.match(r'<svg class="chart" role="img"[^>]*><title>[^<]*30 days[^<]*</title>', drawing)
        assert drawing.count("<title>") == 1 + 30
    assert f"{day(8)}: no run" in drawings[0]
    assert "<table" in text.partition("<details>")[2]


@pytest.mark.parametrize(
    "values", [[(0, 0)], [(1, 0), (10**12, 0)], [(0, 1), (10**12, 1)], [(0.001, 0.002)], [(5, 5), (3, 0)]]
)
def test_bars_stay_inside_the_drawing(values: list[tuple[float, float]]) -> None:
    drawing = chart("title", [Bar("day", value) for value in values], ("one", "two"))
    rects = re.findall(r'class="(\w+)" x="\d+" y="([^"]+)" width="7" height="([^"]+)"', drawing)
    assert len(rects) == len(values) + sum(part > 0 for value in values for part in value)
    for name, y, height in rects:
        assert 0 <= float(y) <= float(y) + float(height) <= 62
        assert name == "base" or float(height) >= 1.9


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 KB"),
        (999_999, "1 MB"),
        (123_456_789, "123 MB"),
        (10**14, "100 TB"),
        (10**19, "10,000 PB"),
    ],
)
def test_size_has_three_digits(number: int, text: str) -> None:
    assert size(number) == text


def test_thumbnails_are_taken_in_turn_from_every_feed() -> None:
    made = thumbnails([shown(number, "a") for number in range(40)] + [shown(100, "b")])
    assert [image.media_id for image in made[:3]] == ["m0", "m100", "m1"]
    assert len(made) == MAX_IMAGES


def test_thumbnail_of_noise_has_a_limited_number_of_bytes() -> None:
    out = io.BytesIO()
    Image.frombytes("RGB", (512, 512), os.urandom(3 * 512 * 512)).save(out, "JPEG", quality=95)
    for image in thumbnails([shown(1, picture=out.getvalue(), permalink="https://a.example/" + "x" * 3000)]):
        assert len(image.src) < 16_100
        assert image.permalink is None


def test_newest_images_come_first_and_once() -> None:
    before = [thumbnail(number) for number in range(MAX_IMAGES)]
    after = newest_first([thumbnail(100), thumbnail(5)], before)
    assert [image.media_id for image in after[:4]] == ["media-100", "media-5", "media-0", "media-1"]
    assert len(after) == len({image.media_id for image in after}) == MAX_IMAGES


def test_image_that_is_sensitive_is_not_shown(lake: Lake) -> None:
    report(run_of(1), done(lake, closed(lake, sensitive=True)))
    assert glance(lake).newest == []


def test_figures_of_a_large_lake_are_a_small_object() -> None:
    lake = glance_of(*(f"bluesky:user-{number}.example" for number in range(50)))
    assert len(json.dumps(lake.model_dump(mode="json"))) < 400_000


def test_report_links_to_the_page(lake: Lake) -> None:
    answer = report(run_of(1), read(1))
    assert "../index.html" in Tags(lake.bucket.get(answer["report_key"]).decode()).links()
    assert "prefix=reports/index.html" in answer["message"]
    assert "daily-2026-04-01/index.html" in Tags(page(lake)).links()
