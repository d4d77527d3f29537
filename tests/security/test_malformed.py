"""A malformed file becomes a clean image or a refusal with a code, in imaging and in the stored rows."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from functools import cache

import pytest
from PIL import Image

from imagelake.imaging import process
from imagelake.lake import object_keys
from imagelake.lake.staging import Staging
from imagelake.run.errors import ErrorCode, ImageRejectedError
from tests.support.factories import Context, event, item, keep_plan, plan
from tests.support.fake_lake import Lake
from tests.support.malformed_images import malformed
from tests.support.web_server import WebServer
from transform.app import handler

files = cache(malformed)
_CODES = {
    ErrorCode.EMPTY, ErrorCode.NOT_AN_IMAGE, ErrorCode.FORMAT_NOT_ALLOWED, ErrorCode.TOO_MANY_PIXELS,
    ErrorCode.TRUNCATED, ErrorCode.CORRUPT, ErrorCode.TOO_SMALL, ErrorCode.ODD_ASPECT_RATIO,
}  # fmt: skip
_SCAN = 0xDA
# JFIF, quantization tables, the baseline frame, Huffman tables, the scan.
_CLEAN = {0xE0, 0xDB, 0xC0, 0xC4, _SCAN}


def segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield marker and body of a JPEG's segments; fail unless the file has one scan, then its end, then no byte."""
    assert data[:2] == b"\xff\xd8"
    position = 2
    marker = 0
    while marker != _SCAN:
        assert data[position] == 0xFF
        marker = data[position + 1]
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        yield marker, data[position + 4 : position + 2 + length]
        position += 2 + length
    assert data.index(b"\xff\xd9", position) == len(data) - 2


def assert_clean(data: bytes) -> None:
    all_segments = list(segments(data))
    assert {marker for marker, _ in all_segments} == _CLEAN
    # JFIF without a thumbnail: name, version, density, and a thumbnail of 0x0.
    (jfif,) = [body for marker, body in all_segments if marker == 0xE0]
    assert (jfif[:5], len(jfif), jfif[-2:]) == (b"JFIF\0", 14, b"\0\0")
    assert b"PLANTED" not in data
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        assert (image.format, image.mode) == ("JPEG", "RGB")


def test_the_files_are_many_and_different() -> None:
    assert len(set(files().values())) >= 300


def test_the_check_for_cleanness_finds_dirty_files() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "JPEG", comment=b"PLANTED")
    for dirty in (buffer.getvalue(), process(files()["JPEG and HTML"]).image + b"<html>"):
        with pytest.raises(AssertionError):
            assert_clean(dirty)


def test_every_file_is_a_clean_image_or_a_refusal() -> None:
    accepted, refused = [], {}
    for name, data in files().items():
        try:
            result = process(data)
        except ImageRejectedError as error:
            refused[name] = error.code
        else:
            accepted.append(name)
            assert_clean(result.image)
    assert {name: code for name, code in refused.items() if code not in _CODES} == {}
    # Images with extra bytes are accepted, and the extra bytes are gone.
    assert {"JPEG and ZIP", "PNG and JS", "GIF and HTML", "JPEG with PHP in its comment"} <= set(accepted)
    assert not [name for name in accepted if " cut at " in name]


def test_nothing_malformed_is_stored_as_processed(lake: Lake, website: WebServer) -> None:
    planned = keep_plan(
        lake,
        plan(*(item(f"{at}", website.put(f"/{at}.jpg", data)) for at, data in enumerate(files().values()))),
    )
    counts = handler(event("transform", batch=planned.batch), Context())
    rows = Staging(lake.bucket, planned.batch).rows_with_images()
    assert counts["failed"] == 0
    assert sum(counts.values()) == len(rows) == len(files())
    for (name, data), row in zip(files().items(), rows, strict=True):
        assert row["raw_sha256"] == hashlib.sha256(data).hexdigest()
        if row["image"] is not None:
            assert row["status"] == "ok", name
            assert row["image"]["bytes"] == process(data).image, name
            assert_clean(row["image"]["bytes"])
        else:
            assert row["status"] == "duplicate" or row["error_code"] in _CODES, name
    # images.bin has the images of the rows that are ok, and no byte more.
    stored = lake.bucket.get(object_keys.images(planned.batch))
    assert stored == b"".join(row["image"]["bytes"] for row in rows if row["image"])
    assert counts["ok"] > 50
    assert counts["rejected"] > 150
