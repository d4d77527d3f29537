"""Plain PNGs are decoded with every filter, Pillow gets all others, and libspng sees only rows of pixels."""

from __future__ import annotations

import io
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from imagelake import imaging
from imagelake.imaging import png
from imagelake.imaging.formats import read_header
from imagelake.run.errors import ImageRejectedError
from tests.support.images import chunk, encoded, interlaced_png, photo, png_of, png_with

pyspng = pytest.importorskip("pyspng", reason="pyspng has no wheel for this machine")

RGB, RGBA = 2, 6


def rows(width: int, height: int, channels: int, filters: bytes = bytes(range(5))) -> bytes:
    """Make rows of noise; their filter bytes are these, in turn."""
    random = np.random.default_rng(1)
    return b"".join(
        filters[row % len(filters)].to_bytes(1, "big") + random.bytes(channels * width) for row in range(height)
    )


def outcome(data: bytes) -> Any:
    try:
        return imaging.process(data)
    except ImageRejectedError as error:
        return error.code, str(error)


def pixels(data: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


@pytest.mark.slow
def test_a_translucent_image_comes_out_the_same_without_the_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    image = photo(1080, 1350)
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    data = encoded(image, "PNG")
    assert png.decode(data) is not None
    expected = imaging.process(data)
    monkeypatch.setattr(png, "pyspng", None)
    assert imaging.process(data) == expected


@pytest.mark.parametrize("color", [RGB, RGBA])
@pytest.mark.parametrize("width", [1, 2, 7, 64])
def test_every_filter_is_undone(width: int, color: int) -> None:
    data = png_of(width, 25, zlib.compress(rows(width, 25, 3 if color == RGB else 4)), color=color)
    image = png.decode(data)
    assert image is not None
    assert np.array_equal(np.asarray(image), pixels(data))


@pytest.mark.parametrize(
    "data",
    [
        encoded(photo(64, 48).convert("L"), "PNG"),
        encoded(photo(64, 48).quantize(16), "PNG"),
        encoded(Image.fromarray(np.full((48, 64), 40_000, np.uint16)), "PNG"),
        encoded(photo(64, 48), "PNG", transparency=(0, 0, 0)),
        interlaced_png(b"\x10\x20\x30", RGB),
    ],
    ids=["gray", "palette", "16 bits", "transparent color", "interlaced"],
)
def test_other_kinds_are_left_to_pillow(data: bytes) -> None:
    assert png.decode(read_header("PNG", data).stripped) is None
    assert outcome(data).content_type == "image/png"


GOOD = zlib.compress(rows(40, 30, 3))
DAMAGED = {
    "a row is missing": png_of(40, 31, GOOD, color=RGB),
    "a row too many": png_of(40, 29, GOOD, color=RGB),
    "no such filter": png_of(40, 30, zlib.compress(rows(40, 30, 3, b"\x05")), color=RGB),
    "cut off": png_of(40, 30, GOOD[:-200], color=RGB),
    "wrong checksum of the rows": png_of(40, 30, GOOD[:-1] + bytes([GOOD[-1] ^ 1]), color=RGB),
    "no zlib stream": png_of(40, 30, b"\0" * 99, color=RGB),
    "wrong checksum of the header": (good := png_of(40, 30, GOOD, color=RGB))[:29] + bytes(4) + good[33:],
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_image_gets_the_error_of_pillow(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    assert png.decode(data) is None
    expected = outcome(data)
    monkeypatch.setattr(png, "pyspng", None)
    assert outcome(data) == expected


def test_pixels_with_a_right_checksum_are_accepted_from_a_stream_that_zlib_refuses() -> None:
    # A zero, 258 more zeros by the length code 286, which must not be used, and the end (RFC 1951, 3.2.6).
    bits = "1" + "10" + "00110000" + "11000110" + "00000" + "0000000"
    plain = bytes(1 + 3 * 86)
    packed = int(bits[::-1], 2).to_bytes(4, "little")
    body = b"\x78\x01" + packed + zlib.adler32(plain).to_bytes(4, "big")
    with pytest.raises(zlib.error):
        zlib.decompress(body)
    image = png.decode(png_of(86, 1, body, color=RGB))
    assert image is not None
    assert image.tobytes() == plain[1:]


def test_libspng_sees_only_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = rows(200, 150, 3)
    packed = zlib.compress(plain, 9)
    data = png_of(200, 150, packed, color=RGB)
    split = data[:33] + b"".join(chunk(b"IDAT", packed[at : at + 7]) for at in range(0, len(packed), 7)) + data[-12:]
    seen: list[bytes] = []
    load = pyspng.load

    def record(data: bytes, mode: str) -> Any:
        seen.append(data)
        return load(data, mode)

    monkeypatch.setattr(pyspng, "load", record)
    imaging.process(png_with(split, chunk(b"tEXt", b"Comment\0planted"), chunk(b"gAMA", bytes(4))))
    # An uncompressed stream is a little longer than the rows.
    body = seen[0][41:-16]
    assert seen[0] == data[:33] + len(body).to_bytes(4, "big") + b"IDAT" + body + bytes(8) + b"IEND" + bytes(4)
    assert len(plain) < len(body) < len(plain) + 100
    assert zlib.decompress(body) == plain
