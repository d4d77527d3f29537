"""Report: the rows of the tables ``coverage`` and ``runs``, what is stored for the next run, and the notification."""

from __future__ import annotations

import gzip
import json
import shlex
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.coverage import CoverageRow, RunRow, columns, read_rows
from imagelake.run import prices
from imagelake.run.errors import StorageUnavailableError
from imagelake.run.models import FeedEntry, Run
from imagelake.run.settings import Settings
from imagelake.sources import Feed, get_source
from report.app import handler
from report.coverage import advance
from report.timeline import Timeline
from tests.support.factories import ENTRY, OTHER_ENTRY, RUN, Context, event, failed, item, up_to_date
from tests.support.fake_lake import Lake
from tests.support.feed_results import closed, done
from tests.support.sample import full
from tests.support.sent_metrics import sent_metrics

DOCS = Path(__file__).parents[3] / "docs"
TAG = FeedEntry(feed_id="instagram-cats", name="instagram:#cats", config="instagram:#cats")


def run_of(day: int, **changes: Any) -> Run:
    """The daily run of a day of April 2026, at 05:00."""
    dt = (date(2026, 4, 1) + timedelta(days=day - 1)).isoformat()
    return RUN.model_copy(
        update={"run_id": f"daily-{dt}", "dt": dt, "started_at": f"{dt}T05:00:00Z", "by_hand": False, **changes}
    )


def report(run: Run, *results: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = handler(event("report", run=run, results=list(results)), Context())
    return answer


def rows(lake: Lake, run: Run) -> list[CoverageRow]:
    return read_rows(lake.bucket, object_keys.coverage_rows(run), CoverageRow)


def read_until(day: int, feed: FeedEntry = ENTRY, **changes: Any) -> dict[str, Any]:
    """The result of a feed whose newest post is an hour older than the run of that day."""
    at = (date(2026, 4, 1) + timedelta(days=day - 1)).isoformat()
    before = (date(2026, 4, 1) + timedelta(days=day - 2)).isoformat()
    values: dict[str, Any] = {
        "asked_from": f"{before}T04:00:00.000000Z", "oldest_at": f"{before}T04:00:00.000000Z", "pages": 1, "calls": 1,
        "bookmark": {"newest_id": f"{day}", "newest_at": f"{at}T04:00:00.000000Z"}, "new_posts": 9, "posts": 9,
    }  # fmt: skip
    return up_to_date(feed, **values | changes)


def section(message: str, title: str) -> list[str]:
    _, _, text = message.partition(f"\n{title}:\n")
    return [line.strip() for line in text.split("\n\n")[0].splitlines()]


def test_rows_of_a_run_are_gzipped_json_lines_in_the_partition_of_its_day(lake: Lake) -> None:
    run = run_of(2)
    answer = report(run, read_until(2, rejected_posts=1, skipped_media={"video is not an image": 3}), failed())
    assert answer["outcome"] == "partial"
    body = lake.bucket.get("lake/coverage/dt=2026-04-02/daily-2026-04-02.json.gz")
    assert body[4:8] == bytes(4), "the gzip header holds no time"
    first, second = (json.loads(line) for line in gzip.decompress(body).splitlines())
    assert list(first) == [column.name for column in columns(CoverageRow)]
    shown = ("feed_id", "state", "requested_start", "requested_end", "read_start", "gap_start", "new_posts", "skipped")
    assert [first[name] for name in shown] == [
        ENTRY.feed_id, "complete", "2026-04-01 04:00:00", "2026-04-02 05:00:00", "2026-04-01 04:00:00", None, 9,
        {"video is not an image": 3},
    ]  # fmt: skip
    assert (second["feed"], second["state"], second["gap_reason"], second["source"]) == (
        "mastodon:x.example#cats", "failed", "SourceUnavailableError", "mastodon",
    )  # fmt: skip


def test_row_of_a_run_has_its_counts_and_its_cost(lake: Lake) -> None:
    results = done(lake, closed(lake, item("a"), item("b")), posts=3, new_posts=2, calls=4, cost_usd=0.25)
    run = RUN.model_copy(update={"by_hand": True})
    answer = report(run, results, failed("FeedBusyError"))
    (row,) = read_rows(lake.bucket, "lake/runs/dt=2026-04-01/daily-2026-04-01.json.gz", RunRow)
    assert (row.outcome, row.by_hand, row.feeds, row.complete, row.not_requested) == ("partial", True, 2, 1, 1)
    assert (row.ok, row.planned, row.batches, row.calls, row.posts, row.new_posts) == (2, 2, 1, 4, 3, 2)
    assert (row.usd_networks, row.usd_aws) == (0.25, round(prices.usd_of_run(2, 1, 2), 6))
    assert row.seconds == (row.reported_at - row.started_at).total_seconds()
    (line,) = section(answer["message"], "Cost")
    price = 1000 * (0.25 + row.usd_aws) / 2
    assert line == f"networks 0.250 USD, AWS about {row.usd_aws:.3f} USD; {price:.2f} USD per 1,000 new images"


def test_report_that_is_repeated_writes_nothing_new(lake: Lake) -> None:
    first = report(run_of(2), read_until(2), failed())
    stored = lake.stored()
    assert report(run_of(2), read_until(2), failed()) == first
    assert lake.stored() == stored


def test_report_that_was_killed_between_two_timelines_goes_on(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    report(run_of(1), read_until(1))
    put, results = lake.bucket.put_if_unchanged, (read_until(2), read_until(2, OTHER_ENTRY))

    def die(_: Any, key: str, *rest: Any) -> bool:
        if key == object_keys.timeline(OTHER_ENTRY.feed_id):
            raise RuntimeError
        return put(key, *rest)

    with monkeypatch.context() as patch:
        patch.setattr("imagelake.lake.bucket.Bucket.put_if_unchanged", die)
        with pytest.raises(RuntimeError):
            report(run_of(2), *results)
    assert not lake.bucket.exists(object_keys.coverage_rows(run_of(2)))
    report(run_of(2), *results)
    written = lake.bucket.get(object_keys.coverage_rows(run_of(2)))
    report(run_of(2), *results)
    assert lake.bucket.get(object_keys.coverage_rows(run_of(2))) == written
    timelines = [lake.bucket.get_model(object_keys.timeline(one.feed_id), Timeline) for one in (ENTRY, OTHER_ENTRY)]
    assert [one.run_id for one in timelines] == ["daily-2026-04-02"] * 2
    assert timelines[0].days == {"2026-04-02": 9}, "counted once"


@pytest.mark.slow
@pytest.mark.parametrize("repeated", [1, 2, 3])
def test_report_that_is_repeated_after_later_runs_changes_no_timeline(lake: Lake, repeated: int) -> None:
    """A gap that a later run has closed stays closed, posts count once, and the bookmark does not go back."""
    stopped: dict[str, Any] = {
        "stopped_by": "rate_limit", "limit": "rate_limit", "oldest_at": "2026-04-01T20:00:00.000000Z",
        "bookmark": {"newest_id": "", "newest_at": ""},
    }  # fmt: skip
    again: dict[str, Any] = {"asked_from": "2026-04-01T04:00:00.000000Z", "oldest_at": "2026-04-01T04:00:00.000000Z"}
    results = [read_until(1), read_until(2, **stopped), read_until(3, **again), read_until(4)]
    for day, result in enumerate(results, 1):
        report(run_of(day), result)
    before = lake.bucket.get_model(object_keys.timeline(ENTRY.feed_id), Timeline)
    assert before.gaps == []
    report(run_of(repeated), results[repeated - 1])
    assert lake.bucket.get_model(object_keys.timeline(ENTRY.feed_id), Timeline) == before


def test_next_run_knows_the_gap_and_closes_it(lake: Lake) -> None:
    report(run_of(1), read_until(1))
    stopped: dict[str, Any] = {"stopped_by": "posts", "limit": "posts", "oldest_at": "2026-04-01T22:30:15.500000Z"}
    no_bookmark = {"newest_id": "", "newest_at": ""}
    answer = report(run_of(2), read_until(2, bookmark=no_bookmark, **stopped))
    (row,) = rows(lake, run_of(2))
    assert (row.state, row.gap_reason, row.recoverable_until) == ("gap", "posts", None)
    assert section(answer["message"], "Coverage") == [
        "0 of 1 feed complete",
        f"{ENTRY.name}: gap 2026-04-01 05:00 to 2026-04-01 22:30 UTC (posts): ./imagelake backfill {ENTRY.name}"
        " --since 2026-04-01 --stack imagelake",
    ]
    failing = report(run_of(3), failed(feed=ENTRY))
    # The feed is among those that need attention; the earlier gap is still open.
    assert len(section(failing["message"], "Coverage")) == 2
    answer = report(run_of(4), read_until(4, asked_from="2026-04-01T04:00:00.000000Z"))
    assert section(answer["message"], "Coverage") == ["1 of 1 feed complete"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "hint"),
    [
        ({"source": "x", "account": "NASA", "budget_usd_per_day": 2.0}, ""),
        ({"source": "x", "account": "NASA", "form": "timeline", "cost_cap_usd": 1, "budget_usd_per_month": 9}, ""),
        ({"source": "rss", "account": "https://site.example/it's", "limit": 5}, ""),
        ("bluesky:alice.example.com", ""),
        ({"source": "rss", "account": "https://me:secret@site.example/feed"}, "REDACTED)"),
    ],
)
def test_command_that_fills_a_gap_has_the_whole_definition_of_the_feed(
    lake: Lake, config: Any, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Budgets are settings of a feed: without them, the command would spend more than the owner of the feed allows."""
    monkeypatch.setenv("STACK_NAME", "my-lake")
    Settings.load.cache_clear()
    feed = FeedEntry(feed_id="feed-1", name="x:NASA", config=config)
    report(run_of(1), read_until(1, feed))
    stopped = {"stopped_by": "budget", "limit": "budget", "oldest_at": "2026-04-01T20:00:00.000000Z"}
    answer = report(run_of(2), read_until(2, feed, **stopped))
    (line,) = (one for one in section(answer["message"], "Coverage") if "./imagelake" in one)
    assert line.endswith(hint)
    assert "secret" not in line
    command = shlex.split(line.partition(": ./imagelake ")[2].partition(" (first")[0])
    assert (command[0], command[2:]) == ("backfill", ["--since", "2026-04-01", "--stack", "my-lake"])
    shown = json.loads(command[1]) if isinstance(config, dict) else command[1]
    assert shown == (config if not hint else config | {"account": "https://REDACTED@site.example/feed"})


def test_command_for_a_lake_on_this_machine_names_no_stack(lake: Lake) -> None:
    arn = "arn:aws:states:us-east-1:000000000000:execution:Machine:run"
    report(run_of(1, execution_arn=arn), read_until(1))
    stopped: dict[str, Any] = {"stopped_by": "posts", "limit": "posts", "oldest_at": "2026-04-01T22:30:15.500000Z"}
    answer = report(run_of(2, execution_arn=arn), read_until(2, **stopped))
    assert section(answer["message"], "Coverage")[1].endswith(" --since 2026-04-01")
    assert "console" not in answer["message"]
    assert "Report:    reports/daily-2026-04-02/index.html" in section(answer["message"], "Where to look")


@pytest.mark.parametrize(("calls", "usd"), [(2, 0.1), (1, 0.005), (0, 0.0)])
def test_bill_of_a_feed_that_failed_counts(lake: Lake, calls: int, usd: float) -> None:
    answer = report(
        run_of(2), read_until(2, OTHER_ENTRY, cost_usd=0.2), failed(feed=ENTRY) | {"calls": calls, "cost_usd": usd}
    )
    row = next(row for row in rows(lake, run_of(2)) if row.feed_id == ENTRY.feed_id)
    assert (row.state, row.calls, row.usd) == ("failed", calls, usd)
    (run_row,) = read_rows(lake.bucket, object_keys.run_rows(run_of(2)), RunRow)
    assert run_row.usd_networks == pytest.approx(0.2 + usd)
    assert (f"{ENTRY.name}: failed after {usd:.3f} USD" in answer["message"]) is bool(usd)


@pytest.mark.slow
@pytest.mark.parametrize("others", [1, 2, 5])
def test_reports_of_one_feed_at_once_lose_no_posts(lake: Lake, monkeypatch: pytest.MonkeyPatch, others: int) -> None:
    """Windows of a stream have no lease: https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html"""
    config = {"source": "stream", "account": "posts", "window": "w1"}
    feed = FeedEntry(feed_id="stream-1", name="stream:posts", config=config)
    report(run_of(1), read_until(1, feed))
    waiting, real = list(range(others)), advance

    def late(before: Timeline, row: CoverageRow, dt: str) -> Timeline:
        """Let another report store its timeline between the reading and the writing of this one."""
        if waiting:
            number = waiting.pop()
            report(run_of(2, run_id=f"other-{number}"), read_until(2, feed, new_posts=7))
        return real(before, row, dt)

    monkeypatch.setattr("report.run_coverage.advance", late)
    report(run_of(2), read_until(2, feed, new_posts=5))
    timeline = lake.bucket.get_model(object_keys.timeline(feed.feed_id), Timeline)
    assert timeline.days == {"2026-04-02": 5 + 7 * others}


def spans(lake: Lake, feed: FeedEntry = ENTRY) -> list[tuple[str, str]]:
    """The spans of all rows of a feed that are not empty, in the order of time."""
    found = [
        (f"{row.span_start:%m-%d %H}", f"{row.span_end:%m-%d %H}")
        for key in lake.bucket.list("lake/coverage/")
        for row in read_rows(lake.bucket, key, CoverageRow)
        if row.feed_id == feed.feed_id and row.span_start and row.span_end and row.span_start < row.span_end
    ]
    return sorted(found)


def report_is_killed(monkeypatch: pytest.MonkeyPatch, key: str, run: Run, *results: dict[str, Any]) -> None:
    """Report a run whose report ends before it writes an object, in every try."""
    write = Bucket.put_if_unchanged

    def killed(bucket: Bucket, name: str, *rest: Any) -> bool:
        if name == key:
            raise StorageUnavailableError("killed")
        return write(bucket, name, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Bucket, "put_if_unchanged", killed)
        with pytest.raises(StorageUnavailableError):
            report(run, *results)


FROM_DAY_1: dict[str, Any] = {"asked_from": "2026-04-01T04:00:00.000000Z", "oldest_at": "2026-04-01T04:00:00.000000Z"}


@pytest.fixture(params=["rows", "timeline of the second feed"])
def killed_report(lake: Lake, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> tuple[FeedEntry, ...]:
    """The feeds of a run whose report was killed before it wrote one of its objects."""
    key = object_keys.timeline(OTHER_ENTRY.feed_id) if request.param != "rows" else object_keys.coverage_rows(run_of(2))
    feeds = (ENTRY, OTHER_ENTRY)
    report(run_of(1), *(read_until(1, feed) for feed in feeds))
    report_is_killed(monkeypatch, key, run_of(2), *(read_until(2, feed) for feed in feeds))
    return feeds


def test_report_that_ends_before_its_rows_are_written_adds_no_span_twice(
    lake: Lake, killed_report: tuple[FeedEntry, ...]
) -> None:
    feeds = killed_report
    # It is never repeated, so the next run has its time too.
    report(run_of(3), *(read_until(3, feed, **FROM_DAY_1) for feed in feeds))
    for feed in feeds:
        assert spans(lake, feed)[1:] == [("04-01 05", "04-03 05")]
    # Then somebody repeats it after all.
    report(run_of(2), *(read_until(2, feed) for feed in feeds))
    report(run_of(4), *(read_until(4, feed) for feed in feeds))
    for feed in feeds:
        assert spans(lake, feed)[1:] == [("04-01 05", "04-03 05"), ("04-03 05", "04-04 05")]


def test_report_that_is_repeated_makes_the_same_rows(lake: Lake, killed_report: tuple[FeedEntry, ...]) -> None:
    feeds = killed_report
    for _ in range(2):
        report(run_of(2), *(read_until(2, feed) for feed in feeds))
        for feed in feeds:
            assert spans(lake, feed)[1:] == [("04-01 05", "04-02 05")]
            timeline = lake.bucket.get_model(object_keys.timeline(feed.feed_id), Timeline)
            assert timeline.days == {"2026-04-02": 9}, "its posts count once"
    assert [(row.feed, row.state) for row in rows(lake, run_of(2))] == [(feed.name, "complete") for feed in feeds]


@pytest.mark.parametrize("stops", [0, 1, 3])
def test_posts_that_a_run_reads_again_after_a_limit_count_once(lake: Lake, stops: int) -> None:
    """A run that stops at its limit leaves the bookmark, so the next one reads the same posts as new ones."""
    stopped: dict[str, Any] = {
        "stopped_by": "posts", "limit": "posts", "bookmark": {"newest_id": "", "newest_at": ""}, **FROM_DAY_1,
        "oldest_at": "2026-04-01T20:00:00.000000Z", "new_posts": 50,
    }  # fmt: skip
    report(run_of(1), read_until(1, new_posts=20, images=20))
    for day in range(2, 2 + stops):
        known = 0 if day == 2 else 60
        report(run_of(day), read_until(day, **stopped, images=60, already_known=known))
    last = 2 + stops
    report(run_of(last), read_until(last, new_posts=100, images=120, already_known=60 if stops else 0, **FROM_DAY_1))
    timeline = lake.bucket.get_model(object_keys.timeline(ENTRY.feed_id), Timeline)
    assert (timeline.posts, timeline.images) == (120, 140)


def test_timeline_names_nobody(lake: Lake) -> None:
    """An erasure looks for names in the table, not here."""
    for day in (1, 2):
        report(run_of(day), read_until(day), failed("SourceUnavailableError", OTHER_ENTRY))
    for entry in (ENTRY, OTHER_ENTRY):
        stored = lake.bucket.get(object_keys.timeline(entry.feed_id)).decode()
        assert entry.name.partition(":")[2] not in stored


@pytest.mark.parametrize("first", [5, 1])
def test_windows_of_a_stream_that_end_at_one_time_have_the_span_once(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    config = {"source": "stream", "account": "posts", "window": "w1"}
    feed = FeedEntry(feed_id="stream-1", name="stream:posts", config=config)
    report(run_of(1), read_until(1, feed))
    names, real = [f"window-{number}" for number in range(first)], advance

    def late(before: Timeline, row: CoverageRow, dt: str) -> Timeline:
        """Let another report store its timeline between the reading and the writing of this one."""
        if names:
            report(run_of(2, run_id=names.pop()), read_until(2, feed))
        return real(before, row, dt)

    monkeypatch.setattr("report.run_coverage.advance", late)
    report(run_of(2), read_until(2, feed))
    assert spans(lake, feed)[1:] == [("04-01 05", "04-02 05")]
    written = [rows(lake, run_of(2, run_id=f"window-{number}")) for number in range(first)]
    assert [len(one) for one in written] == [1] * first


@pytest.mark.slow
def test_one_silence_is_noticed_once_until_a_new_post_comes(lake: Lake) -> None:
    """10 posts are usual on Mondays, Wednesdays and Fridays, 2 on other days; 2026-04-01 is a Wednesday."""
    noticed = []
    for day in range(1, 40):
        is_busy = date.fromisoformat(run_of(day).dt).weekday() in (0, 2, 4)
        number = 0 if 20 < day < 35 or day > 35 else 10 if is_busy else 2
        values: dict[str, Any] = {"new_posts": number, "posts": number, "images": number, "already_known": 0}
        result = failed(feed=ENTRY) if day == 26 else read_until(day, **values)
        answer = report(run_of(day), result)
        noticed += [day] if answer["outcome"] == "ok" and answer["notify"] else []
    assert noticed == [22, 38], "after two weeks of silence, 5 posts are usual on a Wednesday"


@pytest.mark.slow
@pytest.mark.parametrize("config", ["nonsense", {"source": "blusky", "account": "a.example"}, 7, {"account": "a"}])
def test_feed_that_no_run_can_read_leaves_no_gap(lake: Lake, config: Any) -> None:
    wrong = FeedEntry(feed_id="bad-1", name="nonsense", config=config)
    for day in (1, 2):
        report(run_of(day), failed("BadFeedError", wrong))
        (row,) = rows(lake, run_of(day))
        assert (row.state, row.gap_reason, row.span_start, row.gap_start) == ("failed", "BadFeedError", None, None)
    assert lake.bucket.get_model(object_keys.timeline("bad-1"), Timeline).gaps == []


@pytest.mark.slow
def test_message_has_at_most_ten_lines_about_coverage(lake: Lake) -> None:
    feeds = [
        FeedEntry(feed_id=f"feed-{n}", name=f"bluesky:u{n}.example", config=f"bluesky:u{n}.example") for n in range(15)
    ]
    report(run_of(1), *(read_until(1, feed) for feed in feeds))
    stopped: dict[str, Any] = {"stopped_by": "posts", "limit": "posts", "oldest_at": "2026-04-01T22:30:15.500000Z"}
    answer = report(run_of(2), *(read_until(2, feed, **stopped) for feed in feeds))
    *lines, last = section(answer["message"], "Coverage")
    assert (len(lines), last) == (10, "and 6 more: see the report")


def test_gap_that_is_lost_soon_is_a_metric_and_has_a_time(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    report(run_of(1), up_to_date(TAG))
    capsys.readouterr()
    answer = report(run_of(2), up_to_date(TAG, limit="posts", new_posts=50))
    assert sent_metrics(capsys)["HoursUntilLost"] == 0
    assert "the network stops listing it now: ./imagelake backfill" in answer["message"]
    report(run_of(2, run_id="complete", started_at="2026-04-02T05:01:00Z"), up_to_date(TAG, new_posts=50))
    answer = report(run_of(2, run_id="later", started_at="2026-04-02T09:30:00Z"), failed("RateLimitedError", TAG))
    assert section(answer["message"], "Coverage")[1] == (
        "instagram:#cats: gap 2026-04-02 05:01 to 2026-04-02 09:30 UTC (RateLimitedError), lost after 2026-04-03 05:01"
        " UTC: ./imagelake backfill 'instagram:#cats' --since 2026-04-02 --stack imagelake"
    )
    assert sent_metrics(capsys)["HoursUntilLost"] == pytest.approx(19.5 + 1 / 60)


def test_metric_is_not_sent_without_a_gap_that_can_be_lost(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    report(run_of(1), read_until(1))
    report(run_of(2), failed(feed=ENTRY))
    assert "HoursUntilLost" not in sent_metrics(capsys)


@pytest.mark.slow
@pytest.mark.parametrize(("usual", "silent"), [(6, True), (5, False), full(31, True), full(0, False)])
def test_silence_is_a_day_without_posts_where_more_than_five_are_usual(lake: Lake, usual: int, silent: bool) -> None:
    """The usual number is that of the same weekday."""
    report(run_of(1), read_until(1))
    for day in range(2, 30):
        report(run_of(day), read_until(day, new_posts=usual if day % 7 == 2 else 1))
    answer = report(run_of(30), read_until(30, new_posts=0, asked_from="2026-04-29T04:00:00.000000Z"))
    (row,) = rows(lake, run_of(30))
    assert (row.state, row.usual, row.silent) == ("no_activity", usual, silent)
    assert answer["notify"] is silent
    assert (f"{ENTRY.name}: silent, no new post; {usual} are usual on this weekday" in answer["message"]) is silent
    again = report(run_of(31), read_until(31, new_posts=0, asked_from="2026-04-29T04:00:00.000000Z"))
    assert again["notify"] is False, "the next run does not repeat it"


def test_usual_number_is_the_median_of_the_last_14_same_weekdays(lake: Lake) -> None:
    timeline = Timeline.model_validate({
        "begin": "2025-01-01 00:00:00", "until": "2026-04-01 05:00:00", "bookmark_at": "2026-04-01 04:00:00",
        "days": {(date(2026, 4, 2) - timedelta(weeks=week)).isoformat(): week for week in range(1, 21)},
    })  # fmt: skip
    lake.bucket.put_json(object_keys.timeline(ENTRY.feed_id), timeline.model_dump(mode="json"))
    report(run_of(2), read_until(2))
    (row,) = rows(lake, run_of(2))
    assert row.usual == 10.5, "all twenty were stored"
    days = lake.bucket.get_model(object_keys.timeline(ENTRY.feed_id), Timeline).days
    assert (len(days), min(days), days["2026-04-02"]) == (14, "2026-01-01", 9)


def test_several_runs_of_a_day_are_counted_together(lake: Lake) -> None:
    report(run_of(1), read_until(1))
    for hour in (5, 11, 17):
        report(run_of(2, run_id=f"at-{hour}", started_at=f"2026-04-02T{hour:02d}:00:00Z"), read_until(2, new_posts=4))
    days = lake.bucket.get_model(object_keys.timeline(ENTRY.feed_id), Timeline).days
    assert days == {"2026-04-02": 12}


def test_feed_that_failed_after_its_plan_is_covered_by_what_its_bookmark_shows(lake: Lake) -> None:
    """The result of a failed feed has no plan, but the bookmark has moved."""
    report(run_of(1), read_until(1))
    report(run_of(2), failed("ReconciliationError", ENTRY))
    answer = report(run_of(3), read_until(3))
    assert section(answer["message"], "Coverage") == ["1 of 1 feed complete"]
    (row,) = rows(lake, run_of(3))
    assert (str(row.unreported_start)[:16], str(row.unreported_end)[:16]) == ("2026-04-01 04:00", "2026-04-02 04:00")


def test_first_run_that_a_rate_limit_ends_has_a_gap_without_a_begin(lake: Lake) -> None:
    stopped: dict[str, Any] = {
        "stopped_by": "rate_limit",
        "limit": "rate_limit",
        "oldest_at": "2026-03-30T10:00:00.000000Z",
    }
    report(run_of(1), read_until(1, asked_from="", bookmark={"newest_id": "", "newest_at": ""}, **stopped))
    (row,) = rows(lake, run_of(1))
    assert (row.state, row.gap_start, str(row.gap_end)) == ("gap", None, "2026-03-30 10:00:01+00:00")


def test_backfill_that_fails_adds_no_time(lake: Lake) -> None:
    report(run_of(1), read_until(1))
    older = ENTRY.model_copy(
        update={"config": {"source": "bluesky", "account": "alice.example.com", "since": "2025-01-01"}}
    )
    answer = report(run_of(2), failed(feed=older))
    (row,) = rows(lake, run_of(2))
    assert (row.state, row.backfill, row.span_start, row.gap_start) == ("failed", True, None, None)
    assert section(answer["message"], "Coverage") == ["0 of 1 feed complete"]


def test_feed_without_a_plan_and_without_an_error_was_not_requested(lake: Lake) -> None:
    report(run_of(1), read_until(1))
    report(run_of(2), {"feed": ENTRY.model_dump(), "status": "up_to_date"})
    (row,) = rows(lake, run_of(2))
    assert (row.state, row.span_start, row.gap_start) == ("not_requested", None, None)


def test_execution_of_an_earlier_version_has_no_start(lake: Lake) -> None:
    report(run_of(1, started_at=""), up_to_date())
    (row,) = rows(lake, run_of(1))
    assert str(row.requested_end) == "2026-04-01 00:00:00+00:00"


@pytest.mark.parametrize(
    "config", ["nothing", "nosuch:bob", {"source": "nosuch", "account": "bob"}, {"source": "x", "window": "a"}, 7]
)
def test_wrong_feed_has_a_row_too(lake: Lake, config: Any) -> None:
    wrong = FeedEntry(feed_id="bad-1", name="nothing", config=config)
    report(run_of(1), failed("BadFeedError", wrong))
    (row,) = rows(lake, run_of(1))
    assert (row.state, row.source) == ("failed", None)


@pytest.mark.parametrize(
    ("feed", "hours", "posts"),
    [
        ("instagram:#cats", 24, None),
        ("instagram:me", None, 10_000),
        ("x:#cats", 168, None),
        ("x:NASA", 168, None),
        ({"source": "x", "account": "NASA", "form": "timeline"}, None, 3_200),
        ("rss:https://example.org/feed", None, 1),
        ("mastodon:server.example@alice", None, None),
        ("stream:posts", None, None),
    ],
)
def test_look_back_of_a_feed(feed: Any, hours: int | None, posts: int | None) -> None:
    """https://developers.facebook.com/docs/instagram-platform/instagram-graph-api/reference/ig-hashtag/recent-media
    and https://docs.x.com/x-api/posts/search-recent-posts"""
    defined = Feed.of(feed)
    found = get_source(defined.source).manifest.lookback_of(defined)
    assert (found.time and found.time / timedelta(hours=1), found.posts) == (hours, posts)


def test_docs_list_every_column() -> None:
    _, coverage, runs = (DOCS / "coverage.md").read_text().split("\n## Columns of ")
    for text, model in ((coverage, CoverageRow), (runs, RunRow)):
        shown = [line for line in text.splitlines() if line.startswith("| `")]
        assert shown == [f"| `{one.name}` | `{one.type}` | {one.meaning} |" for one in columns(model)]
