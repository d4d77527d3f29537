"""Erase Reports: images, lines and names leave a report, its counts stay, and everything else is byte for byte."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any, cast

import pytest

from erase_reports import page
from erase_reports.app import handler
from erase_reports.names import ReportedFeed, without_ids
from imagelake.lake import object_keys
from imagelake.lake.erased_objects import ErasedObjects
from imagelake.lake.rows import Status
from imagelake.lake.suppression import SuppressionList, hash_of
from imagelake.run.models import FeedEntry
from report.app import handler as report
from tests.support.erasures import ERASURE_ID, Killed, killed_at, request_erasure, restore, saved, versions
from tests.support.factories import ENTRY, RUN, Context, event, failed, item, up_to_date
from tests.support.fake_lake import Lake
from tests.support.feed_results import closed, done

PAGE = object_keys.html_report(RUN.run_id)
SUMMARY = object_keys.run_summary(RUN.run_id)
FAILURES = object_keys.failures(RUN.run_id, ENTRY.feed_id)
ALICE = "did:plc:alice"
STATUSES = (Status.OK, Status.OK, Status.REJECTED, Status.FAILED)
BOBS = FeedEntry(feed_id="bluesky-0123456789abcdef", name="bluesky:bob.example", config="bluesky:bob.example")
MESSAGE = "bluesky:bob.example: 'bob.example' answered nothing; see bob.example/help and bob.example2"


def erase(erasure_id: str = ERASURE_ID) -> dict[str, int]:
    return call({"run_id": RUN.run_id, "dt": RUN.dt}, erasure_id)


def call(report: dict[str, Any], erasure_id: str = ERASURE_ID) -> dict[str, int]:
    example = event("erase_reports", report=report)
    example["erasure"]["erasure_id"] = erasure_id
    answer: dict[str, int] = handler(example, cast(Any, Context()))
    return answer


def make_report(lake: Lake, *more: dict[str, Any], **row: Any) -> None:
    """Report a run with two images, a rejected and a failed item, and other feeds."""
    items = [item(one, permalink=f"https://bsky.app/{one}", caption=f"text {one}") for one in ("a", "b", "c", "d")]
    made = closed(lake, *items, statuses=STATUSES, **row)
    results = [done(lake, made, tolerance=50), *more]
    report(event("report", results=results), cast(Any, Context()))


def media_ids(*names: str) -> list[str]:
    return [item(one).media_id for one in names]


class Page(HTMLParser):
    """The tags of a page, which are all closed in the right order, and its texts."""

    def __init__(self, lake: Lake) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.ids: list[str] = []
        self.feed(lake.bucket.get(PAGE).decode())
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [str(value) for name, value in attrs if name in ("id", "data-item")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_example_event(lake: Lake) -> None:
    request_erasure(lake, media_ids=["x/1"])
    assert handler(event("erase_reports"), cast(Any, Context())) == {"changed": 0, "erased": 0}


def test_image_leaves_the_page(lake: Lake) -> None:
    request_erasure(lake, media_ids=media_ids("a"))
    make_report(lake)
    before = lake.bucket.get(PAGE).decode()
    assert erase() == {"changed": 1, "erased": 1}
    after, read = lake.bucket.get(PAGE).decode(), Page(lake)
    start, end = before.index('<figure id="image-0"'), before.index('\n<figure id="image-1"')
    assert after == f'{before[:start]}<figure id="image-0"><figcaption>erased</figcaption></figure>{before[end:]}'
    assert read.ids == [*media_ids("c", "d"), "images", "image-0", "image-1", *media_ids("b")]
    assert len(versions()[PAGE]) == 1
    assert erase() == {"changed": 0, "erased": 0}


def test_failed_items_leave_the_page_and_the_list(lake: Lake) -> None:
    request_erasure(lake, media_ids=media_ids("c"))
    make_report(lake)
    _, second = lake.bucket.get(FAILURES).splitlines(keepends=True)
    assert erase() == {"changed": 2, "erased": 2}
    assert lake.bucket.get(FAILURES) == second
    text = lake.bucket.get(PAGE).decode()
    assert "https://bsky.app/c" not in text
    assert '<tr><td colspan="4">erased</td></tr>' in text
    assert "https://bsky.app/d" in text
    assert Page(lake).ids.count(media_ids("c")[0]) == 0


def test_near_duplicate_does_not_name_its_erased_original(lake: Lake) -> None:
    (gone,) = media_ids("gone")
    request_erasure(lake, media_ids=[gone])
    closed(lake, item("gone"))
    make_report(lake, duplicate_of=gone, duplicate_kind="crop")
    assert erase()["changed"] == 1
    text = lake.bucket.get(PAGE).decode()
    assert (gone in text, text.count('<a class="near">near duplicate: crop</a>')) == (False, 2)


def test_all_items_of_an_author(lake: Lake) -> None:
    """The search puts the media ids on the list too; lines of failures are also found by ids inside their URLs."""
    request_erasure(lake, authors=[{"source": "bluesky", "author_id": ALICE}], media_ids=media_ids("a", "b", "c", "d"))
    make_report(lake)
    before = lake.bucket.get_json(SUMMARY)
    assert erase()["erased"] == 6
    read = Page(lake)
    assert read.ids == ["images", "image-0", "image-1"]
    # The name of a status is "erased" too.
    assert read.texts.count("erased") == 2 + 4
    assert lake.bucket.get(FAILURES) == b""
    assert lake.bucket.get_json(SUMMARY) == before


@pytest.mark.parametrize(
    "line",
    [
        {"media_id": "m", "feed": "bluesky:#cats", "post_id": f"at://{ALICE}/app.bsky.feed.post/1"},
        {"media_id": "m", "feed": "bluesky:#cats", "post_id": None, "permalink": ALICE},
        {"media_id": "bluesky/m", "feed": "bluesky:#cats", "post_id": "1"},
        {"media_id": "m", "feed": "bluesky:#cats", "post_id": "at://did:plc:carol/app.bsky.feed.post/9"},
    ],
)
def test_line_of_failures_by_each_of_its_ids(lake: Lake, line: dict[str, Any]) -> None:
    post = {"source": "bluesky", "author_id": "did:plc:carol", "post_id": "at://did:plc:carol/app.bsky.feed.post/9"}
    request_erasure(lake, authors=[{"source": "bluesky", "author_id": ALICE}], posts=[post], media_ids=["bluesky/m"])
    other = {"media_id": "m", "feed": "x:#cats", "post_id": "1"}
    lake.bucket.put_lines(FAILURES, [line, other])
    lake.bucket.put(FAILURES, lake.bucket.get(FAILURES) + b"no JSON\n", "text/plain")
    assert erase() == {"changed": 1, "erased": 1}
    assert lake.bucket.get(FAILURES) == json.dumps(other).encode() + b"\nno JSON\n"


# ---- Names of feeds --------------------------------------------------------------------------------------------------


def own_feed(lake: Lake) -> None:
    """Report a run with the feed of an erased author, as Erase Pages has put it on the list."""
    cause = json.dumps({"errorMessage": MESSAGE})
    make_report(lake, failed(feed=BOBS, cause=cause), up_to_date(ENTRY, warnings=["it is not about bob.example"]))
    lake.suppress(("feed", BOBS.feed_id))


def test_feed_of_an_erased_author_loses_its_name(lake: Lake) -> None:
    request_erasure(lake, authors=[{"source": "bluesky", "author_id": "did:plc:bob"}])
    own_feed(lake)
    before = lake.bucket.get_json(SUMMARY)
    # The page, the summary and the rows of the table ``coverage``.
    assert erase() == {"changed": 3, "erased": 0}
    after = lake.bucket.get_json(SUMMARY)
    message = f"{BOBS.feed_id}: '{BOBS.feed_id}' answered nothing; see {BOBS.feed_id}/help and bob.example2"
    expected = before["feeds"][1] | {"name": BOBS.feed_id, "config": None}
    expected["problem"] = {"error": "SourceUnavailableError", "message": message}
    assert after == before | {"feeds": [before["feeds"][0], expected, before["feeds"][2]]}
    text = "".join(Page(lake).texts)
    assert BOBS.name not in text
    assert message in text
    assert "it is not about bob.example" in text


def test_plan_of_such_a_feed_has_no_newest_post(lake: Lake) -> None:
    request_erasure(lake, authors=[{"source": "bluesky", "author_id": "did:plc:bob"}])
    bookmark = {"newest_id": "at://did:plc:bob/app.bsky.feed.post/1", "newest_at": "2026-04-01T12:00:00.000000Z"}
    warnings = [f"{BOBS.name}: a warning"]
    make_report(lake, up_to_date(BOBS, bookmark=bookmark, warnings=warnings), up_to_date(ENTRY, bookmark=bookmark))
    lake.suppress(("feed", BOBS.feed_id))
    erase()
    plans = [feed["plan"] for feed in lake.bucket.get_json(SUMMARY)["feeds"][1:]]
    assert plans[0]["bookmark"] == {"newest_id": "", "newest_at": ""}
    assert plans[0]["warnings"] == [f"{BOBS.feed_id}: a warning"]
    assert plans[1]["bookmark"] == bookmark | {"newest_id": "at://erased/app.bsky.feed.post/1"}
    assert plans[0] | {"bookmark": 0, "warnings": 0} == plans[1] | {"bookmark": 0, "warnings": 0}


def test_result_of_a_feed_and_its_failures(lake: Lake) -> None:
    request_erasure(lake, media_ids=["bluesky/m/0"])
    own_feed(lake)
    result = {
        "status": "incomplete",
        "counts": {"ok": 7},
        "open": [{"failure": {"message": "media bluesky/m/0 is ok."}}],
    }
    key = object_keys.feed_reconciliation(RUN, BOBS.feed_id)
    lake.bucket.put_json(key, result)
    failures = object_keys.failures(RUN.run_id, BOBS.feed_id)
    lake.bucket.put_lines(failures, [{"media_id": "rss/1", "feed": BOBS.name, "post_id": "1"}])
    erase()
    result["open"] = [{"failure": {"message": "media erased is ok."}}]
    assert lake.bucket.get_json(key) == result
    assert lake.bucket.get_lines(failures) == [{"media_id": "rss/1", "feed": BOBS.feed_id, "post_id": "1"}]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("media bluesky/m/0: it is ok", "media erased: it is ok"),
        ("at://did:plc:bob/x/1", "at://erased/x/1"),
        ("(did:plc:bob), did:plc:bob2.", "(erased), did:plc:bob2."),
        ("'at://did:plc:carol/x/9' at://did:plc:carol/x/8", "'erased' at://did:plc:carol/x/8"),
        ("bluesky/m/01 is another one", "bluesky/m/01 is another one"),
        ("", ""),
    ],
)
def test_ids_in_texts(text: str, expected: str) -> None:
    names = [
        ("author", "bluesky", "did:plc:bob"), ("media", "bluesky/m/0"),
        ("post", "bluesky", "did:plc:carol", "at://did:plc:carol/x/9"),
    ]  # fmt: skip
    listed = SuppressionList(b"key", frozenset(hash_of(b"key", *one) for one in names))
    assert without_ids(text, {"bluesky"}, listed) == expected
    assert without_ids(text, {"x"}, listed) == (expected if "m/0" in text else text)


@pytest.mark.parametrize(
    ("name", "config", "text", "expected"),
    [
        ("x:NASA", {"source": "x", "account": "NASA"}, "x:nasa: @NASA and NASAS, F", "F: @F and NASAS, F"),
        ("x:@NASA", "x:@NASA", "x:@NASA: @NASA, NASA", "F: F, F"),
        ("rss:https://b.example/f?a=1&b=2", "rss:https://b.example/f?a=1&b=2", "https://b.example/f?a=1&b=2!", "F!"),
        ("mastodon:s.example@ann", "mastodon:s.example@ann", "s.example says: ann", "s.example says: F"),
        ("gone", None, "gone", "F"),
        ("bad", "no feed", "bad feed", "F feed"),
    ],
)
def test_names_of_a_feed(name: str, config: Any, text: str, expected: str) -> None:
    listed = SuppressionList(b"key", frozenset({hash_of(b"key", "feed", "F")}))
    feed = {"feed_id": "F", "name": name, "config": config}
    assert ReportedFeed.of(feed, listed).without_name(text) == expected
    assert ReportedFeed.of(feed, SuppressionList()).without_name(text) == text


def test_name_of_a_feed_leaves_the_rows_of_other_authors_and_no_other_text() -> None:
    """A blog of an erased author can have had a guest."""
    name = "rss:https://b.example/?a=1&b=<2>"
    feed = ReportedFeed("F", "rss", (name, name[4:]))
    html = """<h2>rss:https://b.example/?a=1&amp;b=&lt;2&gt;</h2><tr data-item="rss/1"><td>{}</td><td>{}</td></tr>
<tr><td>x:other</td><td>{}</td></tr><figure id="image-0" data-item="rss/2">https://b.example/?a=1&amp;b=&lt;2&gt;</figure>"""
    full, account = "rss:https://b.example/?a=1&amp;b=&lt;2&gt;", "https://b.example/?a=1&amp;b=&lt;2&gt;"
    expected = html.format("F", "see F.", account)
    assert page.smaller_page(html.format(full, f"see {account}.", account), [feed], SuppressionList()) == (
        expected,
        set(),
    )


# ---- Reports that are not whole --------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("body", [b"no JSON", b"[]", b'{"feeds": [{}]}', b'{"feeds": 7}'])
def test_summary_that_cannot_be_read_goes(lake: Lake, body: bytes) -> None:
    request_erasure(lake, media_ids=media_ids("a"))
    make_report(lake)
    lake.bucket.put(SUMMARY, body, "application/json")
    assert erase() == {"changed": 2, "erased": 1}
    assert versions(SUMMARY) == {}
    assert "it cannot be read" in [note.reason for note in ErasedObjects(lake.bucket, ERASURE_ID).notes()]


def test_run_without_a_report_has_only_lists(lake: Lake) -> None:
    request_erasure(lake, media_ids=media_ids("c"))
    done(lake, closed(lake, item("c"), item("d"), statuses=(Status.REJECTED, Status.FAILED)), tolerance=100)
    assert erase() == {"changed": 1, "erased": 1}


def test_report_that_names_nobody_stays(lake: Lake) -> None:
    request_erasure(lake, media_ids=["x/1"], authors=[{"source": "x", "author_id": "1"}])
    make_report(lake, failed())
    before = versions()
    assert erase() == {"changed": 0, "erased": 0}
    assert versions() == before


# ---- Killed, twice, at once ------------------------------------------------------------------------------------------


@pytest.mark.full
@pytest.mark.exhaustive
@pytest.mark.parametrize("after", [False, True])
def test_killed_at_any_call(lake: Lake, monkeypatch: pytest.MonkeyPatch, after: bool) -> None:
    check_killed(lake, monkeypatch, after, step=1)


@pytest.mark.slow
def test_killed_at_some_calls(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    check_killed(lake, monkeypatch, after=True, step=9)


def check_killed(lake: Lake, monkeypatch: pytest.MonkeyPatch, after: bool, step: int) -> None:
    request_erasure(lake, media_ids=media_ids("a", "c"))
    own_feed(lake)
    state = saved()
    restore(state)
    with killed_at(monkeypatch, 10_000, after=after) as made:
        erase()
    calls, expected = len(made), versions(object_keys.report_prefix(RUN))
    assert [body for stored in expected.values() for body, _ in stored if BOBS.name.encode() in body] == []
    for number in range(0, calls, step):
        restore(state)
        with pytest.raises(Killed), killed_at(monkeypatch, number, after=after):
            erase()
        erase()
        assert versions(object_keys.report_prefix(RUN)) == expected, number


def test_two_erasures_of_one_page_at_once(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    request_erasure(lake, media_ids=media_ids("a"))
    make_report(lake)
    real, others = page.smaller_page, ["second"]

    def change(html: str, feeds: list[ReportedFeed], listed: SuppressionList) -> tuple[str, set[str]]:
        if others:
            other = others.pop()
            request_erasure(lake, other, media_ids=media_ids("b"))
            assert erase(other)["erased"] == 2
        return real(html, feeds, listed)

    monkeypatch.setattr(page, "smaller_page", change)
    erase()
    assert not set(media_ids("a", "b")) & {*Page(lake).ids}
    assert len(versions()[PAGE]) == 1
