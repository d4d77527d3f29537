"""Steps of an erasure for tests: a lake with versions, calls of the functions, and a stand-in for Erase Rows."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any, cast

import map_keys.app
from imagelake.lake import object_keys
from imagelake.lake.rows import Row, Status
from imagelake.run.aws import client
from imagelake.run.erasure_models import FileChanges
from imagelake.run.errors import ObjectMissingError
from imagelake.run.models import PlannedBatch
from tests.support.factories import Context, event, item, keep_file, plan, result
from tests.support.fake_lake import BUCKET, IMAGE_KEYS, Lake

ALICE, BOB, CAROL = "did:plc:alice", "did:plc:bob", "did:plc:carol"
SHA256 = "ab" * 32
PIPELINE = "arn:aws:states:us-east-1:123456789012:stateMachine:ImagePipeline"
REBUILD = "arn:aws:states:us-east-1:123456789012:stateMachine:Rebuild"
Erasure = dict[str, Any]


def prepare(lake: Lake) -> None:
    """Make what the stack has beside the lake: versions, the secret, the state machines that it waits for."""
    client("s3").put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    lake.suppress()
    definition = json.dumps({"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}})
    role = "arn:aws:iam::123456789012:role/ImagePipeline"
    for name in ("ImagePipeline", "Rebuild"):
        client("stepfunctions").create_state_machine(name=name, definition=definition, roleArn=role)


def name(author_id: str, **more: str) -> dict[str, str]:
    return {"source": "bluesky", "author_id": author_id, **more}


def shown(name: str, author_id: str = ALICE, sha256: str = SHA256, **more: Any) -> Row:
    """A row that shows an image with these bytes."""
    raw: dict[str, Any] = {"raw_sha256": sha256, "raw_key": object_keys.raw_image(sha256)}
    return result(item(name, author_id=author_id), **raw, **more)


def copy_of(original: str, name: str, author_id: str, sha256: str = SHA256) -> Row:
    """The row of a duplicate."""
    return shown(name, author_id, sha256, status=Status.DUPLICATE, duplicate_of=item(original).media_id)


def planned_of(*rows: Row, dt: str, feed_id: str = "feed") -> PlannedBatch:
    return plan(*(item(row["post_id"], author_id=row["author_id"]) for row in rows), dt=dt, feed_id=feed_id)


def own_images(lake: Lake, *rows: Row) -> None:
    """Store raw images and give them owners, as Transform does."""
    for row in rows:
        if row["raw_key"] is not None:
            lake.bucket.put_once(row["raw_key"], b"raw")
    lake.media_index.own(
        {str(row["raw_sha256"]): row["media_id"] for row in rows if row["status"] == Status.OK and row["raw_sha256"]}
    )


def close(lake: Lake, *rows: Row, dt: str = "2026-04-01", feed_id: str = "feed") -> PlannedBatch:
    """Carry rows through a batch of their own."""
    dated = [cast(Row, {**row, "dt": dt}) for row in rows]
    planned = keep_file(lake, planned_of(*rows, dt=dt, feed_id=feed_id), *dated)
    own_images(lake, *rows)
    map_keys.app.handler(event("map_keys", batch=planned.batch), Context())
    return planned


def check(execution: str = "ticket-17", *, dry_run: bool = False, **erase: Any) -> Erasure:
    """Call Check Erasure; return its erasure."""
    request = {"erase": erase, "reason": "author_request", "reference": "ticket 17", "dry_run": dry_run}
    arn = f"arn:aws:states:us-east-1:123456789012:execution:Erasure:{execution}"
    started = {"arn": arn, "name": execution, "started_at": "2026-04-02T09:00:00Z"}
    erasure: Erasure = call("check_erasure", input=request, execution=started)["erasure"]
    return erasure


def call(function: str, **values: Any) -> dict[str, Any]:
    answer: dict[str, Any] = import_module(f"{function}.app").handler(values, Context())
    return json.loads(json.dumps(answer))  # type: ignore[no-any-return]


def find(erasure: Erasure) -> dict[str, Any]:
    """Call Find Erased, and again if the index by-duplicate-of needs a moment."""
    for _ in range(3):
        found = call("find_erased", erasure=erasure)
        if not found["must_wait"]:
            break
    return found


def changes(lake: Lake, erasure: Erasure, name: str = "files") -> dict[str, FileChanges]:
    """The changes that a list names, by the key of the dataset file."""
    erasure_id = erasure["erasure_id"]
    numbers = lake.bucket.get_json(object_keys.erasure_list(erasure_id, name))
    read = [
        lake.bucket.get_model(object_keys.erasure_list(erasure_id, f"files/{one['number']}"), FileChanges)
        for one in numbers
    ]
    return {one.key: one for one in read}


def erase_rows(lake: Lake, erasure: Erasure) -> None:
    """Do what Erase Rows does in the media index, in plans and in open markers, but not in files."""
    for one in changes(lake, erasure, "promotions").values():
        for media_id, (owner, _) in one.promote.items():
            sha256 = lake.mapping().get(owner, {}).get("raw_sha256")
            if sha256 is not None:
                lake.media_index.own({sha256: media_id}, instead_of={sha256: owner})
            _update(media_id, "SET #status = :ok REMOVE duplicate_of", {":ok": {"S": "ok"}})
    keys = [*lake.bucket.list(object_keys.PLANS), *lake.bucket.list(object_keys.OPEN)]
    plans = {key: lake.bucket.get_model(key, PlannedBatch) for key in keys}
    for one in changes(lake, erasure).values():
        for media_id, original in one.relink.items():
            new = {":new": {"S": original}} if original else {}
            _update(media_id, "SET duplicate_of = :new" if new else "REMOVE duplicate_of", new)
        for key, planned in plans.items():
            if object_keys.parquet(planned.batch) == one.key:
                left = [planned_item for planned_item in planned.items if planned_item.media_id not in one.erase]
                lake.bucket.put_json(key, planned.model_copy(update={"items": left}).model_dump(mode="json"))


def _update(media_id: str, expression: str, values: dict[str, Any]) -> None:
    options: dict[str, Any] = {"ExpressionAttributeValues": values} if values else {}
    if "#status" in expression:
        options["ExpressionAttributeNames"] = {"#status": "status"}
    with suppress(client("dynamodb").exceptions.ConditionalCheckFailedException):
        client("dynamodb").update_item(
            TableName=IMAGE_KEYS,
            Key={"media_id": {"S": media_id}},
            UpdateExpression=expression,
            ConditionExpression="attribute_exists(processed_key)",
            **options,
        )


def erase(lake: Lake, erasure: Erasure) -> dict[str, Any]:
    """Do a whole erasure, except in files, pages and reports; return the result of the last search."""
    call("suppress", erasure=erasure, what="request")
    found = find(erasure)
    for _ in range(6):
        call("suppress", erasure=erasure, what="found")
        erase_rows(lake, erasure)
        call("erase_images", erasure=erasure)
        found = find(erasure)
        if not found["left"]:
            break
    return found


def versions(prefix: str = "") -> list[str]:
    """The keys of all versions of all objects, and of delete markers."""
    found: Any = client("s3").list_object_versions(Bucket=BUCKET, Prefix=prefix)
    return sorted(one["Key"] for kind in ("Versions", "DeleteMarkers") for one in found.get(kind, []))


def suppressed_at(lake: Lake, erasure: Erasure, ago: timedelta) -> None:
    """Set the time at which everything was on the suppression list."""
    at = (datetime.now(UTC) - ago).isoformat()
    lake.bucket.put_json(object_keys.erasure_suppressed(erasure["erasure_id"]), {"at": at})


def is_missing(lake: Lake, key: str) -> bool:
    try:
        lake.bucket.get(key)
    except ObjectMissingError:
        return True
    return False
