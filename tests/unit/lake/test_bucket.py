"""The bucket: a conditional write never replaces an object, and botocore's errors become ours."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, ResponseStreamingError
from urllib3.exceptions import ProtocolError

from imagelake.lake.bucket import Bucket
from imagelake.run.aws import aws_errors
from imagelake.run.errors import (
    DamagedObjectError,
    ImagelakeError,
    ObjectMissingError,
    StorageDeniedError,
    StorageUnavailableError,
)
from imagelake.run.models import PlannedBatch
from tests.support.fake_lake import Lake


def client_error(code: str, status: int = 400) -> ClientError:
    answer: Any = {"Error": {"Code": code, "Message": "because"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "PutObject")


class Conflicts:
    """An S3 that answers conditional writes with conflicts a few times before it works."""

    def __init__(self, s3: Any, conflicts: int) -> None:
        self._s3 = s3
        self._conflicts = conflicts

    def put_object(self, **arguments: Any) -> Any:
        if self._conflicts:
            self._conflicts -= 1
            raise client_error("ConditionalRequestConflict")
        return self._s3.put_object(**arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._s3, name)


def test_object_comes_back_as_it_was_put(lake: Lake) -> None:
    lake.bucket.put("a", b"0123456789", "text/plain", {"url": "https://x.test/"})
    assert lake.bucket.get("a") == b"0123456789"
    assert lake.bucket.get_range("a", 2, 3) == b"234"


def test_object_comes_with_its_version(lake: Lake) -> None:
    lake.bucket.put("a", b"body", "text/plain", {"url": "https://x.test/"})
    body, version = lake.bucket.get_with_version("a")
    assert (body, version.metadata) == (b"body", {"url": "https://x.test/"})
    assert version == lake.bucket.version("a")
    assert datetime.now(UTC) - timedelta(minutes=1) < version.modified_at <= datetime.now(UTC)


@pytest.mark.parametrize("text", ["кот 🐈", "a\u2028b\x85c\x0bd\ne\rf", "\ud800 alone", ""])
def test_json_comes_back_whatever_the_text(lake: Lake, text: str) -> None:
    lake.bucket.put_json("value", {"text": text})
    lake.bucket.put_lines("lines", [{"text": text}, None, {"n": 2**63}])
    assert lake.bucket.get_json("value") == {"text": text}
    assert lake.bucket.get_lines("lines") == [{"text": text}, None, {"n": 2**63}]


def test_lines_when_there_are_none(lake: Lake) -> None:
    lake.bucket.put_lines("lines", [])
    assert lake.bucket.get_lines("lines") == []


def test_list_of_more_than_one_page(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "2")
    names = [f"open/{number}" for number in range(5)]
    for name in [*names, "other"]:
        lake.bucket.put(name, b"", "text/plain")
    assert lake.bucket.list("open/") == names
    assert lake.bucket.list("nothing/") == []


def test_exists_and_delete(lake: Lake) -> None:
    lake.bucket.put("a", b"", "text/plain")
    assert lake.bucket.exists("a")
    lake.bucket.delete("a")
    lake.bucket.delete("a")
    assert not lake.bucket.exists("a")


def test_delete_of_a_version_leaves_a_newer_one(lake: Lake) -> None:
    lake.bucket.put("a", b"old", "text/plain")
    old = lake.bucket.version("a")
    lake.bucket.put("a", b"new", "text/plain")
    lake.bucket.delete("a", old)
    assert lake.bucket.get("a") == b"new"
    lake.bucket.delete("a", lake.bucket.version("a"))
    assert not lake.bucket.exists("a")
    lake.bucket.delete("a", old)


def test_error_when_a_deletion_is_denied(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied"}}, "DeleteObject")

    monkeypatch.setattr(lake.bucket._s3, "delete_object", refuse)
    with pytest.raises(StorageDeniedError):
        lake.bucket.delete("a")


def test_put_once_keeps_the_first_object(lake: Lake) -> None:
    lake.bucket.put_once("a", b"one")
    lake.bucket.put_once("a", b"two")
    assert lake.bucket.get("a") == b"one"


def test_put_once_names_nobody(lake: Lake) -> None:
    lake.bucket.put_once("a", b"one")
    assert lake.stored()["a"] == (b"one", {})


def test_one_of_many_writers_is_first(lake: Lake) -> None:
    bodies = [str(number).encode() for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        written = list(pool.map(lambda body: lake.bucket.put_if_unchanged("a", body, "text/plain", None), bodies))
    assert written.count(True) == 1
    assert lake.bucket.get("a") == bodies[written.index(True)]


def test_one_of_many_writers_replaces_a_version(lake: Lake) -> None:
    lake.bucket.put("a", b"old", "text/plain")
    before = lake.bucket.version("a")
    bodies = [str(number).encode() for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        written = list(pool.map(lambda body: lake.bucket.put_if_unchanged("a", body, "text/plain", before), bodies))
    assert written.count(True) == 1
    assert lake.bucket.get("a") == bodies[written.index(True)]


def test_conditional_write_is_tried_again_after_a_conflict(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lake.bucket, "_s3", Conflicts(lake.bucket._s3, 4))
    assert lake.bucket.put_if_unchanged("a", b"one", "text/plain", None)
    assert lake.bucket.get("a") == b"one"


def test_error_when_conflicts_do_not_end(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lake.bucket, "_s3", Conflicts(lake.bucket._s3, 5))
    with pytest.raises(StorageUnavailableError, match="PutObject on a: 5 conflicts with other writers"):
        lake.bucket.put_once("a", b"one")


class Breaking:
    """An S3 whose bodies break off a few times before they are complete."""

    def __init__(self, s3: Any, breaks: int) -> None:
        self._s3 = s3
        self._breaks = breaks
        self.reads = 0

    def get_object(self, **arguments: Any) -> Any:
        answer = self._s3.get_object(**arguments)
        if self._breaks:
            self._breaks -= 1
            answer["Body"] = self
        return answer

    def read(self) -> bytes:
        self.reads += 1
        raise ResponseStreamingError(error="it broke off")


READERS: list[Callable[[Bucket], bytes]] = [
    lambda bucket: bucket.get("key"),
    lambda bucket: bucket.get_with_version("key")[0],
    lambda bucket: bucket.get_range("key", 0, 4),
]


@pytest.mark.parametrize("read", READERS)
def test_body_is_read_again_when_it_breaks_off(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, read: Callable[[Bucket], bytes]
) -> None:
    lake.bucket.put("key", b"body", "text/plain")
    monkeypatch.setattr(lake.bucket, "_s3", Breaking(lake.bucket._s3, 3))
    assert read(lake.bucket) == b"body"


def test_error_when_bodies_never_come_whole(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.bucket.put("key", b"body", "text/plain")
    breaking = Breaking(lake.bucket._s3, 99)
    monkeypatch.setattr(lake.bucket, "_s3", breaking)
    with pytest.raises(StorageUnavailableError, match="key: ResponseStreamingError"):
        lake.bucket.get("key")
    assert breaking.reads == 4


class BreakingErrors:
    """An S3 whose first answers are errors that break off, which botocore raises as its HTTP library does."""

    def __init__(self, s3: Any, breaks: int) -> None:
        self._s3 = s3
        self._breaks = breaks

    def get_object(self, **arguments: Any) -> Any:
        self._breaks -= 1
        if self._breaks >= 0:
            raise ProtocolError("Connection broken")
        return self._s3.get_object(**arguments)


@pytest.mark.parametrize(
    ("breaks", "error"), [(1, ObjectMissingError), (3, ObjectMissingError), (4, StorageUnavailableError)]
)
@pytest.mark.parametrize("read", [Bucket.get, Bucket.get_json, Bucket.get_with_version])
def test_answer_about_a_missing_object_that_breaks_off(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, read: Callable[[Bucket, str], Any], breaks: int, error: type[Exception]
) -> None:
    monkeypatch.setattr(lake.bucket, "_s3", BreakingErrors(lake.bucket._s3, breaks))
    with pytest.raises(error, match="missing"):
        read(lake.bucket, "missing")


@pytest.mark.slow
@pytest.mark.parametrize("read", [Bucket.get, Bucket.get_json, Bucket.get_lines, Bucket.get_with_version])
def test_error_names_the_object_when_it_is_missing(lake: Lake, read: Callable[[Bucket, str], Any]) -> None:
    with pytest.raises(ObjectMissingError, match="GetObject: work/x does not exist"):
        read(lake.bucket, "work/x")


@pytest.mark.parametrize("body", [b"", b'{"n": 1', b"\xff\xfe", b'{"batch": {}}', b"null"])
def test_error_names_the_model_that_is_damaged(lake: Lake, body: bytes) -> None:
    lake.bucket.put("work/x", body, "application/json")
    with pytest.raises(DamagedObjectError, match=r"^work/x is damaged: "):
        lake.bucket.get_model("work/x", PlannedBatch)


@pytest.mark.parametrize("body", [b"", b"[", b"null", b"[{}]", b'{"n": 1}'])
def test_error_names_the_list_of_models_that_is_damaged(lake: Lake, body: bytes) -> None:
    lake.bucket.put("work/x", body, "application/json")
    with pytest.raises(DamagedObjectError, match=r"^work/x is damaged: "):
        lake.bucket.get_models("work/x", PlannedBatch)


@pytest.mark.parametrize("read", [Bucket.get_json, Bucket.get_lines])
def test_error_names_the_json_that_is_damaged(lake: Lake, read: Callable[[Bucket, str], Any]) -> None:
    lake.bucket.put("work/x", b'{"n": 1}\n{"n": \n', "application/json")
    with pytest.raises(DamagedObjectError, match=r"^work/x is damaged: "):
        read(lake.bucket, "work/x")


def test_error_when_the_bucket_is_missing(lake: Lake) -> None:
    with pytest.raises(StorageDeniedError, match="NoSuchBucket"):
        Bucket("nobodys").get("a")


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (client_error("NoSuchKey"), ObjectMissingError),
        (client_error("SlowDown", 503), StorageUnavailableError),
        (client_error("InternalError", 500), StorageUnavailableError),
        # For a gateway's response without a body, botocore uses the status as the code.
        (client_error("504", 504), StorageUnavailableError),
        (client_error("ProvisionedThroughputExceededException"), StorageUnavailableError),
        (client_error("RequestLimitExceeded"), StorageUnavailableError),
        (client_error("RequestTimeout"), StorageUnavailableError),
        (client_error("ThrottledException"), StorageUnavailableError),
        (client_error("Throttling"), StorageUnavailableError),
        (client_error("ThrottlingException"), StorageUnavailableError),
        (client_error("TooManyRequestsException"), StorageUnavailableError),
        (client_error("TransactionConflictException"), StorageUnavailableError),
        (client_error("TransactionInProgressException"), StorageUnavailableError),
        (client_error("AccessDenied", 403), StorageDeniedError),
        (client_error("ResourceNotFoundException"), StorageDeniedError),
        (EndpointConnectionError(endpoint_url="https://x"), StorageUnavailableError),
        (NoCredentialsError(), StorageUnavailableError),
    ],
)
def test_botocore_errors_become_ours(error: Exception, ours: type[ImagelakeError]) -> None:
    with pytest.raises(ours, match="the table") as raised, aws_errors("the table"):
        raise error
    assert raised.value.__cause__ is error


def test_range_is_shorter_when_the_object_ends(lake: Lake) -> None:
    lake.bucket.put("a", b"0123456789", "text/plain")
    lake.bucket.put("empty", b"", "text/plain")
    assert lake.bucket.get_range("a", 8, 100) == b"89"
    assert lake.bucket.get_range("a", 10, 5) == lake.bucket.get_range("empty", 0, 5) == b""
    with pytest.raises(ObjectMissingError):
        lake.bucket.get_range("missing", 0, 5)


def test_object_is_written_if_it_is_unchanged(lake: Lake) -> None:
    assert lake.bucket.version("a") is None
    assert lake.bucket.put_if_unchanged("a", b"one", "text/plain", None, {"by": "me"})
    first = lake.bucket.version("a")
    assert first is not None
    assert first.metadata == {"by": "me"}
    assert not lake.bucket.put_if_unchanged("a", b"two", "text/plain", None)
    assert lake.bucket.put_if_unchanged("a", b"two", "text/plain", first)
    assert not lake.bucket.put_if_unchanged("a", b"three", "text/plain", first)
    assert lake.bucket.get("a") == b"two"
    lake.bucket.delete("a")
    assert not lake.bucket.put_if_unchanged("a", b"three", "text/plain", first)
    assert not lake.bucket.exists("a")
