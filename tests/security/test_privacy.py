"""Metadata of an image stays in its raw file: no part of it is in images, rows, media index, messages or logs."""

from __future__ import annotations

import gzip
import io
import json
import re
import struct
import zlib
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image

import transform.app
import write_parquet.app
from imagelake.lake import object_keys
from imagelake.run.observability import logger
from tests.support.factories import Context, event, item, keep_plan, plan
from tests.support.fake_lake import Lake
from tests.support.images import WIDE_GAMUT, chunk, encoded, jpeg_with, photo, png_with
from tests.support.web_server import WebServer

KINDS = ["JPEG", "PNG", "WEBP", "AVIF"]
PLACES = {
    "JPEG": {"MAKE", "PLACE", "MAKERNOTE", "THUMBNAIL", "XMP", "IPTC", "COMMENT", "PROFILE", "TAIL"},
    "PNG": {"MAKE", "PLACE", "MAKERNOTE", "THUMBNAIL", "XMP", "IPTC", "COMMENT", "PACKED", "PROFILE", "TAIL"},
    "WEBP": {"MAKE", "PLACE", "MAKERNOTE", "THUMBNAIL", "XMP", "PROFILE"},
    "AVIF": {"MAKE", "PLACE", "MAKERNOTE", "THUMBNAIL", "XMP", "PROFILE"},
}
LATITUDE = 52.51861


def mark(kind: str, place: str) -> bytes:
    return f"PLANTED-{kind}-{place}-END".encode()


def exif(kind: str) -> bytes:
    """EXIF with a maker, a place, a maker's note and a thumbnail that has a comment of its own."""
    thumbnail = jpeg_with(encoded(photo(16, 12)), 0xFE, mark(kind, "THUMBNAIL"))
    block = Image.Exif()
    if kind != "AVIF":  # whose encoder writes the EXIF anew, without its thumbnail, when it states an orientation
        block[0x0112] = 6
    block[0x010F] = mark(kind, "MAKE").decode()
    block.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 7.0), 4: (LATITUDE, 0.0, 0.0), 27: mark(kind, "PLACE")})
    block.get_ifd(0x8769)[0x927C] = mark(kind, "MAKERNOTE")
    data = bytearray(block.tobytes())
    tiff = 6 if data.startswith(b"Exif\0\0") else 0
    order = "<" if data[tiff : tiff + 2] == b"II" else ">"
    # The second directory, whose offset follows the first one's entries, is the thumbnail's.
    (first,) = struct.unpack_from(f"{order}I", data, tiff + 4)
    (count,) = struct.unpack_from(f"{order}H", data, tiff + first)
    at = len(data) - tiff
    struct.pack_into(f"{order}I", data, tiff + first + 2 + 12 * count, at)
    entries = [(0x0103, 3, 1, 6), (0x0201, 4, 1, at + 42), (0x0202, 4, 1, len(thumbnail))]
    directory = struct.pack(f"{order}H", len(entries))
    for tag, kind_of_value, number, value in entries:
        packed = struct.pack(f"{order}HH", value, 0) if kind_of_value == 3 else struct.pack(f"{order}I", value)
        directory += struct.pack(f"{order}HHI", tag, kind_of_value, number) + packed
    return bytes(data) + directory + bytes(4) + thumbnail


def telling(kind: str) -> bytes:
    """An image with a mark in every place where its format can hold one."""
    profile = WIDE_GAMUT.replace(b"Planted wide gamut", mark(kind, "PROFILE")[:18]) + mark(kind, "PROFILE")
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a>%b</a></x:xmpmeta>' % mark(kind, "XMP")
    iptc = b"\x1c\x02\x50" + struct.pack(">H", len(mark(kind, "IPTC"))) + mark(kind, "IPTC")
    block, image = exif(kind), photo(120, 80)
    if kind == "JPEG":
        data = encoded(image, "JPEG", exif=block, icc_profile=profile, comment=mark(kind, "COMMENT"))
        data = jpeg_with(data, 0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp)
        resource = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(iptc)) + iptc
        return jpeg_with(data, 0xED, b"Photoshop 3.0\0" + resource) + mark(kind, "TAIL")
    if kind == "PNG":
        data = encoded(image, "PNG", exif=block, icc_profile=profile)
        return png_with(
            data,
            chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp),
            chunk(b"tEXt", b"Raw profile type iptc\0" + iptc),
            chunk(b"tEXt", b"Comment\0" + mark(kind, "COMMENT")),
            chunk(b"zTXt", b"Author\0\0" + zlib.compress(mark(kind, "PACKED"))),
        ) + mark(kind, "TAIL")
    return encoded(image, kind, exif=block, icc_profile=profile, xmp=xmp)


def inflated(data: bytes) -> bytes:
    """The data and what is deflated in it."""
    found = [data]
    for start in re.finditer(rb"\x78[\x01\x9c\xda]", data):
        try:
            found.append(zlib.decompressobj().decompress(data[start.start() :], 1 << 20))
        except zlib.error:
            continue
    return b"\n".join(found)


@pytest.mark.parametrize("kind", KINDS)
def test_the_marks_are_where_they_are_said_to_be(kind: str) -> None:
    data = telling(kind)
    assert {place for place in PLACES[kind] if mark(kind, place) not in inflated(data)} == set()
    with Image.open(io.BytesIO(data)) as image:
        block = image.getexif()
        assert block[0x010F] == mark(kind, "MAKE").decode()
        assert block.get_ifd(0x8825)[1] == "N"


@pytest.fixture
def told(
    lake: Lake, website: WebServer, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> dict[str, bytes]:
    """Everything that Transform and Write Parquet store for each image, whole and cut off, except the raw files."""
    log = io.StringIO()
    monkeypatch.setattr(logger.registered_handler, "stream", log)
    items = []
    for kind in KINDS:
        data = telling(kind)
        items += [
            item(f"{kind}-whole", website.put(f"/{kind}", data)),
            item(f"{kind}-cut", website.put(f"/{kind}-cut", data[: len(data) * 3 // 4])),
        ]
    planned = keep_plan(lake, plan(*items))
    transform.app.handler(event("transform", batch=planned.batch), Context())
    rows: list[dict[str, Any]] = lake.bucket.get_lines(object_keys.rows(planned.batch))
    assert [row["status"] for row in rows] == ["ok", "rejected"] * len(KINDS)
    write_parquet.app.handler(event("write_parquet", batch=planned.batch), Context())
    places = {key: lake.bucket.get(key) for key in lake.bucket.list("") if not key.startswith("raw/")}
    places |= {f"{key} inflated": gzip.decompress(body) for key, body in places.items() if body[:2] == b"\x1f\x8b"}
    table = pq.read_table(io.BytesIO(places[object_keys.parquet(planned.batch)]))
    assert sum(row["image"] is not None for row in table.to_pylist()) == len(KINDS)
    places["parquet"] = repr([table.to_pylist(), table.schema.metadata]).encode()
    places |= {f"image {at}": row["image"]["bytes"] for at, row in enumerate(table.to_pylist()) if row["image"]}
    places["rows"] = json.dumps(rows).encode()
    places["mapping"] = repr(lake.mapping()).encode()
    places["metadata"] = repr([lake.bucket.get_with_metadata(key)[1:] for key in lake.bucket.list("")]).encode()
    places["log"] = "".join([log.getvalue(), *capfd.readouterr()]).encode()
    return places


def test_nothing_that_is_kept_holds_a_mark(told: dict[str, bytes]) -> None:
    assert b"batch transformed" in told["log"]
    assert {"parquet", "rows", "mapping", "image 0"} <= told.keys()
    found = [(place, hit) for place, body in told.items() for hit in re.findall(rb"PLANTED[-\w]*", inflated(body))]
    assert found == []


def test_no_text_that_is_kept_holds_the_place(told: dict[str, bytes]) -> None:
    texts = {place: told[place] for place in ("rows", "mapping", "metadata", "log")}
    assert [place for place, text in texts.items() if re.search(rb"(?i)gps|latitude|52\.5186|Exif", text)] == []
