"""The bucket: a conditional write never replaces an object, and botocore's errors become ours."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, ResponseStreamingError

from imagelake.lake.bucket import Bucket
from imagelake.run.aws import aws_errors
from imagelake.run.errors import ImagelakeError, ObjectMissingError, StorageDeniedError, StorageUnavailableError
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
    assert lake.bucket.get_with_metadata("a") == (b"0123456789", {"url": "https://x.test/"})
    assert lake.bucket.get_range("a", 2, 3) == b"234"


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


def test_put_once_when_it_is_first(lake: Lake) -> None:
    assert lake.bucket.put_once("a", b"one", "first") == "first"
    assert lake.bucket.get("a") == b"one"


@pytest.mark.parametrize("owner", ["first", "первый 🐈", 'quoted "\\u0041"', "a\nb"])
def test_put_once_when_it_is_second(lake: Lake, owner: str) -> None:
    lake.bucket.put_once("a", b"one", owner)
    assert lake.bucket.put_once("a", b"two", "second") == owner
    assert lake.bucket.put_once("a", b"three", owner) == owner
    assert lake.bucket.get("a") == b"one"


def test_put_once_when_the_object_has_no_owner(lake: Lake) -> None:
    lake.bucket.put("a", b"one", "text/plain")
    assert lake.bucket.put_once("a", b"two", "me") == "me"


def test_put_once_when_many_write_at_once(lake: Lake) -> None:
    with ThreadPoolExecutor(8) as pool:
        owners = list(pool.map(lambda n: lake.bucket.put_once("a", b"same", str(n)), range(8)))
    assert len(set(owners)) == 1


def test_put_once_is_tried_again_after_a_conflict(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lake.bucket, "_s3", Conflicts(lake.bucket._s3, 2))
    assert lake.bucket.put_once("a", b"one", "me") == "me"
    assert lake.bucket.get("a") == b"one"


def test_put_once_when_conflicts_do_not_end(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lake.bucket, "_s3", Conflicts(lake.bucket._s3, 99))
    with pytest.raises(StorageUnavailableError, match="conflicts"):
        lake.bucket.put_once("a", b"one", "me")


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
    lambda bucket: bucket.get_with_metadata("key")[0],
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


@pytest.mark.parametrize("read", [Bucket.get, Bucket.get_json, Bucket.get_lines, Bucket.get_with_metadata])
def test_error_names_the_object_when_it_is_missing(lake: Lake, read: Callable[[Bucket, str], Any]) -> None:
    with pytest.raises(ObjectMissingError, match="GetObject: work/x does not exist"):
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
