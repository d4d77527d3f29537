"""``imagelake logs``: the lines of all functions, in the order of their time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from local.__main__ import main
from local.local_lake import LocalLake

# 2026-11-28T05:30:00Z in milliseconds.
START = 1_795_843_800_000


class Logs:
    """The client of a lake with two log groups; the engine names the first one, and AWS the second one."""

    def __init__(self) -> None:
        own = {"level": "INFO", "timestamp": "2026-11-28 05:30:02,500+0000", "service": "check_input", "message": "two"}
        late = {"level": "INFO", "timestamp": "2026-11-28 08:30:04,000+0300", "service": "fetch", "message": "four"}
        error = {"level": "ERROR", "service": "fetch", "message": "one", "exception": "Traceback of one"}
        self.groups: dict[str, list[tuple[int, Any]]] = {
            "/aws/cloudformation/imagelake/CheckInputLogGroup": [(9_000, own), (3_000, "[ERROR] BadInputError: three")],
            "imagelake-FetchLogGroup-Zk3x": [(1_000, error), (9_000, late), (5_000, "RequestId: 1 Error: five")],
        }

    def get_paginator(self, _: str) -> Logs:
        return self

    def paginate(self, **asked: str) -> list[dict[str, Any]]:
        events = [
            {"timestamp": START + after, "message": text if isinstance(text, str) else json.dumps(text)}
            for after, text in self.groups[asked["logGroupName"]]
        ]
        return [{"events": events}]


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    logs = Logs()
    (tmp_path / "state").mkdir()
    monkeypatch.setattr(LocalLake, "client", lambda lake, service: logs)
    monkeypatch.setattr(LocalLake, "resources", lambda lake, kind: list(logs.groups))
    return ["--lake", str(tmp_path)]


def test_lines_of_all_functions_are_in_the_order_of_their_time(
    lake: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["logs", *lake]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "2026-11-28T05:30:01.000+00:00 ERROR fetch one",
        "Traceback of one",
        "2026-11-28T05:30:02.500+00:00 INFO check_input two",
        "2026-11-28T05:30:03.000+00:00 ERROR check_input [ERROR] BadInputError: three",
        "2026-11-28T05:30:04.000+00:00 INFO fetch four",
        "2026-11-28T05:30:05.000+00:00 ERROR fetch RequestId: 1 Error: five",
    ]


@pytest.mark.parametrize(("options", "last"), [([], ["four", "RequestId: 1 Error: five"]), (["--problems"], None)])
def test_newest_lines_are_printed(
    options: list[str], last: list[str] | None, lake: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["logs", "--lines", "2", "--json", *options, *lake]) == 0
    lines = json.loads(capsys.readouterr().out)
    assert [line["message"] for line in lines] == (last or ["[ERROR] BadInputError: three", "RequestId: 1 Error: five"])
