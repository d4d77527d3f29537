"""Every command of the runbook runs as it is written, against a deployed stack, where the local engine can run it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.deploy import ONLY_WITH_TLS, STACK_NAME, deploy
from local.engine import REGION, Engine
from tests.support import aws_cli
from tests.support.deployed_stack import TEMPLATE, Stack

ROOT = Path(__file__).parents[3]
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
# Blocks in a list are indented.
FIRST, *BLOCKS = [
    "\n".join(line.removeprefix(indent) for line in text.splitlines())
    for indent, text in re.findall(r"^( *)```bash\n(.*?)^ *```$", RUNBOOK, re.MULTILINE | re.DOTALL)
]
# These need AWS: a build for Lambda, and SAM. A static test checks their parameters.
ONLY_ON_AWS = ("make build", ".venv/bin/sam deploy")
# A network that does not exist, so that no run asks a real one.
FEED = "nosuch:alice"
# The erasure whose suppression is lifted.
LIFTED = "0123456789abcdef0123"
MARK = "---- next block ----"


Printed = dict[str, str]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Engine(tmp_path_factory.mktemp("engine"), settings={"SFN_WAIT_SCALE": "0"}) as engine:
        engine.client("secretsmanager").create_secret(Name=f"{STACK_NAME}/facebook", SecretString="{}")
        stack = Stack(engine, deploy(engine, TEMPLATE, {"ScheduleState": "DISABLED"}, without=ONLY_WITH_TLS))
        for key in (
            "rejects/source=bluesky/dt=2026-11-22/run-1.jsonl",
            "open/feed/batch.json",
            "erasures/receipt.json",
            "lake/images/a.parquet",
        ):
            engine.client("s3").put_object(Bucket=stack.bucket, Key=key, Body=b"x-ray")
        media_index = stack.outputs["ImageKeysTableName"]
        for media_id in ("one", "two"):
            engine.client("dynamodb").put_item(TableName=media_index, Item={"media_id": {"S": media_id}})
        for entry, erasure in (("h1", LIFTED), ("h2", "other"), ("h3", LIFTED)):
            hashed = {"list": {"S": "hashes"}, "entry": {"S": entry}, "erasure": {"S": erasure}}
            engine.client("dynamodb").put_item(TableName=stack.outputs["SuppressionTableName"], Item=hashed)
        stack.run(feeds=[FEED])
        yield stack


@pytest.fixture(scope="module")
def printed(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Printed:
    """Run all blocks in one shell, as a person would; return what each of them prints."""
    marked = [FIRST, *(f"echo '{MARK}'\n{block}" for block in BLOCKS)]
    lines = [line for text in marked for line in text.splitlines() if not line.startswith(ONLY_ON_AWS)]
    script = "\n".join(lines).replace("bluesky:alice.example", FEED).replace("instagram:#caturday", FEED)
    # The engine has one stack of this name in all regions, so objects and tables are copied to themselves.
    script = script.replace("eu-west-1", REGION).replace(".venv/bin/python", sys.executable)
    # A person puts the id of a feed there. And the program would install its own environment.
    script = script.replace("FEED_ID", "feed").replace("./imagelake", f"{sys.executable} -m local")
    command = ["bash", "-euo", "pipefail", "-c", script]
    with aws_cli.installed(tmp_path_factory.mktemp("bin"), stack.engine.client) as path:
        environment = stack.engine.environment() | {"PATH": path}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    outputs = done.stdout.split(f"{MARK}\n")[1:]
    assert done.returncode == 0, f"{[FIRST, *BLOCKS][len(outputs)]}\n{done.stderr}"
    return dict(zip(BLOCKS, outputs, strict=True))


def printed_by(printed: Printed, text: str) -> str:
    (output,) = [output for block, output in printed.items() if text in block]
    return output


def test_every_block_runs_as_it_is_written(printed: Printed) -> None:
    assert len(printed) == len(BLOCKS) > 10


def test_commands_start_runs(stack: Stack, printed: Printed) -> None:
    states = stack.engine.client("stepfunctions")
    arn = stack.outputs["StateMachineArn"].replace(":stateMachine:", ":execution:")
    names = stack.executions().keys() - {"run-1"}
    inputs = [json.loads(states.describe_execution(executionArn=f"{arn}:{name}")["input"]) for name in names]
    retry = {"run_id": "run-1", "error_codes": ["timed_out", "server_error"]}
    expected: list[Any] = [
        {},
        {"schedule": "frequent"},
        {"dt": "2026-11-22", "feeds": [FEED]},
        {"feeds": [FEED], "retry": retry},
    ]
    assert sorted(inputs, key=str) == sorted(expected, key=str)


def test_commands_change_what_the_runbook_says(stack: Stack, printed: Printed) -> None:
    client = stack.engine.client
    value = client("ssm").get_parameter(Name=stack.outputs["FeedsParameterName"])["Parameter"]["Value"]
    assert json.loads(value) == {"daily": [FEED], "frequent": [FEED]}
    secret = client("secretsmanager").get_secret_value(SecretId=f"{STACK_NAME}/facebook")["SecretString"]
    assert json.loads(secret) == {"access_token": "..."}
    versions = client("s3").list_object_versions(Bucket=stack.bucket, Prefix="reports/run-1/run.json")["Versions"]
    assert len(versions) == 2
    key = {"list": {"S": "version"}, "entry": {"S": "version"}}
    version = client("dynamodb").get_item(TableName=stack.outputs["SuppressionTableName"], Key=key)["Item"]
    assert version["number"] == {"N": "1"}
    left = client("dynamodb").scan(TableName=stack.outputs["SuppressionTableName"])["Items"]
    assert sorted(item["entry"]["S"] for item in left) == ["h2", "version"]


def test_commands_print_what_the_runbook_says(printed: Printed) -> None:
    assert "open/feed/batch.json" in printed_by(printed, '$BUCKET/open/"')
    found = printed_by(printed, "FEED_ID")
    assert re.search(r"\bbluesky-[0-9a-f]{16}\b", found)
    assert found.endswith(" batch.json\n")
    assert printed_by(printed, "/erasures/").endswith(" receipt.json\n")
    assert printed_by(printed, "/rejects/").endswith("/run-1.jsonl\nx-ray")
    assert '"status": "FAILED"' in printed_by(printed, "describe-execution")
    assert "2 items copied to" in printed_by(printed, "copy_table")
