"""``imagelake erase`` and ``status``: an erasure that did not end is visible, and one command finishes it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from imagelake.run.erasure_models import ErasureRequest
from local.__main__ import main
from local.commands.erase import _name_item
from local.erasures import unfinished_erasures
from local.local_lake import LocalLake
from local.stack_lake import StackLake

ID = "0123456789abcdef0123"
AUTHOR = "did:plc:secret-person"
RECEIPT = {"receipt_key": f"erasures/{ID}.json", "message": "It is complete."}


def request(reference: str = "ticket 17", **fields: Any) -> dict[str, Any]:
    """A request as Check Erasure stores it."""
    value = {
        "erase": {"authors": [{"source": "bluesky", "author_id": AUTHOR}]},
        "reason": "author_request",
        "reference": reference,
    }
    return ErasureRequest.read(value | fields).model_dump(mode="json")


def counts(**numbers: int) -> dict[str, Any]:
    none = dict.fromkeys(("items", "files", "open_batches", "raw_images", "pages", "reports"), 0)
    return none | {"usd": 0.01} | numbers


class States:
    """Step Functions, as far as the commands use it."""

    exceptions = SimpleNamespace(ExecutionAlreadyExists=FileExistsError)

    def __init__(self) -> None:
        self.running: list[str] = []
        self.requests: list[dict[str, Any]] = []
        self.counts = counts(items=2, pages=3)
        self.status = "SUCCEEDED"

    def start_execution(self, *, stateMachineArn: str, name: str, input: str) -> dict[str, str]:  # noqa: N803
        assert stateMachineArn == "arn:erasure"
        self.requests.append(json.loads(input))
        return {"executionArn": f"arn:{name}"}

    def follow(self, client: object, arn: str, console: object) -> dict[str, Any]:
        if self.requests[-1].get("dry_run"):
            return {"status": "SUCCEEDED", "output": json.dumps({"found": {"counts": self.counts}})}
        return {"status": self.status, "output": json.dumps({"receipt": RECEIPT})}

    def get_paginator(self, name: str) -> States:
        assert name == "list_executions"
        return self

    def paginate(self, *, stateMachineArn: str, statusFilter: str) -> Iterator[dict[str, Any]]:  # noqa: N803
        assert (stateMachineArn, statusFilter) == ("arn:erasure", "RUNNING")
        yield {"executions": [{"executionArn": text} for text in self.running]}

    def describe_execution(self, *, executionArn: str) -> dict[str, str]:  # noqa: N803
        return {"input": executionArn}


@pytest.fixture
def stored() -> dict[str, Any]:
    """The stored objects under their keys."""
    return {}


@pytest.fixture
def states(tmp_path: Path, stored: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> States:
    """A lake on this machine without an engine."""
    (tmp_path / "state").mkdir()
    states = States()
    for lake in (LocalLake, StackLake):
        monkeypatch.setattr(lake, "prepare", lambda lake, feeds: [])
        monkeypatch.setattr(lake, "save_receipt", lambda lake, key: {"Receipt": key})
        monkeypatch.setattr(lake, "client", lambda lake, service: states)
        monkeypatch.setattr(lake, "outputs", {"ErasureStateMachineArn": "arn:erasure"})
        monkeypatch.setattr(
            lake, "objects", lambda lake, prefix: [{"Key": key} for key in stored if key.startswith(prefix)]
        )
        monkeypatch.setattr(lake, "read", lambda lake, key: json.dumps(stored[key]).encode() if key in stored else None)
    monkeypatch.setattr("local.commands.status.list_runs", lambda lake, most: [])
    monkeypatch.setattr("local.commands.erase.follow", states.follow)
    monkeypatch.setattr("local.commands.erase.failure_message", lambda *_: "the reason")
    monkeypatch.setattr("local.arguments.DATASETS", tmp_path)
    return states


def key(erasure_id: str) -> str:
    return f"work/erasures/{erasure_id}/request.json"


@pytest.mark.parametrize("option", ["--lake", "--stack"])
@pytest.mark.parametrize("given", ["ticket 17", "löschen/3", "a [b] *"])
def test_status_shows_an_unfinished_erasure_and_the_command_that_finishes_it(
    option: str,
    given: str,
    states: States,
    stored: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stored |= {key(ID): request(given), f"work/erasures/{ID}/files/1.json": {}}
    lake = [option, str(tmp_path) if option == "--lake" else "imagelake"]
    assert main(["status", *lake]) == 0
    shown = capsys.readouterr().out
    assert shown.splitlines()[-1] == (
        f"Erasure {ID} ({given}, author_request) is unfinished; finish it: ./imagelake erase --again {ID}"
        f" {' '.join(lake)}"
    )
    assert main(["status", *lake, "--json"]) == 0
    out = capsys.readouterr().out
    (one,) = json.loads(out)["unfinished_erasures"]
    assert (one["erasure_id"], one["reference"], one["in_progress"]) == (ID, given, False)
    assert AUTHOR not in shown + out


def test_status_tells_an_erasure_in_progress_from_one_that_was_stopped(
    states: States, stored: dict[str, Any], tmp_path: Path
) -> None:
    other = ID[::-1]
    stored |= {key(ID): request(), key(other): request("another")}
    states.running = ["no JSON", "[]", json.dumps({"reason": 1}), json.dumps(request("another"))]
    lake = StackLake("imagelake", tmp_path)
    assert {one.erasure_id: one.is_in_progress for one in unfinished_erasures(lake)} == {ID: False, other: True}


@pytest.mark.parametrize("keys", [[], [f"{ID}-dry-run"]])
def test_status_names_no_erasure_that_has_ended_and_no_dry_run(
    keys: list[str], states: States, stored: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored |= {key(one): request(dry_run=True) for one in keys}
    assert main(["status", "--lake", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "Open batches: none"


def test_erasure_is_finished_with_its_stored_request(
    states: States, stored: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored[key(ID)] = request()
    assert main(["erase", "--again", ID, "--lake", str(tmp_path)]) == 1
    assert "add --yes" in capsys.readouterr().err
    assert states.requests == []
    assert main(["erase", "--again", ID, "--yes", "--lake", str(tmp_path)]) == 0
    assert states.requests == [request()]
    assert main(["erase", "--again", ID, "--dry-run", "--lake", str(tmp_path)]) == 0
    assert states.requests[1:] == [request(dry_run=True)]


@pytest.mark.parametrize("erasure_id", [ID, "", "..", f"{ID[::-1]}-dry-run"])
def test_erasure_that_is_not_stored_is_not_finished(
    erasure_id: str, states: States, stored: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored[key(f"{ID[::-1]}-dry-run")] = request(dry_run=True)
    assert main(["erase", "--again", erasure_id, "--yes", "--lake", str(tmp_path)]) == 1
    assert f"has no unfinished erasure {erasure_id}; list them with: ./imagelake status" in capsys.readouterr().err
    assert states.requests == []


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "the following arguments are required: --reason, --reference"),
        (["--reason", "opt_out"], "the following arguments are required: --reference"),
        (["--reference", "1"], "the following arguments are required: --reason"),
        (["--again", ID, "--reason", "opt_out"], "--again takes the stored request; leave out --reason"),
        (["--again", ID, "--near-duplicates", "--media", "a"], "leave out --media, --near-duplicates"),
        (["--author", "blusky", "a"], "there is no network 'blusky'; the networks are bluesky, commons, "),
        (["--author", "rss", "a", "--post", "Mastodon", "1", "2"], "there is no network 'Mastodon'; the networks are"),
    ],
)
def test_options_that_do_not_fit_are_one_sentence(
    options: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["erase", *options])
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert sentence in line


@pytest.mark.parametrize("option", ["--lake", "--stack"])
def test_interrupt_says_what_becomes_of_the_erasure(
    option: str, states: States, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def follow(*call: Any) -> dict[str, Any]:
        if len(states.requests) == 2:
            raise KeyboardInterrupt
        return states.follow(*call)

    monkeypatch.setattr("local.commands.erase.follow", follow)
    lake = [option, str(tmp_path) if option == "--lake" else "imagelake"]
    command = ["erase", "--media", "a", "--reason", "opt_out", "--reference", "1", "--yes", *lake]
    assert main(command) == 130
    state = "The erasure is not finished" if option == "--lake" else "The erasure goes on in the stack"
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"{state}; ./imagelake status {' '.join(lake)} names the command that finishes it."


@pytest.mark.parametrize("status", ["SUCCEEDED", "FAILED"])
def test_copied_reports_of_a_stack_are_deleted_before_an_erasure(status: str, states: States, tmp_path: Path) -> None:
    page = tmp_path / "stacks" / "imagelake" / "reports" / "run-1" / "index.html"
    page.parent.mkdir(parents=True)
    page.touch()
    states.status = status
    command = ["erase", "--media", "a", "--reason", "opt_out", "--reference", "1", "--stack", "imagelake"]
    assert main([*command, "--dry-run"]) == 0
    assert page.exists()
    assert main([*command, "--yes"]) == (0 if status == "SUCCEEDED" else 1)
    assert not page.exists()


def erase(lake: Path, *more: str) -> list[str]:
    return ["erase", "--author", "bluesky", AUTHOR, "--reason", "author_request", "--reference", "ticket 17",
            "--lake", str(lake), *more]  # fmt: skip


@pytest.mark.parametrize(
    ("found", "matches"),
    [
        (counts(pages=12, reports=3), False),
        (counts(), False),
        (counts(items=2, pages=12), True),
        (counts(open_batches=1), True),
        (counts(raw_images=1), True),
    ],
)
def test_dry_run_that_matches_nothing_says_so(
    found: dict[str, Any], matches: bool, states: States, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Pages and reports are those of the whole lake: docs/erasure.md."""
    states.counts = found
    assert main(erase(tmp_path, "--dry-run")) == 0
    shown = capsys.readouterr().out
    assert ("Nothing matches: " in shown) != matches
    assert ("An erasure would still suppress the request" in shown) != matches
    labels = {line.rsplit(maxsplit=1)[0].strip() for line in shown.splitlines() if line.strip()}
    assert labels >= {"pages to look into", "reports to look into"}


def test_dry_run_names_the_unfinished_erasure_of_the_same_request(
    states: States, stored: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored[key(ID[::-1])] = request("another")
    assert main(erase(tmp_path, "--dry-run")) == 0
    assert "not finished" not in capsys.readouterr().out
    stored[key(ID)] = request()
    assert main(erase(tmp_path, "--dry-run")) == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        "An erasure with this request is not finished, so it may have erased a part already: ./imagelake erase --again"
        f" {ID} --lake {tmp_path}"
    )


@pytest.mark.parametrize("is_stored", [True, False])
def test_failed_erasure_says_why_and_how_to_go_on(
    is_stored: bool, states: States, stored: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    states.status = "FAILED"
    if is_stored:
        stored[key(ID)] = request()
    assert main(erase(tmp_path, "--yes")) == 1
    finish = (
        f"finish it: ./imagelake erase --again {ID} --lake {tmp_path}"
        if is_stored
        else "start it again with the same command"
    )
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"error: the erasure is not complete: the reason; remove the cause, then {finish}"


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"erasure": {"erasure_id": ID}, "step": "erase", "number": 7}, "lake/images/a.parquet"),
        ({"erasure": {"erasure_id": ID}, "step": "promote", "number": 8}, "a dataset file"),
        (
            {"erasure": {"erasure_id": ID}, "day": {"source": "rss", "dt": "2026-11-01"}},
            "raw pages of rss of 2026-11-01",
        ),
        ({"erasure": {"erasure_id": ID}, "report": {"run_id": "run-1", "dt": None}}, "the report of run-1"),
        ({"erasure": {"erasure_id": ID}, "report": {"run_id": None, "dt": None}}, "the lake at a glance"),
    ],
)
def test_item_of_a_failed_child_is_named(
    given: dict[str, Any], name: str, states: States, stored: dict[str, Any], tmp_path: Path
) -> None:
    stored[f"work/erasures/{ID}/files/7.json"] = {"key": "lake/images/a.parquet"}
    assert _name_item(LocalLake(tmp_path), given) == name
