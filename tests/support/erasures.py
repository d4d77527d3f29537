"""Erasures in a lake in memory: their requests, the versions of objects, and processes that are killed."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.erased_objects import ErasedObjects, Place, folders
from imagelake.lake.suppression import suppressions
from imagelake.run.aws import client
from imagelake.sources import SOURCES
from tests.support.fake_lake import BUCKET, Lake
from tests.support.private_parts import calls_of_aws, stored_in_memory

ERASURE_ID = "0123456789abcdef0123"
WORK = object_keys.erasure_prefix(ERASURE_ID)


class Killed(BaseException):
    """Stands for the end of a process."""


def request_erasure(lake: Lake, erasure_id: str = ERASURE_ID, **erase: Any) -> None:
    """Store the request of an erasure in a bucket that keeps versions, and put what it names on the list."""
    client("s3").put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    request = {"erase": erase, "reason": "author_request", "reference": "ticket 17", "dry_run": False}
    lake.bucket.put_json(object_keys.erasure_request(erasure_id), request)
    lake.suppress(
        *(("author", one["source"], one["author_id"]) for one in erase.get("authors", ())),
        *(("post", one["source"], one["author_id"], one["post_id"]) for one in erase.get("posts", ())),
        *(("media", one) for one in erase.get("media_ids", ())),
    )


def delete_older_versions(bucket: Bucket) -> None:
    """Delete the older versions of everything that an erasure reads, as Erase Images does after all others."""
    objects = ErasedObjects(bucket, "older-versions")
    for folder, place in {**folders(SOURCES), "lake/images/": Place.DATASET_FILES}.items():
        objects.remove_older_versions(place, folder)
    bucket.delete_folder(object_keys.erasure_prefix("older-versions"))


def versions(prefix: str = "") -> dict[str, list[tuple[bytes, dict[str, str]]]]:
    """Every version that the end of an erasure leaves, with its metadata, newest first; no working object of it."""
    delete_older_versions(Bucket(BUCKET))
    s3, found = client("s3"), dict[str, list[tuple[bytes, dict[str, str]]]]()
    pages = s3.get_paginator("list_object_versions").paginate(Bucket=BUCKET, Prefix=prefix)
    for one in (one for page in pages for one in page.get("Versions", [])):
        if not one["Key"].startswith("work/erasures/"):
            stored = s3.get_object(Bucket=BUCKET, Key=one["Key"], VersionId=one["VersionId"])
            found.setdefault(one["Key"], []).append((stored["Body"].read(), stored["Metadata"]))
    return found


def saved() -> bytes:
    """Copy all that S3 and DynamoDB store."""
    return pickle.dumps([vars(backend) for backend in stored_in_memory()])


def restore(state: bytes) -> None:
    """Bring back a copy, for a worker that has just started."""
    for backend, values in zip(stored_in_memory(), pickle.loads(state), strict=True):
        vars(backend).update(values)
    suppressions.cache_clear()


@contextmanager
def killed_at(monkeypatch: pytest.MonkeyPatch, number: int, *, after: bool) -> Iterator[list[str]]:
    """Kill the process before or after one of its calls of AWS; yield the names of its calls."""
    client_class, method = calls_of_aws()
    call: Callable[..., Any] = getattr(client_class, method)
    made: list[str] = []

    def make(self: Any, operation: str, arguments: dict[str, Any]) -> Any:
        made.append(operation)
        if len(made) > number and not after:
            raise Killed
        answer = call(self, operation, arguments)
        if len(made) > number:
            raise Killed
        return answer

    with monkeypatch.context() as patched:
        patched.setattr(client_class, method, make)
        yield made
