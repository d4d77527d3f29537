"""``imagelake rebuild``: its options become the request, and its result the exit code and one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from local.__main__ import main
from local.local_lake import LocalLake
from local.stack_lake import StackLake

REPORT: dict[str, Any] = {
    "listed": 3, "files": 2, "images": 20, "raw_bytes": 1234567, "counts": {"ok": 19, "kept": 1, "changed": 0},
    "estimate": {"usd": 1.5, "usd_glacier": 18.4, "minutes": 2.5}, "rebuild": {"dry_run": False}, "open": [],
}  # fmt: skip


class States:
    """Step Functions, as far as the command uses it."""

    class exceptions:  # noqa: N801
        class ExecutionAlreadyExists(Exception):  # noqa: N818
            pass

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.names: set[str] = set()

    def start_execution(self, *, stateMachineArn: str, name: str, input: str) -> dict[str, str]:  # noqa: N803
        assert stateMachineArn == "arn:rebuild"
        if name in self.names:
            raise self.exceptions.ExecutionAlreadyExists
        self.names.add(name)
        self.requests.append(json.loads(input))
        return {"executionArn": f"arn:{name}"}


@pytest.fixture
def states(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> States:
    (tmp_path / "state").mkdir()
    states = States()
    monkeypatch.setattr(LocalLake, "prepare", lambda lake, feeds: [])
    monkeypatch.setattr(LocalLake, "save", lambda *_: {})
    monkeypatch.setattr(LocalLake, "client", lambda lake, service: states)
    monkeypatch.setattr(LocalLake, "outputs", {"RebuildArn": "arn:rebuild"})
    monkeypatch.setattr("local.commands.rebuild.failure_message", lambda *_: "the reason")
    end(monkeypatch, "SUCCEEDED", REPORT)
    return states


def end(monkeypatch: pytest.MonkeyPatch, status: str, report: dict[str, Any] | None) -> None:
    """Set how the rebuild ends."""
    monkeypatch.setattr("local.commands.rebuild.follow", lambda *_: {"status": status, "error": "RebuildIncomplete"})
    monkeypatch.setattr(LocalLake, "read", lambda *_: None if report is None else json.dumps(report).encode())


@pytest.mark.parametrize(
    ("options", "request_"),
    [
        ([], {}),
        (["--dry-run"], {"dry_run": True}),
        (["--size", "256", "--tensor", "uint8"], {"image_size": 256, "tensor": "uint8"}),
        (["--tensor", "none"], {"tensor": "none"}),
        (["--network", "rss", "--network", "x", "--feed", "x:a"], {"networks": ["rss", "x"], "feeds": ["x:a"]}),
        (["--version-below", "4", "--code", "too_small"], {"transform_version_below": 4, "error_codes": ["too_small"]}),
        (["--from-day", "2026-11-01", "--to-day", "2026-11-02"], {"from_day": "2026-11-01", "to_day": "2026-11-02"}),
        (["--min-size", "8", "--max-area", "99"], {"min_image_size": 8, "max_image_area": 99}),
        (["--max-ratio", "3"], {"max_aspect_ratio": 3}),
    ],
    ids=str,
)
def test_options_become_the_request(
    states: States, tmp_path: Path, options: list[str], request_: dict[str, Any]
) -> None:
    assert main(["rebuild", "--lake", str(tmp_path), *options]) == 0
    assert states.requests == [request_]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--from-day", "tomorrow"], "from_day: it has to be a day such as 2026-11-01"),
        (["--to-day", "2026-02-30"], "to_day: it has to be a day such as 2026-11-01"),
        (["--from-day", "2026-11-02", "--to-day", "2026-11-01"], "from_day 2026-11-02 is after to_day 2026-11-01"),
        (["--min-size", "100", "--max-area", "99"], "max_image_area"),
        (["--feed", ""], "feeds.0: "),
    ],
)
def test_wrong_option_starts_nothing(
    states: States, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], sentence: str
) -> None:
    assert main(["rebuild", "--lake", str(tmp_path), *options]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert sentence in line
    assert states.requests == []


@pytest.mark.parametrize("name", ["blusky", "Mastodon", "bluesky:nasa.gov", ""])
def test_network_that_does_not_exist_is_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["rebuild", "--network", name])
    assert end.value.code == 2
    assert f"there is no network '{name}'; the networks are bluesky, commons, " in capsys.readouterr().err


def test_result_is_shown(states: States, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rebuild", "--lake", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    for part in ("2 of 3 have rows", "20, with 1,234,567 bytes", "19 ok, 1 kept"):
        assert part in shown
    # A rebuild on this machine costs nothing.
    assert "USD" not in shown


def test_price_of_a_stack_is_shown(
    states: States, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("prepare", "save", "client", "outputs", "read"):
        monkeypatch.setattr(StackLake, name, vars(LocalLake)[name])
    assert main(["rebuild", "--stack", "imagelake"]) == 0
    assert "1.50 USD in a stack, or 18.40 USD from Glacier" in capsys.readouterr().out


def test_rebuild_of_no_row_says_so(
    states: States, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    end(monkeypatch, "SUCCEEDED", REPORT | {"counts": {"ok": 0, "kept": 0}})
    assert main(["rebuild", "--lake", str(tmp_path)]) == 0
    assert "Rows: none, so nothing was changed" in " ".join(capsys.readouterr().out.split())


def test_two_rebuilds_of_one_second_have_different_names(states: States, tmp_path: Path) -> None:
    for _ in range(3):
        assert main(["rebuild", "--lake", str(tmp_path)]) == 0
    assert len(states.names) == 3


def test_dry_run_says_that_nothing_was_changed(
    states: States, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    end(monkeypatch, "SUCCEEDED", REPORT | {"rebuild": {"dry_run": True}})
    assert main(["rebuild", "--lake", str(tmp_path), "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "nothing was changed" in shown
    assert "1.50 USD in a stack, or 18.40 USD from Glacier" in shown


@pytest.mark.parametrize("is_reported", [True, False])
def test_failure_is_one_sentence(
    states: States,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    is_reported: bool,
) -> None:
    failed = {"key": "lake/a.parquet", "failure": {"error": "DamagedObjectError", "message": "it is damaged"}}
    end(monkeypatch, "FAILED", REPORT | {"open": [failed]} if is_reported else None)
    assert main(["rebuild", "--lake", str(tmp_path)]) == 1
    shown = capsys.readouterr()
    assert ("lake/a.parquet: DamagedObjectError: it is damaged" in shown.out) == is_reported
    reason = "1 files are as they were" if is_reported else "the reason"
    assert f"{reason}; remove the cause, then start it again with the same options" in shown.err
    assert len(shown.err.splitlines()) == 1


def test_stack_of_an_older_version_is_named(
    states: States, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(LocalLake, "outputs", {})
    assert main(["rebuild", "--lake", str(tmp_path)]) == 1
    assert "has no rebuild yet; deploy this version first" in capsys.readouterr().err
