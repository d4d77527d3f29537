"""A stack with nothing on that is optional, and ``make destroy``: the stack goes, the data stays, and both are said."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.deploy import STACK_NAME, deploy
from local.engine import Engine
from tests.support.deployed_stack import TEMPLATE
from tools.destroy import retained

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with Engine(tmp_path_factory.mktemp("engine")) as engine:
        yield engine


@pytest.fixture(scope="module")
def outputs(engine: Engine) -> dict[str, str]:
    return deploy(engine, TEMPLATE, {"ScheduleState": "DISABLED"})


def destroy(engine: Engine, stack: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.destroy", stack, "--no-prompts", "--region", "us-east-1"]
    env = engine.environment() | {"SAM_CLI_TELEMETRY": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)


def test_stack_without_the_stream_has_none(engine: Engine, outputs: dict[str, str]) -> None:
    """Nothing of it is made, so nothing of it is billed."""
    assert "StreamName" not in outputs
    assert engine.client("kinesis").list_streams()["StreamNames"] == []
    names = [function["FunctionName"] for function in engine.client("lambda").list_functions()["Functions"]]
    assert names
    assert not [name for name in names if "IngestStream" in name or "RelayAlert" in name]


def test_data_is_kept_and_named(engine: Engine, outputs: dict[str, str]) -> None:
    engine.client("s3").put_object(Bucket=outputs["BucketName"], Key="lake/images/a.parquet", Body=b"PAR1")
    kept = {name for _, name in retained(engine.client("cloudformation"), STACK_NAME)}
    tables = {outputs[f"{name}TableName"] for name in ("ImageKeys", "ImageHashes", "Bookmarks", "Suppression")}
    assert kept > {outputs["BucketName"], *tables}
    # AWS names a secret by its ARN, the engine by its name.
    (key,) = kept - {outputs["BucketName"], *tables}
    assert key in outputs["SuppressionKeyArn"]

    done = destroy(engine, STACK_NAME)

    assert done.returncode == 0, done.stdout + done.stderr
    assert all(name in done.stdout.split("To remove")[0] and name in done.stdout.split("To remove")[1] for name in kept)
    assert engine.client("s3").list_objects_v2(Bucket=outputs["BucketName"])["KeyCount"] == 1
    assert set(engine.client("dynamodb").list_tables()["TableNames"]) == tables
    assert engine.client("secretsmanager").describe_secret(SecretId=outputs["SuppressionKeyArn"])
    assert engine.client("stepfunctions").list_state_machines()["stateMachines"] == []


def test_error_when_there_is_no_such_stack(engine: Engine) -> None:
    done = destroy(engine, "nosuch")
    assert done.returncode == 1
    assert "nosuch" in done.stderr
