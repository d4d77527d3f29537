"""Erase Reports: the lake at a glance, the rows of the table ``coverage``, plans."""

from __future__ import annotations

import gzip
import json
from typing import Any, cast

import pytest

from erase_reports.app import handler
from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.coverage import CoverageRow, read_rows
from imagelake.run.models import FeedEntry
from report.app import handler as report
from report.glance import Glance
from report.glance_page import render_glance
from tests.support.erasures import Killed, killed_at, request_erasure, restore, saved, versions
from tests.support.factories import ENTRY, RUN, Context, event, failed, up_to_date
from tests.support.fake_lake import Lake
from tests.support.glances import glance_of
from tests.support.page_tags import Tags
from tests.support.sample import full

BOBS = FeedEntry(feed_id="bluesky-0123456789abcdef", name="bluesky:bob.example", config="bluesky:bob.example")
COVERAGE = object_keys.coverage_rows(RUN)
PLAN = object_keys.run_plan("plan")
NAMES = ("x:alice & <co>", "bluesky:bob.example", "bluesky:#bob.example", "rss:https://b.example/?a=1&b=2")


def erase(run_id: str | None = None, dt: str | None = None) -> dict[str, int]:
    answer: dict[str, int] = handler(event("erase_reports", report={"run_id": run_id, "dt": dt}), cast(Any, Context()))
    return answer


def put_glance(bucket: Bucket, glance: Glance) -> None:
    bucket.put(object_keys.GLANCE, glance.model_dump_json(exclude_defaults=True).encode(), "application/json")
    bucket.put(object_keys.GLANCE_PAGE, render_glance(glance).encode(), "text/html")


def glance(lake: Lake) -> Glance:
    return lake.bucket.get_model(object_keys.GLANCE, Glance)


def page(lake: Lake) -> str:
    return lake.bucket.get(object_keys.GLANCE_PAGE).decode()


# ---- The lake at a glance --------------------------------------------------------------------------------------------


def test_images_leave_the_figures_and_the_page(lake: Lake) -> None:
    request_erasure(lake, media_ids=["media-0", "media-23"])
    before = glance_of(*NAMES)
    put_glance(lake.bucket, before)
    html = page(lake)
    assert erase() == {"changed": 2, "erased": 4}
    assert glance(lake) == before.model_copy(update={"newest": before.newest[1:-1]})
    figures = [html[html.index(f'<figure id="image-{n}"') :].partition("</figure>")[0] for n in (0, 23)]
    gone = [f'<figure id="image-{n}"><figcaption>erased</figcaption>' for n in (0, 23)]
    assert page(lake) == html.replace(figures[0], gone[0]).replace(figures[1], gone[1])
    Tags(page(lake))
    assert erase() == {"changed": 0, "erased": 0}


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(NAMES)))
def test_name_of_an_erased_feed_leaves_both(lake: Lake, number: int) -> None:
    request_erasure(lake, authors=[{"source": "bluesky", "author_id": "did:plc:bob"}])
    lake.suppress(("feed", f"feed-{number}"))
    before = glance_of(*NAMES)
    put_glance(lake.bucket, before)
    assert erase() == {"changed": 2, "erased": 0}
    names = [f"feed-{n}" if n == number else name for n, name in enumerate(NAMES)]
    assert [feed.name for feed in glance(lake).feeds.values()] == names
    assert glance(lake) == glance_of(*names)
    assert page(lake) == render_glance(glance_of(*names))


@pytest.mark.parametrize("body", [b"no JSON", b"[]", b'{"newest": [{}]}', b'{"feeds": 7}'])
def test_figures_that_cannot_be_read_go(lake: Lake, body: bytes) -> None:
    request_erasure(lake, media_ids=["media-1"])
    lake.bucket.put(object_keys.GLANCE, body, "application/json")
    assert erase()["changed"] == 1
    assert versions("reports/") == {}


def test_lake_without_a_report(lake: Lake) -> None:
    request_erasure(lake, media_ids=["media-1"])
    assert erase() == {"changed": 0, "erased": 0}


@pytest.mark.slow
@pytest.mark.parametrize("stride", [3, full(1)])
@pytest.mark.parametrize("after", [False, True])
def test_killed_at_any_call(lake: Lake, monkeypatch: pytest.MonkeyPatch, after: bool, stride: int) -> None:
    """The page does not need the names that its figures have lost."""
    request_erasure(lake, media_ids=["media-1"])
    lake.suppress(("feed", "feed-1"))
    put_glance(lake.bucket, glance_of(*NAMES))
    state = saved()
    restore(state)
    with killed_at(monkeypatch, 10_000, after=after) as made:
        erase()
    calls, expected = len(made), versions("reports/")
    for number in range(0, calls, stride):
        restore(state)
        with pytest.raises(Killed), killed_at(monkeypatch, number, after=after):
            erase()
        erase()
        assert versions("reports/") == expected, number


# ---- Rows of the table ``coverage`` ----------------------------------------------------------------------------------


def run(*results: dict[str, Any], **changes: Any) -> dict[str, Any]:
    changed = RUN.model_copy(update=changes)
    answer: dict[str, Any] = report(event("report", run=changed, results=list(results)), cast(Any, Context()))
    return answer


def test_coverage_row_loses_the_name(lake: Lake) -> None:
    request_erasure(lake, authors=[{"source": "bluesky", "author_id": "did:plc:bob"}])
    run(failed(feed=BOBS), up_to_date(ENTRY))
    lake.suppress(("feed", BOBS.feed_id))
    before, lines = (
        read_rows(lake.bucket, COVERAGE, CoverageRow),
        gzip.decompress(lake.bucket.get(COVERAGE)).split(b"\n"),
    )
    assert erase(RUN.run_id, RUN.dt)["changed"] >= 1
    after = read_rows(lake.bucket, COVERAGE, CoverageRow)
    assert after == [before[0].model_copy(update={"feed": BOBS.feed_id}), before[1]]
    assert gzip.decompress(lake.bucket.get(COVERAGE)).split(b"\n")[1:] == lines[1:]
    assert len(versions("lake/coverage/")[COVERAGE]) == 1
    assert erase(RUN.run_id, RUN.dt) == {"changed": 0, "erased": 0}


def test_coverage_row_of_a_run_without_a_report(lake: Lake) -> None:
    """Reports expire after a year, and these rows do not."""
    request_erasure(lake, authors=[{"source": "bluesky", "author_id": "did:plc:bob"}])
    run(failed(feed=BOBS))
    lake.bucket.delete_folder(object_keys.report_prefix(RUN))
    lake.suppress(("feed", BOBS.feed_id))
    assert erase(RUN.run_id, RUN.dt) == {"changed": 1, "erased": 0}


def test_coverage_rows_of_others_stay(lake: Lake) -> None:
    request_erasure(lake, authors=[{"source": "bluesky", "author_id": "did:plc:bob"}])
    run(failed(feed=BOBS), up_to_date(ENTRY))
    before = versions("lake/")
    erase(RUN.run_id, RUN.dt)
    assert versions("lake/") == before


@pytest.mark.parametrize("body", [b"no JSON", b"[]\n", b"{}", None], ids=str)
def test_coverage_rows_that_cannot_be_read_go(lake: Lake, body: bytes | None) -> None:
    request_erasure(lake, authors=[{"source": "bluesky", "author_id": "did:plc:bob"}])
    lake.bucket.put(COVERAGE, gzip.compress(body) if body else b"no gzip", "application/gzip")
    assert erase(RUN.run_id, RUN.dt) == {"changed": 1, "erased": 0}
    assert versions("lake/coverage/") == {}


# ---- Plans, and reports of later runs --------------------------------------------------------------------------------


def test_plan_loses_the_name(lake: Lake) -> None:
    request_erasure(lake, authors=[{"source": "bluesky", "author_id": "did:plc:bob"}])
    message = json.dumps({"errorMessage": f"{BOBS.name}: bob.example did not answer"})
    run(failed(feed=BOBS, cause=message), failed(), run_id="plan", plan=True)
    before = lake.bucket.get_json(PLAN)
    lake.suppress(("feed", BOBS.feed_id))
    assert erase("plan") == {"changed": 1, "erased": 0}
    problem = {"error": "SourceUnavailableError", "message": f"{BOBS.feed_id}: {BOBS.feed_id} did not answer"}
    first = before["feeds"][0] | {"feed": BOBS.feed_id, "problem": problem}
    assert lake.bucket.get_json(PLAN) == before | {"feeds": [first, before["feeds"][1]]}
    assert len(versions("reports/")[PLAN]) == 1


@pytest.mark.parametrize("plan", [False, True])
@pytest.mark.parametrize(
    "result",
    [
        failed(feed=BOBS, cause=json.dumps({"errorMessage": "bluesky:bob.example: bob.example did not answer"})),
        failed(feed=BOBS, cause="bob.example"),
        up_to_date(BOBS, warnings=["bob.example has 3 posts"]),
        {"feed": BOBS.model_dump(), "status": "planned", "outlook": {"posts": 3, "has_bookmark": False, "usd": 0.0}},
    ],
)
def test_later_run_does_not_name_an_erased_account(lake: Lake, plan: bool, result: dict[str, Any]) -> None:
    """The feed stays in the parameter of the stack until a person removes it."""
    request_erasure(lake, authors=[{"source": "bluesky", "author_id": "did:plc:bob"}])
    lake.suppress(("feed", BOBS.feed_id))
    answer = run(result, plan=plan) if plan == (result["status"] == "planned") or "error" in result else {}
    assert "bob.example" not in json.dumps(answer)
    stored = [body for bodies in versions().values() for body, _ in bodies]
    unpacked = [gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body for body in stored]
    assert [body for body in unpacked if b"bob.example" in body] == []
