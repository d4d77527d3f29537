"""An author with markers in every place is erased from a deployed stack, and nothing brings the markers back."""

from __future__ import annotations

import io
import json
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet
import pytest
from PIL import Image

from imagelake.imaging import Options
from imagelake.lake.erased_objects import folders
from imagelake.lake.rows import Status
from imagelake.run import aws
from imagelake.run.image_options import DEFAULT_PRESET
from imagelake.run.models import Batch, PlannedBatch, Run
from imagelake.run.posts import Item
from imagelake.sources import SOURCES
from local.__main__ import main
from local.deploy import ONLY_WITH_TLS, STACK_NAME, deploy
from local.engine import REGION, Engine
from reconcile.reconciliation import audit_batches
from tests.reliability import audit
from tests.support import marker_search
from tests.support.deployed_stack import TEMPLATE, Stack
from tests.support.erasure_scene import (
    BATCH_SIZE,
    is_person,
    needles,
    posts_of_person,
    put_in_stream,
    run_before_erasure,
)
from tests.support.fake_lake import Lake
from tests.support.marker_search import Needles
from tests.support.wire.erased_person import ACCT, BOB, CAROL, DID, PERSON, ErasedPersonServer

AUTHORS = [
    {"source": "bluesky", "author_id": DID},
    {"source": "mastodon", "author_id": ACCT},
    {"source": "stream", "author_id": DID},
]
REQUEST = {"erase": {"authors": AUTHORS}, "reason": "author_request", "reference": "ticket 17"}


class Scene(NamedTuple):
    """The stack after the runs before the erasure, its network, and the markers."""

    stack: Stack
    server: ErasedPersonServer
    needles: Needles
    records: list[bytes]
    places: dict[str, set[str]]


class DryRun(NamedTuple):
    """A dry run, and everything that was stored before and after it."""

    before: list[tuple[str, bytes]]
    after: list[tuple[str, bytes]]
    execution: dict[str, Any]


class Erased(NamedTuple):
    """An erasure with its receipt; the rows and the metadata of the dataset files are those from before it."""

    rows: dict[tuple[str, int], dict[str, Any]]
    footers: dict[str, bytes]
    began: int
    key: str
    receipt: bytes
    notification: dict[str, str] | None


@pytest.fixture
def lake(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lake]:
    """The lake of the stack."""
    for name, value in scene.stack.engine.environment().items():
        if name.startswith("AWS_") or name.lower() == "no_proxy":
            monkeypatch.setenv(name, value)
    aws._client.cache_clear()
    yield Lake.deployed(scene.stack.outputs)
    aws._client.cache_clear()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    settings = {"AUTH": "true", "SFN_WAIT_SCALE": "0"}
    with (
        ErasedPersonServer() as server,
        Engine(tmp_path_factory.mktemp("engine"), settings=settings) as engine,
    ):
        parameters = {"ScheduleState": "DISABLED", "StreamIngest": "ENABLED", "TrustedOrigins": server.url}
        stack = Stack(engine, deploy(engine, TEMPLATE, parameters, without=ONLY_WITH_TLS))
        records = run_before_erasure(stack, server)
        wanted = needles(stack)
        yield Scene(stack, server, wanted, records, marker_search.found(wanted, marker_search.stored(stack)))


@pytest.fixture(scope="module")
def dry_run(scene: Scene) -> DryRun:
    """A dry run, with everything that is stored before and after it."""
    before = all_stored(scene.stack)
    execution = erase(scene.stack, "dry-run", REQUEST | {"dry_run": True})
    return DryRun(before, all_stored(scene.stack), execution)


@pytest.fixture(scope="module")
def erased(scene: Scene, dry_run: DryRun) -> Erased:
    """The erasure, and what was there before."""
    stack = scene.stack
    rows, footers = {place(row): row for row in stack.rows()}, metadata_of_files(stack)
    began = int(time.time() * 1000)
    execution = erase(stack, "erasure", REQUEST)
    assert execution["status"] == "SUCCEEDED", execution.get("cause")
    key = json.loads(execution["output"])["receipt"]["receipt_key"]
    return Erased(rows, footers, began, key, stack.read(key), stack.notification())


def erase(stack: Stack, name: str, request: dict[str, Any]) -> dict[str, Any]:
    """Run an erasure to its end."""
    list(stack.received())
    arn = stack.engine.client("stepfunctions").start_execution(
        stateMachineArn=stack.outputs["ErasureStateMachineArn"], name=name, input=json.dumps(request)
    )["executionArn"]
    return stack.wait(arn)


def all_stored(stack: Stack) -> list[tuple[str, bytes]]:
    return sorted(marker_search.stored(stack))


def place(row: dict[str, Any]) -> tuple[str, int]:
    return row["_key"], row["_row"]


def metadata_of_files(stack: Stack) -> dict[str, bytes]:
    """The metadata ``huggingface`` of each dataset file, by which ``datasets`` knows that a column has images."""
    files = {key: pyarrow.parquet.ParquetFile(io.BytesIO(stack.read(key))) for key in stack.keys("lake/images/")}
    return {key: file.schema_arrow.metadata[b"huggingface"] for key, file in files.items()}


def find_markers(scene: Scene, *more: tuple[str, bytes]) -> dict[str, set[str]]:
    return marker_search.found(scene.needles, [*marker_search.stored(scene.stack), *more])


def test_every_marker_is_in_the_lake_before_the_erasure(scene: Scene) -> None:
    assert scene.places.keys() == scene.needles.keys()
    assert len(scene.needles) >= 12
    folders = {place.partition("/")[0] for places in scene.places.values() for place in places}
    assert folders >= {"lake", "raw", "rejects", "reports", "open", "work", "aws"}, folders
    assert posts_of_person(scene.server) + sum(PERSON.encode() in one for one in scene.records[:2]) == 40
    rows = [row for row in scene.stack.rows() if is_person(row)]
    assert len({row["_key"] for row in rows}) >= 9
    assert {row["status"] for row in rows} == {"ok", "duplicate", "rejected", "failed"}


def test_dry_run_changes_nothing(dry_run: DryRun) -> None:
    assert dry_run.execution["status"] == "SUCCEEDED", dry_run.execution.get("cause")
    assert dry_run.after == dry_run.before


def test_dry_run_has_the_numbers_of_the_erasure(dry_run: DryRun, erased: Erased, scene: Scene) -> None:
    counts = json.loads(dry_run.execution["output"])["found"]["counts"]
    receipt = json.loads(erased.receipt)
    changed = {one["place"]: one["changed"] for one in receipt["places"]}
    assert counts["files"] + counts["open_batches"] == changed["dataset_files"]
    assert counts["raw_images"] == changed["raw_images"]
    tombstones = [row for row in scene.stack.rows() if row["status"] == "erased"]
    assert counts["items"] == receipt["items"] == len(tombstones)


def test_no_marker_is_left_anywhere(scene: Scene, erased: Erased) -> None:
    notification = json.dumps(erased.notification).encode()
    assert find_markers(scene, ("notification", notification), ("receipt", erased.receipt), *logs(scene, erased)) == {}


def logs(scene: Scene, erased: Erased) -> list[tuple[str, bytes]]:
    """The lines that functions have logged since the erasure began."""
    client = scene.stack.engine.client("logs")
    groups = [group["logGroupName"] for group in client.describe_log_groups()["logGroups"]]
    return [
        (f"log of {group}", event["message"].encode())
        for group in groups
        for page in client.get_paginator("filter_log_events").paginate(logGroupName=group, startTime=erased.began)
        for event in page["events"]
    ]


def test_receipt_says_what_remains_and_until_when(erased: Erased) -> None:
    receipt = json.loads(erased.receipt)
    assert (receipt["reason"], receipt["reference"]) == ("author_request", "ticket 17")
    assert receipt["left_after_verification"] == 0
    (lines,) = [one for one in receipt["remains"] if one["place"].startswith("Log lines")]
    assert lines["until"] > receipt["finished_at"][:10]
    assert erased.notification is not None
    assert "complete" in erased.notification["Subject"]


def test_all_other_rows_are_what_they_were(scene: Scene, erased: Erased) -> None:
    after = {place(row): row for row in scene.stack.rows()}
    assert after.keys() == erased.rows.keys()
    owned = {row["raw_sha256"] for row in erased.rows.values() if is_person(row) and row["status"] == "ok"}
    gone = {key for key, row in erased.rows.items() if is_person(row) or row["raw_sha256"] in owned}
    others = [row for row in erased.rows.values() if place(row) in gone and not is_person(row)]
    assert [row["author_id"] for row in others] == [CAROL], "the bytes of the person in a post of somebody else"
    relinked = 0
    for key, row in after.items():
        before = erased.rows[key]
        if key in gone:
            assert {name for name, value in row.items() if value is not None} == {
                "source", "status", "run_id", "transform_version", "image_options", "dt", "_key", "_row",
            }  # fmt: skip
            assert row["status"] == "erased"
        elif row != before:
            changed = {name for name in row if row[name] != before[name]}
            assert changed <= {"duplicate_of", "duplicate_distance", "duplicate_kind"}
            relinked += 1
    assert relinked == 1, "the image that looks like one of the person's"


def test_images_can_be_opened(scene: Scene, erased: Erased) -> None:
    assert metadata_of_files(scene.stack) == erased.footers
    features = [json.loads(metadata)["info"]["features"] for metadata in erased.footers.values()]
    assert {one["image"]["_type"] for one in features} == {"Image"}
    shown = [row for row in scene.stack.rows() if row["status"] == "ok"]
    for row in shown:
        with Image.open(io.BytesIO(row["image"]["bytes"])) as opened:
            opened.load()
    assert len(shown) > 10


def test_counts_add_up(scene: Scene, erased: Erased, lake: Lake) -> None:
    erased_rows = 0
    for key in scene.stack.keys("work/lists/"):
        run_id = key.split("/")[2]
        run = Run.model_validate(scene.stack.report(run_id)["run"])
        for audited in audit_batches(run, lake.bucket.get_models(key, Batch), lake.bucket, lake.media_index):
            counts = audited.counts
            assert counts["planned"] == sum(counts[status] for status in Status), key
            erased_rows += counts["erased"]
    assert erased_rows > 30
    assert contradictions(lake) == []


def contradictions(lake: Lake) -> list[str]:
    """List what does not fit together in the content of the lake, as the audit of tests/reliability does."""
    rows = {row["media_id"]: row for row in audit.rows(lake) if row["media_id"] is not None}
    mapping, opened = lake.mapping(), {item for key in lake.bucket.list("open/") for item in planned_items(lake, key)}
    wrong = [
        f"{media_id} and its entry differ"
        for media_id in (rows.keys() | mapping.keys()) - opened
        if media_id not in rows
        or media_id not in mapping
        or (mapping[media_id]["processed_key"], mapping[media_id]["row"], mapping[media_id]["status"])
        != (rows[media_id]["_key"], rows[media_id]["_row"], rows[media_id]["status"])
    ]
    wrong += audit.wrong_contents(lake, rows, Options(preset=DEFAULT_PRESET, tensor=None))
    wrong += audit.wrong_owners(lake, set(lake.bucket.list("raw/images/")), rows)
    # An image that only looked like one of the person's was never compared as an original, so the log lacks it.
    alone = {row["media_id"] for row in rows.values() if "like-person" in row["media_url"]}
    return wrong + [one for one in audit.unlike_the_log(lake, rows) if one.partition(" ")[0] not in alone]


def planned_items(lake: Lake, key: str) -> set[str]:
    return {item.media_id for item in lake.bucket.get_model(key, PlannedBatch).items}


def test_nothing_brings_the_person_back(scene: Scene, erased: Erased, lake: Lake) -> None:
    stack, server = scene.stack, scene.server
    others = {row["media_id"] for row in stack.rows()} - {None}
    for number in range(3):
        dt = f"2026-11-2{6 + number}"
        execution = stack.run(feeds=server.feeds, batch_size=BATCH_SIZE, dt=dt, failure_tolerance_percent=50)
        assert execution["status"] == "SUCCEEDED", execution.get("cause")
        plans = {feed["feed_id"]: feed["plan"] for feed in stack.report(execution["name"])["feeds"]}
        assert all(plan["suppressed"] > 0 for plan in plans.values()), plans
    retry = {"run_id": "run-1", "error_codes": ["forbidden", "not_an_image"]}
    execution = stack.run(feeds=server.feeds, retry=retry, failure_tolerance_percent=100)
    assert execution["status"] == "SUCCEEDED", execution.get("cause")
    put_in_stream(stack, scene.records)

    notifications = json.dumps([run["notification"] for run in stack.runs[3:]]).encode()
    assert find_markers(scene, *logs(scene, erased), ("notifications", notifications)) == {}
    assert {row["media_id"] for row in stack.rows()} - {None} == others
    assert stack.keys("open/") == []
    assert contradictions(lake) == []


def test_erasure_that_is_started_twice_has_one_receipt(scene: Scene, erased: Erased) -> None:
    before = stored_objects(scene.stack)
    execution = erase(scene.stack, "erasure-again", REQUEST)
    assert execution["status"] == "SUCCEEDED", execution.get("cause")
    key = json.loads(execution["output"])["receipt"]["receipt_key"]
    assert key == erased.key, scene.stack.read(key).decode()
    assert stored_objects(scene.stack) == before
    assert scene.stack.read(erased.key) == erased.receipt


def stored_objects(stack: Stack) -> list[tuple[str, bytes]]:
    """Everything except the suppression list, whose version changes with each erasure, and except the older versions
    that each erasure deletes: later runs have left some.
    """
    listed = f"table {stack.outputs['SuppressionTableName']}"
    swept = tuple(folders(SOURCES))
    return [
        one
        for one in all_stored(stack)
        if one[0] != listed
        and not (one[0].endswith("version)") and one[0].removeprefix("metadata of ").startswith(swept))
        and not (one[0].endswith("(delete marker)") and one[0].startswith(swept))
    ]


@pytest.fixture
def command(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The command that erases a post of Bob, for a user whose account is the engine."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", scene.stack.engine.url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "local")
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    monkeypatch.setattr("local.arguments.DATASETS", tmp_path)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    (post_id,) = [post["id"] for post in scene.server.hashtags["cats"] if "bobs-own" in json.dumps(post)]
    yield ["erase", "--post", "mastodon", BOB, post_id, "--reason", "deleted_at_source", "--reference", "sync 3",
           "--stack", STACK_NAME]  # fmt: skip
    for number, handler in before.items():
        signal.signal(number, handler)


def test_post_whose_image_others_show_is_erased_by_the_command_line(
    scene: Scene, erased: Erased, lake: Lake, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    stack = scene.stack
    before, (owner, copy) = stored_objects(stack), rows_of(stack, "bobs-own", "copy-of-bob")
    assert (owner["status"], copy["status"], copy["duplicate_of"]) == ("ok", "duplicate", owner["media_id"])
    assert main(command) == 1
    shown = capsys.readouterr()
    assert re.search(r"items +1 *$", shown.out, re.MULTILINE), shown.out
    assert "--yes" in shown.err
    assert stored_objects(stack) == before

    assert main([*command, "--yes", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    receipt = json.loads(stack.read(result["receipt"].removeprefix(f"s3://{stack.bucket}/")))
    assert (receipt["reason"], receipt["items"], receipt["images_kept"]) == ("deleted_at_source", 1, 1)
    ((promoted,), erased_row) = rows_of(stack, "copy-of-bob"), row_at(stack, place(owner))
    assert (erased_row["status"], erased_row["image"], erased_row["post_id"]) == ("erased", None, None)
    assert promoted["status"] == "ok"
    of_post = {"image", "duplicate_of", "duplicate_distance", "duplicate_kind", "status", "_key", "_row", "dt"}
    of_post |= {*Item.model_fields, "run_id"}
    assert {name: promoted[name] for name in promoted.keys() - of_post} == {
        name: owner[name] for name in owner.keys() - of_post
    }
    assert promoted["image"]["bytes"] == owner["image"]["bytes"]
    # The staged row has no image: there is none in the parts of its batch.
    staged = f"{promoted['media_id']} has another image in work/staged/"
    assert [one for one in contradictions(lake) if not one.startswith(staged)] == []


def rows_of(stack: Stack, *names: str) -> list[dict[str, Any]]:
    """The rows of images with these names."""
    by_name = {row["media_url"].rpartition("/")[2]: row for row in stack.rows() if row["media_url"]}
    return [by_name[f"{name}.jpg"] for name in names]


def row_at(stack: Stack, where: tuple[str, int]) -> dict[str, Any]:
    (row,) = [row for row in stack.rows() if place(row) == where]
    return row
