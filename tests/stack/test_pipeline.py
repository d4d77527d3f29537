"""The whole pipeline: from the sample feed to rows, mapping, report and notification; then the same day again."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections import Counter
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from PIL import Image

from local.deploy import STACK_NAME
from local.package import read_template
from tests.support.deployed_stack import Stack
from tests.support.metrics import OWN, SENT, drawn, watched
from tests.support.servers import Servers
from tests.support.wire.sample import SampleServer
from tools.glue_views import VIEWS

EXPECTED = {"planned": 36, "shared": 0, "ok": 31, "duplicate": 1, "rejected": 3, "failed": 1, "erased": 0}
ERRORS = {"forbidden": 1, "not_an_image": 1, "too_many_pixels": 1, "truncated": 1}


@pytest.fixture
def sample(servers: Servers) -> SampleServer:
    return servers.sample


def test_sample_feed_ends_as_a_success_with_a_warning(stack: Stack, first_run: dict[str, Any]) -> None:
    assert first_run["status"] == "SUCCEEDED"
    run = stack.report("run-1")
    assert run["outcome"] == "partial"
    assert run["totals"] == EXPECTED
    assert run["errors"] == ERRORS
    assert stack.keys("open/") == []


def test_notification_names_the_errors_and_where_to_look(first_run: dict[str, Any]) -> None:
    notification = first_run["notification"]
    assert "31 new images" in notification["Subject"]
    for text in ("1 x forbidden", "1 x too_many_pixels", first_run["executionArn"], "reports/run-1/index.html"):
        assert text in notification["Message"]


def test_every_planned_item_has_one_row(stack: Stack, sample: SampleServer) -> None:
    rows = stack.rows(sample.url)
    assert len({row["media_id"] for row in rows}) == len(rows) == EXPECTED["planned"]
    assert Counter(row["status"] for row in rows) == {
        name: EXPECTED[name] for name in ("ok", "duplicate", "rejected", "failed")
    }
    assert Counter(row["error_code"] for row in rows if row["error_code"]) == ERRORS


def test_every_picture_is_a_clean_jpeg_of_the_stated_size(stack: Stack, sample: SampleServer) -> None:
    for row in stack.rows(sample.url):
        if row["status"] != "ok":
            assert row["image"] is None
            continue
        with Image.open(io.BytesIO(row["image"]["bytes"])) as picture:
            assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", (row["width"], row["height"]))
            assert max(picture.size) <= 512
            assert set(picture.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}, "no metadata survives"


def test_raw_files_are_what_the_rows_say(stack: Stack) -> None:
    rows = [row for row in stack.rows() if row["raw_key"] is not None]
    assert {row["raw_key"] for row in rows} == set(stack.keys("raw/images/"))
    for row in rows:
        raw = stack.read(row["raw_key"])
        assert (hashlib.sha256(raw).hexdigest(), len(raw)) == (row["raw_sha256"], row["raw_bytes"])


def test_duplicate_points_to_the_row_with_the_same_bytes(stack: Stack, sample: SampleServer) -> None:
    rows = {row["media_id"]: row for row in stack.rows(sample.url)}
    (duplicate,) = [row for row in rows.values() if row["status"] == "duplicate"]
    original = rows[duplicate["duplicate_of"]]
    assert (original["status"], duplicate["duplicate_distance"]) == ("ok", 0)
    assert original["raw_sha256"] == duplicate["raw_sha256"]


def test_near_duplicates_point_to_the_row_they_look_like(stack: Stack, sample: SampleServer) -> None:
    rows = {row["media_id"]: row for row in stack.rows(sample.url)}
    near = [row for row in rows.values() if row["status"] == "ok" and row["duplicate_of"] is not None]
    assert Counter(row["duplicate_distance"] for row in near) == {0: 3, 4: 1}
    for row in near:
        original = rows[row["duplicate_of"]]
        assert (original["status"], original["duplicate_of"], original["duplicate_distance"]) == ("ok", None, None)
        assert original["raw_sha256"] != row["raw_sha256"]
        assert ((row["phash"] ^ original["phash"]) % (1 << 64)).bit_count() == row["duplicate_distance"]
    # Which of a group is the original depends on whose batch is first.
    names = {row["media_id"]: row["media_url"].rpartition("/")[2].partition("@")[0] for row in rows.values()}
    groups = Counter(frozenset({names[row["media_id"]], names[row["duplicate_of"]]}) for row in near)
    assert len(groups) == 4
    assert len({row["duplicate_of"] for row in near}) == 3


def test_mapping_leads_to_the_row_and_back(stack: Stack) -> None:
    rows, mapping = stack.rows(), stack.mapping()
    assert set(mapping) == {row["media_id"] for row in rows}
    for row in rows:
        item = mapping[row["media_id"]]
        assert (item["processed_key"], int(item["row"]), item["status"]) == (row["_key"], row["_row"], row["status"])
        assert item.get("raw_key") == row["raw_key"]


def test_what_was_left_out_is_kept_with_its_reason(stack: Stack) -> None:
    (key,) = [key for key in stack.keys("rejects/") if "/run-1-" in key]
    lines = [json.loads(line) for line in stack.read(key).splitlines()]
    assert Counter(line["kind"] for line in lines) == {"post": 2, "media": 1}
    assert all(line["reason"] for line in lines)


def test_report_shows_pictures_and_no_script(stack: Stack, sample: SampleServer) -> None:
    page = stack.read("reports/run-1/index.html").decode()
    shown = [row for row in stack.rows(sample.url) if row["status"] == "ok" and not row["sensitive"]]
    assert page.count("<figure ") == len(shown) == EXPECTED["ok"] - 1
    assert "forbidden" in page
    assert "<script" not in page


def test_lake_at_a_glance_counts_the_run(stack: Stack, first_run: dict[str, Any]) -> None:
    figures = json.loads(stack.read("reports/_glance.json"))
    page = stack.read("reports/index.html").decode()
    assert "run-1" in figures["counted"]
    assert figures["images"] >= EXPECTED["ok"]
    assert page.count("<figure ") == len(figures["newest"]) > 0
    assert all(f'data-feed="{feed_id}"' in page for feed_id in figures["feeds"])


def test_metrics_of_the_dashboard_are_sent_by_a_run(stack: Stack) -> None:
    sent = set()
    for line in stack.log_lines('"CloudWatchMetrics"'):
        blob = json.loads(line)
        for description in blob["_aws"]["CloudWatchMetrics"]:
            assert description["Namespace"] == f"Imagelake/{STACK_NAME}"
            (dimensions,) = description["Dimensions"]
            sent |= {(metric["Name"], frozenset(dimensions), blob["service"]) for metric in description["Metrics"]}
    assert sent <= {(metric.name, metric.dimensions, metric.service) for metric in SENT}
    shown = {metric.name for metric in {*drawn(), *watched()} if metric.namespace == OWN}
    # A run has one outcome, and this one neither a token nor a feed in problem.
    assert shown - {name for name, _, _ in sent} <= {
        "RunsOk",
        "RunsFailed",
        "FeedProblems",
        "TokenExpiresInDays",
        "HoursUntilLost",
    }


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="peak memory is read from /proc, which this system lacks"
)
def test_transform_stays_far_below_its_memory(stack: Stack) -> None:
    granted = read_template(Path(__file__).parents[2] / "template.yaml")["Resources"]["TransformFunction"][
        "Properties"
    ]["MemorySize"]
    peaks = _peak_memory("transform.app.handler")
    assert peaks, "the workers are alive while the engine is"
    assert max(peaks) <= 0.6 * granted


def test_same_day_again_downloads_nothing_and_adds_no_row(stack: Stack, sample: SampleServer) -> None:
    rows, objects = stack.rows(), stack.keys("raw/images/")
    asked = len(sample.requests)
    # A run of a schedule sends nothing if all is well.
    again = stack.run(feeds=[sample.account], batch_size=10, scheduled_time="2026-11-23T05:30:00Z")
    assert again["status"] == "SUCCEEDED"
    assert stack.rows() == rows
    assert stack.keys("raw/images/") == objects
    later = sample.requests[asked:]
    assert later
    assert not [target for target in later if target.startswith("/img/")]
    report = stack.report(again["name"])
    assert [feed["status"] for feed in report["feeds"]] == ["up_to_date"]
    assert report["outcome"] == "ok"
    assert again["notification"] is None


def test_wrong_feeds_fail_alone_and_are_named(stack: Stack, sample: SampleServer) -> None:
    unknown = sample.account | {"account": "nobody.imagelake.example"}
    run = stack.run(feeds=[sample.account, unknown, "nosuch:alice", {"source": "bluesky"}])
    # Three of four are more than a run tolerates.
    assert (run["status"], run["error"]) == ("FAILED", "RunFailed")
    assert "FAILED: 3 of 4 feeds failed, 0 new images" in run["notification"]["Subject"]
    message = run["notification"]["Message"]
    assert "FeedNotFoundError" in message
    assert "nobody.imagelake.example" in message
    assert message.count("BadFeedError") == 2
    assert "'nosuch'" in message
    statuses = [feed["status"] for feed in stack.report(run["name"])["feeds"]]
    assert statuses == ["up_to_date", "failed", "failed", "failed"]


def test_run_fails_when_every_feed_does(stack: Stack) -> None:
    # Another feed than before: the same problem is reported once a day.
    run = stack.run(feeds=["nosuch:bob"])
    assert run["status"] == "FAILED"
    assert "nosuch:bob" in run["notification"]["Message"]
    # No run can succeed for this feed.
    assert "start-execution" not in run["notification"]["Message"]


def test_bad_input_fails_before_anything_is_fetched(stack: Stack, sample: SampleServer) -> None:
    asked = len(sample.requests)
    run = stack.run(feeds=[sample.account], batch_size="ten")
    assert run["status"] == "FAILED"
    assert "batch_size" in run["notification"]["Message"]
    assert len(sample.requests) == asked


def test_what_failed_is_retried_alone(stack: Stack, sample: SampleServer, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, asked = {row["media_id"]: row for row in stack.rows(sample.url)}, len(sample.requests)
    serve, (picture, *_) = sample.feed.media, [row for row in rows.values() if row["status"] == "ok"]

    def allow(name: str) -> tuple[HTTPStatus, str, bytes] | None:
        served = serve(name)
        if served and served[0] == HTTPStatus.FORBIDDEN:
            return HTTPStatus.OK, "image/jpeg", picture["image"]["bytes"]
        return served

    monkeypatch.setattr(sample.feed, "media", allow)
    run = stack.run(feeds=[sample.account], retry={"run_id": "run-1", "error_codes": ["forbidden"]})
    assert run["status"] == "SUCCEEDED"
    assert " ok: 1 new image" in run["notification"]["Subject"]
    (failed,) = [row for row in rows.values() if row["status"] == "failed"]
    assert sample.requests[asked:] == [urlsplit(failed["media_url"]).path]
    after = {row["media_id"]: row for row in stack.rows(sample.url)}
    (retried,) = [row for media_id, row in after.items() if row != rows[media_id]]
    assert after.keys() == rows.keys()
    assert (retried["media_id"], retried["status"]) == (failed["media_id"], "ok")
    assert (retried["_key"], retried["_row"]) == (failed["_key"], failed["_row"])
    item = stack.mapping()[failed["media_id"]]
    assert (item["status"], item["processed_key"], int(item["row"])) == ("ok", failed["_key"], failed["_row"])
    assert stack.keys("open/") == []


def _peak_memory(handler: str) -> list[float]:
    """Peak resident memory of the worker processes of ``handler``, in MB."""
    peaks: list[float] = []
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            try:
                name = (process / "comm").read_text().strip()
                status = (process / "status").read_text()
            except OSError:
                continue
            # The system keeps 15 characters of a name. A process that is ending has no memory to report.
            if name == handler[:15]:
                lines = [line for line in status.splitlines() if line.startswith("VmHWM")]
                peaks.extend(int(line.split()[1]) / 1024 for line in lines)
    return peaks


def test_views_are_deployed_with_the_name_of_their_database(stack: Stack) -> None:
    database = stack.outputs["GlueDatabaseName"]
    tables = stack.engine.client("glue").get_tables(DatabaseName=database)["TableList"]
    views = {table["Name"]: table["ViewOriginalText"] for table in tables if table["TableType"] == "VIRTUAL_VIEW"}
    assert views.keys() == {one.name for one in VIEWS}
    for text in views.values():
        assert json.loads(base64.b64decode(text.split()[3]))["schema"] == database


def test_work_group_limits_what_a_query_scans(stack: Stack) -> None:
    name = stack.outputs["AthenaWorkGroupName"]
    group = stack.engine.client("athena").get_work_group(WorkGroup=name)["WorkGroup"]["Configuration"]
    assert int(group["BytesScannedCutoffPerQuery"]) == 100_000_000_000
