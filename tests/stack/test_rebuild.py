"""A rebuild on the deployed stack: each function has its own role, and no server of a network is asked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.deployed_stack import Stack
from tests.support.servers import Servers


def execute(stack: Stack, name: str, **request: Any) -> dict[str, Any]:
    """Run a rebuild to its end; returns its description with ``notification`` added."""
    arn = stack.engine.client("stepfunctions").start_execution(
        stateMachineArn=stack.outputs["RebuildArn"], name=name, input=json.dumps(request)
    )["executionArn"]
    return stack.wait(arn) | {"notification": stack.notification()}


def rebuild(stack: Stack, name: str, **request: Any) -> dict[str, Any]:
    """Run a rebuild that succeeds; returns its report."""
    execution = execute(stack, name, **request)
    assert execution["status"] == "SUCCEEDED", execution
    report: dict[str, Any] = json.loads(stack.read(f"reports/_rebuilds/{name}.json"))
    return report


@contextmanager
def replaced(stack: Stack, key: str, body: bytes) -> Iterator[None]:
    """Put other bytes in the place of an object for a while."""
    s3, before = stack.engine.client("s3"), stack.read(key)
    metadata = s3.head_object(Bucket=stack.bucket, Key=key)["Metadata"]
    s3.put_object(Bucket=stack.bucket, Key=key, Body=body, Metadata=metadata)
    yield
    s3.put_object(Bucket=stack.bucket, Key=key, Body=before, Metadata=metadata)


def files(stack: Stack) -> dict[str, str]:
    return {key: hashlib.sha256(stack.read(key)).hexdigest() for key in stack.keys("lake/")}


@pytest.fixture(scope="module")
def closed(stack: Stack, servers: Servers, first_run: dict[str, Any]) -> dict[str, str]:
    """The files of the lake, and from here on a network that answers nobody."""
    return files(stack)


def test_same_versions_and_options_give_the_same_files(stack: Stack, servers: Servers, closed: dict[str, str]) -> None:
    asked = len(servers.sample.requests)
    report = rebuild(stack, "rebuild-same")
    assert report["outcome"] == "ok", report
    assert files(stack) == closed
    assert len(servers.sample.requests) == asked
    assert report["counts"]["changed"] == 0
    assert report["images"] == sum(report["counts"][name] for name in ("ok", "duplicate", "rejected"))


def test_dry_run_changes_no_file(stack: Stack, closed: dict[str, str]) -> None:
    report = rebuild(stack, "rebuild-dry", image_size=128, dry_run=True)
    assert files(stack) == closed
    assert report["estimate"]["usd"] > 0


def test_wrong_request_fails_with_its_field(stack: Stack) -> None:
    execution = execute(stack, "rebuild-wrong", image_sise=1)
    assert (execution["status"], execution["error"]) == ("FAILED", "BadInputError")
    assert "image_sise" in execution["cause"]
    assert "image_sise" in str(execution["notification"])


def test_damaged_raw_image_is_a_warning(stack: Stack, closed: dict[str, str]) -> None:
    with replaced(stack, stack.keys("raw/images/")[0], b"other bytes"):
        execution = execute(stack, "rebuild-warned")
    assert execution["status"] == "SUCCEEDED"
    assert "raw images are missing or damaged" in str(execution["notification"])
    assert files(stack) == closed


def test_damaged_file_fails_the_rebuild_and_no_other_file(
    stack: Stack, first_run: dict[str, Any], closed: dict[str, str]
) -> None:
    # Feeds of other tests have images of other qualities.
    (feed,) = (one["name"] for one in stack.report(first_run["name"])["feeds"])
    damaged = min(row["_key"] for row in stack.rows() if row["feed"] == feed)
    with replaced(stack, damaged, b"PAR1, but no file"):
        execution = execute(stack, "rebuild-failed", feeds=[feed], encode_quality=40)
    assert (execution["status"], execution["error"]) == ("FAILED", "RebuildIncomplete")
    assert damaged in str(execution["notification"])
    assert "DamagedObjectError" in str(execution["notification"])
    report = json.loads(stack.read("reports/_rebuilds/rebuild-failed.json"))
    assert [one["key"] for one in report["open"]] == [damaged]
    rebuild(stack, "rebuild-back", feeds=[feed], encode_quality=85)
    assert files(stack) == closed
