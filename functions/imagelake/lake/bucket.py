"""The lake's bucket."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from imagelake.run.aws import aws_errors, client
from imagelake.run.errors import ObjectMissingError, StorageUnavailableError
from imagelake.run.retries import attempts

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef

# A conditional write that meets another one on its way is to be tried again.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
_PUT_TRIES = 5
_GET_TRIES = 4


class Bucket:
    """The lake; raises only ``ObjectMissingError``, ``StorageDeniedError`` and ``StorageUnavailableError``."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._s3 = client("s3")

    def get(self, key: str) -> bytes:
        """The object's bytes."""
        return self._read(key)[0]

    def get_with_metadata(self, key: str) -> tuple[bytes, dict[str, str]]:
        """The object's bytes and its own metadata."""
        body, answer = self._read(key)
        return body, answer["Metadata"]

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """``length`` bytes from offset ``start``."""
        return self._read(key, Range=f"bytes={start}-{start + length - 1}")[0]

    def _read(self, key: str, **part: Any) -> tuple[bytes, GetObjectOutputTypeDef]:
        """The body, whole and as its checksum says, and the answer it came with."""
        with aws_errors(key):
            for _ in attempts(_GET_TRIES):
                answer = self._s3.get_object(Bucket=self.name, Key=key, **part)
                try:
                    return answer["Body"].read(), answer
                # botocore retries a call, but not a body that breaks off, stalls or does not match its checksum.
                except BotoCoreError as error:
                    failure = error
            raise failure

    def get_json(self, key: str) -> Any:
        """The object parsed as JSON."""
        return json.loads(self.get(key))

    def get_lines(self, key: str) -> list[Any]:
        """The object parsed as one JSON value a line."""
        return [json.loads(line) for line in self.get(key).splitlines()]

    def put(self, key: str, body: bytes, content_type: str, metadata: dict[str, str] | None = None) -> None:
        """Write or replace an object."""
        with aws_errors(key):
            self._s3.put_object(Bucket=self.name, Key=key, Body=body, ContentType=content_type, Metadata=metadata or {})

    def put_json(self, key: str, value: Any) -> None:
        """Write a value as JSON."""
        self.put(key, _json(value), "application/json")

    def put_lines(self, key: str, values: list[Any]) -> None:
        """Write values as one JSON object a line."""
        self.put(key, b"".join(_json(value) + b"\n" for value in values), "application/x-ndjson")

    def put_once(self, key: str, body: bytes, owner: str) -> str:
        """Write an object if it is not there, and return who wrote it: ``owner``, or the owner that was first."""
        for _ in attempts(_PUT_TRIES):
            with aws_errors(key):
                try:
                    self._s3.put_object(
                        Bucket=self.name, Key=key, Body=body, IfNoneMatch="*",
                        ContentType="application/octet-stream", Metadata={"owner": _ascii(owner)},
                    )  # fmt: skip
                    return owner
                except ClientError as error:
                    code = error.response["Error"]["Code"]
                    if code == "ConditionalRequestConflict":
                        continue
                    if code not in {"PreconditionFailed", "412"}:
                        raise
                head = self._s3.head_object(Bucket=self.name, Key=key)
                return _text(head["Metadata"].get("owner", _ascii(owner)))
        raise StorageUnavailableError(f"PutObject on {key}: {_PUT_TRIES} conflicts with other writers")

    def exists(self, key: str) -> bool:
        """Whether the object is there."""
        try:
            with aws_errors(key):
                self._s3.head_object(Bucket=self.name, Key=key)
        except ObjectMissingError:
            return False
        return True

    def list(self, prefix: str) -> list[str]:
        """All keys under ``prefix``, in order."""
        with aws_errors(prefix):
            pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
            return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def delete(self, key: str) -> None:
        """Take the object away; it may be gone already."""
        with aws_errors(key):
            self._s3.delete_object(Bucket=self.name, Key=key)


def _json(value: Any) -> bytes:
    # A lone surrogate has no UTF-8; as a backslash escape it is JSON.
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace")


def _ascii(text: str) -> str:
    # Object metadata travels in HTTP headers, which are ASCII.
    return json.dumps(text)[1:-1]


def _text(ascii_text: str) -> str:
    text: str = json.loads(f'"{ascii_text}"')
    return text
