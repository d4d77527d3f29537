"""``imagelake retry``: it starts a run only if an image of the named run can be retried."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from local.__main__ import main
from local.local_lake import LocalLake


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The inputs of the runs that the command starts."""
    inputs: list[dict[str, Any]] = []

    def start_run(lake: object, run_input: dict[str, Any], *_: object) -> dict[str, Any]:
        inputs.append(run_input)
        return {}

    monkeypatch.setattr(LocalLake, "prepare", lambda lake, feeds: [])
    monkeypatch.setattr("local.commands.retry.start_run", start_run)
    monkeypatch.setattr("local.commands.retry.finish", lambda *_: 0)
    return inputs


def make_lake(folder: Path, monkeypatch: pytest.MonkeyPatch, items: list[tuple[str, str]], problem: Any = None) -> None:
    """Make a lake with a report of a run, and with the list of its items that have no image."""
    (folder / "state").mkdir()
    lines = [json.dumps({"status": status, "error_code": code}) for status, code in items]
    feed = {"name": "x:a", "config": "x:a", "problem": problem}
    objects = {
        "reports/run-1/run.json": json.dumps({"feeds": [feed]}).encode(),
        "reports/run-1/failures/x-a.jsonl": "\n".join(lines).encode(),
    }
    monkeypatch.setattr(LocalLake, "read", lambda lake, key: objects.get(key))
    monkeypatch.setattr(
        LocalLake, "objects", lambda lake, prefix: [{"Key": key} for key in objects if key.startswith(prefix)]
    )


NOT_FOUND, REJECTED = ("failed", "not_found"), ("rejected", "not_an_image")


@pytest.mark.parametrize(
    ("items", "problem", "codes", "sentence"),
    [
        ([NOT_FOUND], None, [], "its errors (not_found) are permanent; name codes with --code"),
        ([NOT_FOUND, ("failed", "forbidden")], None, [], "its errors (forbidden, not_found) are permanent; name codes"),
        ([NOT_FOUND], None, ["timed_out"], "no image of run-1 failed with timed_out, but with not_found"),
        ([REJECTED], None, ["not_an_image"], "rejected images (not_an_image) would be rejected again"),
        ([REJECTED, NOT_FOUND], None, ["not_an_image"], "rejected images (not_an_image) would be rejected again"),
        ([REJECTED], None, [], "no image of run-1 failed"),
        ([], None, [], "no image of run-1 failed"),
        ([], {"error": "E"}, [], "x:a was not read to its end; run again: ./imagelake run --lake"),
    ],
)
def test_nothing_to_retry_is_one_sentence_and_starts_no_run(
    items: list[tuple[str, str]],
    problem: Any,
    codes: list[str],
    sentence: str,
    started: list[dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make_lake(tmp_path, monkeypatch, items, problem)
    options = [text for code in codes for text in ("--code", code)]
    assert main(["retry", "run-1", "--lake", str(tmp_path), *options]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: nothing to retry: {sentence}")
    assert started == []


@pytest.mark.parametrize(
    ("items", "codes"), [([("failed", "timed_out"), NOT_FOUND], []), ([NOT_FOUND, REJECTED], ["not_found", "empty"])]
)
def test_run_is_started_if_one_image_can_be_retried(
    items: list[tuple[str, str]],
    codes: list[str],
    started: list[dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_lake(tmp_path, monkeypatch, items)
    options = [text for code in codes for text in ("--code", code)]
    assert main(["retry", "run-1", "--lake", str(tmp_path), *options]) == 0
    retry = {"run_id": "run-1"} | ({"error_codes": codes} if codes else {})
    assert started == [{"feeds": ["x:a"], "retry": retry}]
