"""Report Rebuild: the outcome follows from the files, and the notification names every problem."""

from __future__ import annotations

from typing import Any

import pytest

from imagelake.lake import object_keys
from imagelake.lake.dataset_file import write_file
from imagelake.run.models import Batch
from imagelake.run.rebuild_models import RebuiltCounts, Selected
from report_rebuild.app import handler
from report_rebuild.estimate import estimate
from tests.support.factories import RUN, Context, event
from tests.support.fake_lake import Lake

NAMES = ("a", "b", "c")


def batch(name: str) -> Batch:
    return Batch(batch_id=name, feed_id="", source="rss", dt="2026-04-01", items=0)


def keep(lake: Lake, name: str, *, rows: int = 10, counts: RebuiltCounts | None, is_written: bool = True) -> None:
    """Store what the steps store for one file."""
    selected = Selected(rows=rows, raw_bytes=rows * 1000)
    lake.bucket.put_json(object_keys.rebuild_selection(RUN.run_id, name), selected.model_dump())
    if counts is not None:
        lake.bucket.put_json(object_keys.rebuild_counts(RUN.run_id, name), counts.model_dump())
    if is_written:
        assert write_file(lake.bucket, batch(name).model_copy(update={"rebuilt_by": RUN.run_id}), b"PAR1", "sha", None)


def report(lake: Lake, **request: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    example = event("report_rebuild")
    lake.bucket.put_json(example["list_key"], [batch(name).model_dump() for name in NAMES])
    answer = handler(example | {"rebuild": request}, Context())
    return answer, lake.bucket.get_json(answer["report_key"])


def test_counts_add_up_when_every_file_is_rebuilt(lake: Lake) -> None:
    keep(lake, "a", counts=RebuiltCounts(ok=8, duplicate=1, rejected=1, changed=1))
    keep(lake, "b", counts=RebuiltCounts(ok=10))
    keep(lake, "c", rows=0, counts=None, is_written=False)
    answer, found = report(lake)
    assert (answer["outcome"], answer["error"]) == ("ok", None)
    assert (found["listed"], found["files"], found["images"], found["raw_bytes"]) == (3, 2, 20, 20_000)
    assert found["counts"] == RebuiltCounts(ok=18, duplicate=1, rejected=1, changed=1).model_dump()
    assert "rebuilt 20 images in 2 files" in answer["subject"]
    assert len(answer["subject"]) < 100


@pytest.mark.parametrize(
    ("counts", "is_written", "sentence"),
    [
        (RebuiltCounts(ok=9, unreadable=1), True, "1 rows stay as they were"),
        (RebuiltCounts(ok=9, kept=1), True, "1 images stay"),
        (RebuiltCounts(unreadable=10), False, "10 rows stay as they were"),
    ],
)
def test_row_that_stays_is_a_warning(lake: Lake, counts: RebuiltCounts, is_written: bool, sentence: str) -> None:
    for name in NAMES:
        keep(lake, name, counts=RebuiltCounts(ok=10) if name != "b" else counts, is_written=name != "b" or is_written)
    answer, _ = report(lake)
    assert answer["outcome"] == "partial"
    assert sentence in answer["message"]


def test_file_that_a_later_rebuild_has_written_since_is_rebuilt(lake: Lake) -> None:
    """Two rebuilds run at once, and the second one is the last to write the file."""
    for name in NAMES:
        keep(lake, name, counts=RebuiltCounts(ok=10))
        version = lake.bucket.version(object_keys.parquet(batch(name)))
        later = batch(name).model_copy(update={"rebuilt_by": "later"})
        assert write_file(lake.bucket, later, b"PAR1-2", "sha-2", version)
    answer, found = report(lake)
    assert (answer["outcome"], found["open"], found["counts"]["ok"]) == ("ok", [], 30)


def test_subject_counts_what_was_rebuilt(lake: Lake) -> None:
    keep(lake, "a", counts=RebuiltCounts(ok=8, rejected=1, unreadable=1))
    for name in ("b", "c"):
        keep(lake, name, counts=None, is_written=False)
    answer, _ = report(lake)
    assert answer["subject"] == "Imagelake rebuild FAILED: rebuilt 9 images; 2 files are as they were"


def test_rebuild_of_no_row_says_so(lake: Lake) -> None:
    for name in NAMES:
        keep(lake, name, rows=0, counts=None, is_written=False)
    answer, _ = report(lake)
    assert answer["outcome"] == "ok"
    assert "No row matches the request" in answer["message"]


@pytest.mark.parametrize("stored", ["nothing", "selected", "counts", "file of another rebuild"])
def test_file_that_is_not_rebuilt_fails_the_rebuild(lake: Lake, stored: str) -> None:
    for name in ("a", "c"):
        keep(lake, name, counts=RebuiltCounts(ok=10))
    if stored != "nothing":
        keep(lake, "b", counts=RebuiltCounts(ok=10) if stored != "selected" else None, is_written=False)
    if stored == "file of another rebuild":
        assert write_file(lake.bucket, batch("b").model_copy(update={"rebuilt_by": "other"}), b"PAR1", "sha", None)
    failure = {"error": "DamagedObjectError", "message": "it is damaged"}
    lake.bucket.put_json(object_keys.batch_failure(RUN.run_id, "b"), failure)
    answer, found = report(lake)
    assert (answer["outcome"], answer["error"]) == ("failed", "RebuildIncomplete")
    assert [one["key"] for one in found["open"]] == [object_keys.parquet(batch("b"))]
    assert "DamagedObjectError: it is damaged" in answer["message"]
    assert found["counts"]["ok"] == 20


def test_failure_without_a_reason_is_named_all_the_same(lake: Lake) -> None:
    answer, found = report(lake)
    assert len(found["open"]) == 3
    assert "no reason was stored" in answer["message"]


def test_dry_run_needs_no_file_to_be_written(lake: Lake) -> None:
    for name in NAMES:
        keep(lake, name, counts=None, is_written=False)
    answer, found = report(lake, dry_run=True)
    assert answer["outcome"] == "ok"
    assert "would rebuild 30 images in 3 files" in answer["subject"]
    assert "nothing was changed" in answer["message"]
    assert found["images"] == 30


def test_estimate_of_a_million_images() -> None:
    """Prices of docs/costs.md: 10 USD for the GETs and 7.32 for 244 GB that are retrieved, in place of 0.40."""
    found = estimate(Selected(rows=1_000_000, raw_bytes=244_000_000_000), files=2000)
    assert 1.0 < found.usd <= 1.5
    assert found.usd_glacier - found.usd == pytest.approx(10 + 7.32 - 0.40, abs=0.01)
    assert 5 < found.minutes < 20
    assert estimate(Selected(rows=0, raw_bytes=0), files=0).usd == 0
