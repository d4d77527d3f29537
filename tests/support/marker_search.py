"""Search for markers in everything that a deployed stack has stored, through all formats that it uses."""

from __future__ import annotations

import base64
import binascii
import gzip
import html
import io
import json
import re
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import unquote_to_bytes

import pyarrow.parquet

from tests.support.deployed_stack import Stack

_BASE64 = re.compile(rb"[A-Za-z0-9+/]{16,}={0,2}")
_ZLIB = b"\x78\x9c"
Needles = Mapping[str, Iterable[bytes]]


def stored(stack: Stack) -> Iterator[tuple[str, bytes]]:
    """Yield every version of every object with its key and metadata, and every item of every table."""
    s3, dynamodb = stack.engine.client("s3"), stack.engine.client("dynamodb")
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=stack.bucket):
        for one in page.get("Versions", []):
            got = s3.get_object(Bucket=stack.bucket, Key=one["Key"], VersionId=one["VersionId"])
            place = f"{one['Key']}{'' if one['IsLatest'] else ' (older version)'}"
            yield place, one["Key"].encode()
            yield f"metadata of {place}", repr(got["Metadata"]).encode()
            yield place, got["Body"].read()
        for one in page.get("DeleteMarkers", []):
            yield f"{one['Key']} (delete marker)", one["Key"].encode()
    for table in dynamodb.list_tables()["TableNames"]:
        for page in dynamodb.get_paginator("scan").paginate(TableName=table):
            for item in page["Items"]:
                for value in _values(item):
                    yield f"table {table}", value


def found(needles: Needles, places: Iterable[tuple[str, bytes]]) -> dict[str, set[str]]:
    """The places of each marker that is somewhere; case is ignored."""
    lower = {name: [one.lower() for one in wanted] for name, wanted in needles.items()}
    result = defaultdict(set)
    for place, data in places:
        for layer in layers(data):
            low = layer.lower()
            for name, wanted in lower.items():
                if any(one in low for one in wanted):
                    result[name].add(place)
    return dict(result)


def layers(data: bytes, depth: int = 4) -> Iterator[bytes]:
    """Yield data, and what is packed or encoded in it."""
    yield data
    if not depth:
        return
    if data.startswith(b"PAR1"):
        for row in pyarrow.parquet.ParquetFile(io.BytesIO(data)).read().to_pylist():
            yield from _values(row)
        return
    with suppress(OSError, EOFError, zlib.error):
        yield from layers(gzip.decompress(data), depth - 1)
    if data.startswith(_ZLIB):
        with suppress(zlib.error):
            yield from layers(zlib.decompress(data), depth - 1)
    with suppress(ValueError, RecursionError):
        yield json.dumps(json.loads(data), ensure_ascii=False).encode("utf-8", "replace")
    with suppress(UnicodeDecodeError):
        text = data.decode()
        if "&" in text:
            yield html.unescape(text).encode()
        if "%" in text:
            yield unquote_to_bytes(text)
        for match in _BASE64.finditer(data):
            with suppress(binascii.Error):
                yield from layers(base64.b64decode(match[0], validate=True), depth - 1)


def _values(value: Any) -> Iterator[bytes]:
    """Yield each simple value inside a value, and the names of its fields."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield str(name).encode()
            yield from _values(part)
    elif isinstance(value, list | tuple | set):
        for part in value:
            yield from _values(part)
    elif isinstance(value, bytes):
        yield value
    elif hasattr(value, "value") and isinstance(value.value, bytes):
        yield value.value
    else:
        yield str(value).encode("utf-8", "replace")
