"""``imagelake status``: the newest runs, and what is missing."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from local.__main__ import main
from local.commands import status
from local.local_lake import LocalLake
from local.output import Output
from local.stack_lake import StackLake


def run(name: str, status: str, outcome: str | None, **fields: Any) -> dict[str, Any]:
    usual = {"run_id": name, "status": status, "outcome": outcome, "started_at": "2026-11-28T05:30:00+00:00"}
    return usual | {"execution_arn": "arn", "seconds": 1.0, "totals": {}, "errors": {}, "feeds": []} | fields


FAILED_FEED = {"feed": "x:a", "status": "failed", "problem": "SourceUnavailableError: x:a: down", "open_batches": 0}
OPEN_FEED = {"feed": "x:a", "status": "incomplete", "problem": "BatchDeadlineError: late", "open_batches": 2}
GOOD = run("run-0", "SUCCEEDED", "ok")


RUN_1: dict[str, Any] = {
    "outcome": "ok", "totals": {}, "errors": {},
    "feeds": [{"name": "x:a", "feed_id": "x-1", "status": "complete", "problem": None, "open": [], "plan": None}],
}  # fmt: skip


def shown(
    runs: list[dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    open_batches: int = 0,
    rebuilds: Sequence[dict[str, Any]] = (),
) -> list[str]:
    """The lines of the command, without those above and below the table."""
    (tmp_path / "state").mkdir()
    monkeypatch.setattr(LocalLake, "options", "--lake L")
    monkeypatch.setattr(LocalLake, "client", lambda lake, service: None)
    keys: list[dict[str, Any]] = [{"Key": f"open/x-0a1b/{number}.json"} for number in range(open_batches)]
    reports = {f"reports/_rebuilds/{report['rebuild_id']}.json": report for report in rebuilds}
    # The newest one is the first one here, and not in the order of the keys.
    keys += [{"Key": key, "LastModified": -number} for number, key in enumerate(reports)]
    # With six open batches, another run closes the first one meanwhile.
    marker = None if open_batches == 6 else b'{"items": [{"feed": "x:a"}]}'
    monkeypatch.setattr(
        LocalLake, "read", lambda lake, key: json.dumps(reports[key]).encode() if key in reports else marker
    )
    monkeypatch.setattr(
        LocalLake, "objects", lambda lake, prefix: (entry for entry in keys if entry["Key"].startswith(prefix))
    )
    monkeypatch.setattr("local.commands.status.list_runs", lambda lake, most: runs)
    monkeypatch.setattr("local.commands.status.failure_message", lambda client, arn: "execution input: dt: no day")
    assert main(["status", "--lake", str(tmp_path)]) == 0
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(
    ("runs", "open_batches", "lines"),
    [
        ([GOOD], 0, ["Missing in run-0: none", "Open batches: none"]),
        (
            [run("run-1", "FAILED", None), GOOD],
            0,
            ["run-1 failed: execution input: dt: no day", "Missing in run-0: none", "Open batches: none"],
        ),
        (
            [run("run-1", "ABORTED", None), GOOD],
            6,
            [
                "run-1 failed: it was stopped before its report",
                "Missing in run-0: none",
                "Open batches: run again, it continues 6 open batches: ./imagelake run --lake L",
                "x-0a1b: 6",
            ],
        ),
        (
            [run("run-1", "FAILED", "failed", feeds=[FAILED_FEED])],
            0,
            ["Missing in run-1:", "x:a: failed: SourceUnavailableError: down", "Open batches: none"],
        ),
        (
            [run("run-1", "FAILED", "failed", feeds=[OPEN_FEED], errors={"timed_out": 3})],
            1,
            [
                "Missing in run-1: timed_out 3",
                "x:a: incomplete (2 open batches): BatchDeadlineError: late",
                "Open batches: run again, it continues 1 open batch: ./imagelake run --lake L",
                "x:a (x-0a1b): 1",
            ],
        ),
    ],
)
def test_status_names_what_is_missing_and_why(
    runs: list[dict[str, Any]],
    open_batches: int,
    lines: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert shown(runs, tmp_path, monkeypatch, capsys, open_batches)[-len(lines) :] == lines


@pytest.mark.parametrize(
    ("status", "outcome", "text"),
    [
        ("FAILED", "failed", "FAILED"),
        ("FAILED", None, "FAILED"),
        ("FAILED", "partial", "FAILED, partial"),
        ("SUCCEEDED", "partial", "SUCCEEDED, partial"),
        ("RUNNING", None, "RUNNING"),
    ],
)
def test_status_of_a_run_repeats_no_word(
    status: str,
    outcome: str | None,
    text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = shown([run("run-1", status, outcome)], tmp_path, monkeypatch, capsys)
    assert f"run-1 2026-11-28 05:30 {text} none" in lines


def test_status_shows_the_open_gaps_of_all_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The newest run read its only feed; earlier ones left gaps in that feed and in others."""
    gap = {"start": "2026-11-20 05:00:00", "end": "2026-11-21 05:00:00", "reason": "posts"}
    objects: dict[str, Any] = {
        "reports/_feeds/x-1.coverage.json": {"gaps": [{**gap, "recoverable_until": "2026-11-27 05:00:00"}]},
        "reports/_feeds/rss-2.coverage.json": {"gaps": [{**gap, "reason": "budget", "recoverable_until": None}]},
        "reports/_feeds/x-1.json": {"first_at": ""},
        "reports/_feeds/bluesky-3.coverage.json": {"gaps": []},
        "reports/run-1/run.json": RUN_1,
    }
    lake = StackLake("s", tmp_path)
    monkeypatch.setattr(lake, "objects", lambda prefix: ({"Key": key} for key in objects if key.startswith(prefix)))
    monkeypatch.setattr(lake, "read", lambda key: json.dumps(objects[key]).encode() if key in objects else None)
    started = datetime(2026, 11, 28, tzinfo=UTC)
    execution = {"name": "run-1", "status": "SUCCEEDED", "executionArn": "arn", "startDate": started}
    states = Mock(list_executions=lambda **_: {"executions": [execution]})
    monkeypatch.setattr(lake, "client", lambda service: states)
    lake.outputs = {"StateMachineArn": "arn", "BucketName": "b"}
    monkeypatch.setattr(status, "open_lake", lambda options: lake)
    assert status.main(Namespace(runs=10), Output()) == 0
    lines = capsys.readouterr().out.splitlines()
    place = lines.index("Open gaps, which no run has read:")
    assert lines[place + 1 : place + 3] == [
        "  x:a: 2026-11-20 05:00 to 2026-11-21 05:00 UTC (posts), lost after 2026-11-27 05:00 UTC",
        "  rss-2: 2026-11-20 05:00 to 2026-11-21 05:00 UTC (budget)",
    ]
    objects["reports/_feeds/x-1.coverage.json"] = objects["reports/_feeds/rss-2.coverage.json"] = {"gaps": []}
    status.main(Namespace(runs=10), Output())
    assert "gap" not in capsys.readouterr().out


def rebuilt(name: str, outcome: str, **fields: Any) -> dict[str, Any]:
    """The report of a rebuild, as far as the command reads it."""
    counts = {"ok": 20, "duplicate": 3, "rejected": 1, "unreadable": 0, "kept": 0, "changed": 0}
    usual = {"rebuild_id": name, "outcome": outcome, "files": 2, "counts": counts, "open": []}
    return usual | {"rebuild": {"dry_run": False}} | fields


DRY = rebuilt("rebuild-9", "ok", rebuild={"dry_run": True})
AS_BEFORE = {"ok": 5, "duplicate": 0, "rejected": 0, "unreadable": 2, "kept": 1, "changed": 0}
AGAIN = "start it again with the same options: ./imagelake rebuild --lake L ..."


@pytest.mark.parametrize(
    ("rebuilds", "line"),
    [
        ([], "Open batches: none"),
        ([DRY], "Open batches: none"),
        ([rebuilt("rebuild-1", "ok")], "Last rebuild: rebuild-1: ok, 24 new rows in 2 files"),
        (
            [DRY, rebuilt("b", "ok", counts=AS_BEFORE), rebuilt("c", "failed")],
            "Last rebuild: b: ok, 5 new rows in 2 files, 3 rows are as before",
        ),
        ([rebuilt("a", "failed", open=[{}])], f"Last rebuild: a: failed, 1 file is as before; {AGAIN}"),
        (
            [rebuilt("a", "failed", open=[{}, {}]), rebuilt("b", "ok")],
            f"Last rebuild: a: failed, 2 files are as before; {AGAIN}",
        ),
    ],
)
def test_last_rebuild_is_one_line(
    rebuilds: list[dict[str, Any]],
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert shown([GOOD], tmp_path, monkeypatch, capsys, rebuilds=rebuilds)[-1] == line
