"""The bucket of the lake: JSON and bytes by key, and conditional writes."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from imagelake.run.aws import aws_errors, client
from imagelake.run.errors import DamagedObjectError, ObjectMissingError, StorageDeniedError, StorageUnavailableError
from imagelake.run.frozen_model import FrozenModel
from imagelake.run.retries import attempts

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef, HeadObjectOutputTypeDef

Model = TypeVar("Model", bound=FrozenModel)

# Retry a conditional write that conflicts with another one at the same time.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
_PUT_TRIES = 5
_GET_TRIES = 4
# A condition failed: the object is there, is another one, or is gone.
CONDITION_FAILED = frozenset({"PreconditionFailed", "412", "NoSuchKey", "404"})


class Version(NamedTuple):
    """One version of an object: its ETag, its user-defined metadata, and when it was written."""

    etag: str
    metadata: dict[str, str]
    modified_at: datetime


class Bucket:
    """One bucket; raises only the errors of ``contracts.STORAGE_ERRORS``."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._s3 = client("s3")

    def get(self, key: str) -> bytes:
        """Read an object."""
        return self._read(key)[0]

    def get_with_version(self, key: str) -> tuple[bytes, Version]:
        """Read an object and its version."""
        body, response = self._read(key)
        return body, _version(response)

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Read ``length`` bytes from offset ``start``; fewer if the object ends before."""
        try:
            return self._read(key, Range=f"bytes={start}-{start + length - 1}")[0]
        except StorageDeniedError as error:
            if isinstance(error.__cause__, ClientError) and error.__cause__.response["Error"]["Code"] == "InvalidRange":
                return b""
            raise

    def get_end(self, key: str, length: int) -> bytes:
        """Read the last ``length`` bytes; fewer if the object is shorter."""
        return self._read(key, Range=f"bytes=-{length}")[0]

    def _read(self, key: str, **options: Any) -> tuple[bytes, GetObjectOutputTypeDef]:
        """Read a complete body with the right checksum; return it with its response."""
        with aws_errors(key):
            for _ in attempts(_GET_TRIES):
                response = None
                try:
                    response = self._s3.get_object(Bucket=self.name, Key=key, **options)
                    return response["Body"].read(), response
                # botocore retries a call, but not a body that breaks off, stalls or does not match its checksum.
                except BotoCoreError as error:
                    if response is None:
                        raise
                    failure: Exception = error
                # This is the body of an error, such as that of a missing object.
                except HTTPError as error:
                    failure = error
            raise failure

    def get_json(self, key: str) -> Any:
        """Read an object as JSON."""
        body = self.get(key)
        with named_if_damaged(key):
            return json.loads(body)

    def get_model(self, key: str, model: type[Model]) -> Model:
        """Read an object that holds a model as JSON."""
        body = self.get(key)
        with named_if_damaged(key):
            return model.model_validate_json(body)

    def get_models(self, key: str, model: type[Model]) -> list[Model]:
        """Read an object that holds a list of models as JSON."""
        body = self.get(key)
        with named_if_damaged(key):
            return [model.model_validate(value) for value in json.loads(body)]

    def get_lines(self, key: str) -> list[Any]:
        """Read an object that has one JSON value per line."""
        body = self.get(key)
        with named_if_damaged(key):
            return [json.loads(line) for line in body.splitlines()]

    def put(self, key: str, body: bytes, content_type: str, metadata: dict[str, str] | None = None) -> None:
        """Write or replace an object."""
        with aws_errors(key):
            self._s3.put_object(Bucket=self.name, Key=key, Body=body, ContentType=content_type, Metadata=metadata or {})

    def put_json(self, key: str, value: Any) -> None:
        """Write a value as JSON."""
        self.put(key, to_json(value), "application/json")

    def put_lines(self, key: str, values: list[Any]) -> None:
        """Write one JSON value per line."""
        self.put(key, b"".join(to_json(value) + b"\n" for value in values), "application/x-ndjson")

    def put_if_unchanged(
        self, key: str, body: bytes, content_type: str, before: Version | None, metadata: dict[str, str] | None = None
    ) -> bool:
        """Write an object if it is still the version ``before``, or still missing if that is ``None``.

        Returns whether it was written.
        """
        condition: Any = {"IfNoneMatch": "*"} if before is None else {"IfMatch": before.etag}
        for _ in attempts(_PUT_TRIES):
            with aws_errors(key):
                try:
                    self._s3.put_object(
                        Bucket=self.name,
                        Key=key,
                        Body=body,
                        ContentType=content_type,
                        Metadata=metadata or {},
                        **condition,
                    )
                    return True
                except ClientError as error:
                    code = error.response["Error"]["Code"]
                    if code in CONDITION_FAILED:
                        return False
                    if code != "ConditionalRequestConflict":
                        raise
        raise StorageUnavailableError(f"PutObject on {key}: {_PUT_TRIES} conflicts with other writers")

    def put_once(self, key: str, body: bytes) -> None:
        """Write bytes unless the object exists; its key must depend on its content."""
        self.put_if_unchanged(key, body, "application/octet-stream", None)

    def version(self, key: str) -> Version | None:
        """Return the version of an object; ``None`` if it does not exist."""
        try:
            with aws_errors(key):
                head = self._s3.head_object(Bucket=self.name, Key=key)
        except ObjectMissingError:
            return None
        return _version(head)

    def exists(self, key: str) -> bool:
        """Return whether an object exists."""
        return self.version(key) is not None

    def sizes(self, prefix: str) -> dict[str, int]:
        """List all keys that start with ``prefix``, in order, each with the size of its object."""
        with aws_errors(prefix):
            pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
            return {entry["Key"]: entry["Size"] for page in pages for entry in page.get("Contents", [])}

    def list(self, prefix: str) -> list[str]:
        """List all keys that start with ``prefix``, in order."""
        return [*self.sizes(prefix)]

    def all_versions(self, key: str) -> dict[str, str | None]:
        """List the ids of all versions of an object, each with its ETag, the current one first.

        A delete marker is a version without an ETag.
        """
        # Other keys can begin with this one.
        return self.all_versions_under(key).get(key, {})

    def all_versions_under(self, prefix: str) -> dict[str, dict[str, str | None]]:
        """List the versions of all objects that start with ``prefix``, also of deleted ones, by their keys."""
        found: list[tuple[bool, str, str, str | None]] = []
        with aws_errors(prefix):
            for page in self._s3.get_paginator("list_object_versions").paginate(Bucket=self.name, Prefix=prefix):
                bodies, markers = page.get("Versions", []), page.get("DeleteMarkers", [])
                found += [(one["IsLatest"], one["Key"], one["VersionId"], one["ETag"]) for one in bodies]
                found += [(one["IsLatest"], one["Key"], one["VersionId"], None) for one in markers]
        versions: dict[str, dict[str, str | None]] = {}
        for _, key, version_id, etag in sorted(found, key=lambda one: not one[0]):
            versions.setdefault(key, {})[version_id] = etag
        return versions

    def get_old(self, key: str, version_id: str) -> bytes:
        """Read one version of an object."""
        return self._read(key, VersionId=version_id)[0]

    def delete_folder(self, prefix: str) -> None:
        """Delete all versions of all objects below a prefix for ever.

        The current one goes last, because an older one would take its place.
        """
        for key, versions in self.all_versions_under(prefix).items():
            for version_id in reversed(versions):
                self.delete_version(key, version_id)

    def delete_version(self, key: str, version_id: str) -> None:
        """Delete one version of an object for ever; one that is gone is no error."""
        with aws_errors(key):
            self._s3.delete_object(Bucket=self.name, Key=key, VersionId=version_id)

    def delete(self, key: str, version: Version | None = None) -> None:
        """Delete an object, which may not exist; with ``version``, only if it is still this version."""
        condition: Any = {} if version is None else {"IfMatch": version.etag}
        with aws_errors(key):
            try:
                self._s3.delete_object(Bucket=self.name, Key=key, **condition)
            except ClientError as error:
                if error.response["Error"]["Code"] not in CONDITION_FAILED:
                    raise


@contextmanager
def named_if_damaged(key: str) -> Iterator[None]:
    """Turn the error of a parser into an error that names the object."""
    try:
        yield
    except (ValueError, TypeError, EOFError, OSError, zlib.error) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise DamagedObjectError(f"{key} is damaged: {type(error).__name__}: {reason}") from error


def to_json(value: Any) -> bytes:
    """Write a value as JSON in UTF-8, as objects of the lake have it."""
    # A lone surrogate cannot be encoded as UTF-8, but JSON can hold it as a backslash escape.
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace")


def _version(response: GetObjectOutputTypeDef | HeadObjectOutputTypeDef) -> Version:
    return Version(response["ETag"], response["Metadata"], response["LastModified"])
