"""Limits of AWS that neither moto nor the local engine checks; above one, AWS refuses the call.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

S3_KEY_BYTES = 1024
S3_METADATA_BYTES = 2048
DYNAMODB_KEY_BYTES = 2048
STATE_BYTES = 256 * 1024
EVENT_BYTES = 256 * 1024


def refusal(service: str, params: Mapping[str, Any]) -> str | None:
    """Return the error code with which AWS refuses a call, or ``None``."""
    if service == "s3":
        if len(params.get("Key", "").encode("utf-8", "surrogatepass")) > S3_KEY_BYTES:
            return "KeyTooLongError"
        if metadata_bytes(params.get("Metadata") or {}) > S3_METADATA_BYTES:
            return "MetadataTooLarge"
    if service == "dynamodb" and any(size > DYNAMODB_KEY_BYTES for size in _key_sizes(params)):
        return "ValidationException"
    if service == "stepfunctions" and len(params.get("input", "").encode()) > STATE_BYTES:
        return "InvalidExecutionInput"
    if service == "events" and any(_event_bytes(entry) > EVENT_BYTES for entry in params.get("Entries", [])):
        return "ValidationException"
    return None


def metadata_bytes(metadata: Mapping[str, str]) -> int:
    """Return the size of the metadata of an object as S3 counts it: names and values."""
    return sum(len(name.encode()) + len(value.encode()) for name, value in metadata.items())


def _key_sizes(params: Mapping[str, Any]) -> Iterator[int]:
    keys = [params["Key"]] if "Key" in params else []
    keys += [key for table in params.get("RequestItems", {}).values() if "Keys" in table for key in table["Keys"]]
    for key in keys:
        yield from (len(value["S"].encode()) for value in key.values() if "S" in value)


def _event_bytes(entry: Mapping[str, str]) -> int:
    return sum(len(entry.get(name, "").encode()) for name in ("Source", "DetailType", "Detail"))
