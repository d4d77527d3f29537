"""Every function runs with its example event, in the program that a debugger starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from imagelake.run.settings import Settings
from tests.support.fake_lake import Lake
from tests.support.invoke import SETTINGS, invoke
from tests.support.web_server import WebServer

FUNCTIONS = Path(__file__).parents[3] / "functions"
# A part of each result that shows that the function did its work.
RESULTS: dict[str, dict[str, Any]] = {
    "check_erasure": {},
    "check_input": {},
    "erase_pages": {"changed": 1, "erased": 1},
    "erase_reports": {"changed": 1, "erased": 1},
    "erase_images": {"changed": 0, "erased": 0},
    "erase_rows": {"changed": 2, "erased": 2},
    "fetch": {"status": "done", "posts": 1},
    "find_erased": {"must_wait": False, "left": 1},
    "ingest_stream": {"batchItemFailures": []},
    "map_keys": {"mapped": 1},
    "plan_rebuild": {"files": 1},
    "rebuild_images": {"ok": 1},
    "reconcile": {"status": "complete"},
    "record_failure": {"error": "BatchDeadlineError"},
    "relay_alert": {"relayed": 1},
    "report": {"outcome": "ok"},
    "report_rebuild": {"outcome": "ok"},
    "suppress": {"entries": 1},
    "transform": {"ok": 1, "failed": 0},
    "unpack": {"status": "planned"},
    "validate": {"items": 1, "rejected_posts": 0},
    "write_parquet": {"rows": 1},
    "write_receipt": {"receipt_key": "erasures/0123456789abcdef0123.json"},
}


def test_every_function_has_an_example_event() -> None:
    assert RESULTS.keys() == {app.parent.name for app in FUNCTIONS.glob("*/app.py")}


@pytest.mark.slow
@pytest.mark.parametrize("name", RESULTS)
def test_function_runs_with_its_example_event(
    name: str, lake: Lake, website: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("ALERT_WEBHOOK_SECRET", "STATE_MACHINE_ARN"):
        monkeypatch.setenv(variable, SETTINGS[variable])
    Settings.load.cache_clear()
    assert invoke(name, lake, website).items() >= RESULTS[name].items()
