"""The command line on a deployed stack: the same commands as on a local lake, through AWS's APIs alone."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.__main__ import main
from local.deploy import STACK_NAME
from local.engine import REGION
from tests.support.deployed_stack import Stack
from tests.support.servers import Servers


@pytest.fixture(autouse=True)
def account(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The environment of a user whose account is the engine."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", stack.engine.url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "local")
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    monkeypatch.setattr("local.arguments.DATASETS", tmp_path)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def result(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main([*arguments, "--stack", STACK_NAME, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_run_retry_status_report_and_logs_work_on_a_stack(
    stack: Stack, servers: Servers, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    feed = json.dumps(servers.sample_of_commands.account)
    run = result(capsys, "run", feed, "--batch-size", "10", "--preset", "fast")
    assert (run["status"], run["outcome"], run["totals"]["failed"]) == ("SUCCEEDED", "partial", 1)
    assert stack.report(run["run_id"])["run"]["preset"] == "fast"
    assert run["report"] == f"s3://{stack.bucket}/reports/{run['run_id']}/index.html"

    retry = result(capsys, "retry", run["run_id"], "--code", "forbidden")
    assert (retry["status"], retry["totals"]["planned"], retry["errors"]) == ("SUCCEEDED", 1, {"forbidden": 1})

    status = result(capsys, "status", "--runs", "2")
    assert [one["run_id"] for one in status["runs"]] == [retry["run_id"], run["run_id"]]
    assert status["runs"][1]["totals"] == run["totals"]
    assert status["open_batches"] == {}

    options = ("--feed", run["feeds"][0]["feed"], "--size", "64", "--tensor", "uint8")
    dry = result(capsys, "rebuild", "--dry-run", *options)
    assert (dry["status"], dry["report"]["rebuild"]["dry_run"]) == ("SUCCEEDED", True)
    rebuild = result(capsys, "rebuild", *options)
    assert (rebuild["status"], rebuild["report"]["outcome"]) == ("SUCCEEDED", "ok")
    assert rebuild["report"]["images"] == dry["report"]["images"] > 0
    widths = {row["width"] for row in stack.rows(servers.sample_of_commands.url) if row["status"] == "ok"}
    assert max(widths) == 64

    report = result(capsys, "report", run["run_id"])
    assert Path(report["page"]).is_relative_to(tmp_path)
    assert Path(report["page"]).read_bytes() == stack.read(f"reports/{run['run_id']}/index.html")

    lines = result(capsys, "logs", run["run_id"], "--lines", "1000")
    assert {line["service"] for line in lines} >= {"check_input", "fetch", "report"}
    assert all(run["run_id"] in json.dumps(line) for line in lines)


def test_plan_and_backfill_work_on_a_stack(stack: Stack, servers: Servers, capsys: pytest.CaptureFixture[str]) -> None:
    feed = json.dumps(servers.sample_of_backfill.account)
    plan = result(capsys, "plan", feed, "--limit", "20")
    assert (plan["status"], plan["totals"]["posts"], plan["feeds"][0]["problem"]) == ("SUCCEEDED", 20, None)

    assert main(["backfill", feed, "--since", "2020-01-01", "--limit", "10", "--stack", STACK_NAME]) == 0
    lines = capsys.readouterr().out
    assert re.search(r"posts read, \d+ of them with a new image, back to 20\d\d-\d\d-\d\d; it goes on", lines)
    assert ", back to 20" in lines.splitlines()[-2]
    assert lines.splitlines()[-2].endswith("; the backfill is done")
    assert "Warning: " in lines.splitlines()[-1], "the listing ends before that day"
    assert len({row["media_id"] for row in stack.rows(servers.sample_of_backfill.url)}) == 36

    (again,) = result(capsys, "backfill", feed, "--since", "2020-01-01")
    assert [one["done"] for one in again["backfills"]] == [True]
    (feed_status,) = again["feeds"]
    assert feed_status["status"] == "up_to_date"


def test_run_that_fails_before_its_report_has_the_reason_and_logs_it(capsys: pytest.CaptureFixture[str]) -> None:
    # The feed is right for the command line, and wrong as JSON of more than 500 bytes.
    feed = json.dumps({"source": "rss", "account": f"https://a.example/{'a' * 480}"})
    assert main(["run", feed, "--stack", STACK_NAME, "--json"]) == 1
    run = json.loads(capsys.readouterr().out)
    assert (run["status"], run["outcome"]) == ("FAILED", None)
    assert run["error"] == "execution input: feeds.0: a feed has at most 500 bytes as JSON in UTF-8"
    lines = result(capsys, "logs", run["run_id"], "--problems")
    assert [line["message"] for line in lines] == [f"[ERROR] BadInputError: {run['error']}"]


@pytest.mark.parametrize("command", [["status"], ["query", "SELECT 1"], ["logs"], ["report"], ["run"], ["retry", "a"]])
def test_stack_that_does_not_exist_is_named(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--stack", "nosuch"]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == "error: the stack nosuch: there is no such stack"


def test_run_that_does_not_exist_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("retry", "report", "logs"):
        assert main([command, "nosuch", "--stack", STACK_NAME]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert re.search(r"has no (report of a )?run nosuch; list its runs with: ./imagelake status$", line)


def test_account_that_cannot_be_reached_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    assert main(["status", "--stack", STACK_NAME]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: AWS cannot be asked: Could not connect to the endpoint URL")
