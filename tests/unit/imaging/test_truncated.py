"""A PNG, GIF, WebP or AVIF with missing data is refused, whatever end it has; tests of JPEG are in test_jpeg.py."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from imagelake.imaging import Options, process
from imagelake.run.errors import ImageRejectedError
from tests.support.images import chunk, encoded, photo, png_of, png_with
from tests.support.sample import pairs

PHOTO = photo(300, 200)
TRANSLUCENT = PHOTO.copy()
TRANSLUCENT.putalpha(Image.linear_gradient("L").resize(PHOTO.size))
# Seven passes of noise; see `interlaced_png`.
_ADAM7_ROWS = b"".join(
    b"\0" + np.random.default_rng(width * 100 + row).bytes(3 * width)
    for width, height in [(2, 2), (2, 2), (4, 2), (4, 4), (8, 4), (8, 8), (16, 8)]
    for row in range(height)
)
FILES: dict[str, bytes] = {
    "PNG": encoded(PHOTO, "PNG"),
    "PNG of RGBA": encoded(TRANSLUCENT, "PNG"),
    "PNG of a palette": encoded(PHOTO.quantize(64), "PNG"),
    "PNG of gray": encoded(PHOTO.convert("L"), "PNG"),
    "PNG of gray and alpha": encoded(TRANSLUCENT.convert("LA"), "PNG"),
    "PNG of one bit": encoded(PHOTO.convert("1"), "PNG"),
    "PNG of 16 bits": encoded(Image.fromarray(np.asarray(PHOTO.convert("L")).astype(np.uint16) * 257), "PNG"),
    "interlaced PNG": png_of(16, 16, zlib.compress(_ADAM7_ROWS), color=2, interlace=1),
    "GIF": encoded(PHOTO, "GIF"),
    "interlaced GIF": encoded(PHOTO, "GIF", interlace=1),
    "WebP": encoded(PHOTO, "WEBP"),
    "WebP of RGBA": encoded(TRANSLUCENT, "WEBP"),
    "lossless WebP": encoded(PHOTO, "WEBP", lossless=True),
    "AVIF": encoded(PHOTO, "AVIF"),
    "AVIF of RGBA": encoded(TRANSLUCENT, "AVIF"),
}
PERCENT = (30, 50, 75, 90)


def code_of(data: bytes) -> str:
    try:
        process(data)
    except ImageRejectedError as error:
        return str(error.code)
    return "ok"


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_truncated_when_its_end_is_missing_or_zero(name: str) -> None:
    data = FILES[name]
    assert code_of(data) == "ok"
    for percent in PERCENT:
        start = len(data) * percent // 100
        assert code_of(data[:start]) == "truncated", percent
        # A short PNG may begin its compressed data with zeros.
        zeroed = code_of(data[:start] + bytes(len(data) - start))
        assert zeroed == "truncated" or (zeroed == "corrupt" and len(data) < 200), percent


def chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 8
    while position < len(png):
        length, kind = struct.unpack_from(">I4s", png, position)
        yield kind, png[position + 8 : position + 8 + length]
        position += 12 + length


def with_body(png: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """Put other compressed data into a PNG, with right lengths and checksums and an end."""
    body = change(b"".join(part for kind, part in chunks(png) if kind == b"IDAT"))
    head = b"".join(chunk(kind, part) for kind, part in chunks(png) if kind not in (b"IDAT", b"IEND"))
    return png[:8] + head + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def flushed(rows: bytes) -> bytes:
    packer = zlib.compressobj()
    return packer.compress(rows) + packer.flush(zlib.Z_SYNC_FLUSH)


MISSING: dict[str, Callable[[bytes, int], bytes]] = {
    "half of the stream": lambda body, percent: body[: len(body) * percent // 100],
    "rows after a flush": lambda body, percent: flushed(zlib.decompress(body)[: -100 + percent]),
    "rows in a complete stream": lambda body, percent: zlib.compress(zlib.decompress(body)[: -100 + percent]),
}


@pytest.mark.parametrize(("name", "missing"), pairs([name for name in FILES if "PNG" in name], MISSING))
def test_a_png_with_missing_rows_and_an_end_is_truncated(name: str, missing: str) -> None:
    """Pillow leaves missing rows black. The size of the rows follows from the header (PNG third edition, 7.2 and 8)."""
    for percent in PERCENT:
        data = with_body(FILES[name], lambda body, percent=percent: MISSING[missing](body, percent))  # type: ignore[misc]
        assert code_of(data) == "truncated", percent


@pytest.mark.parametrize("name", [name for name in FILES if "PNG" in name])
def test_a_png_with_zeros_in_its_stream_is_refused(name: str) -> None:
    for percent in PERCENT:

        def zeroed(body: bytes, percent: int = percent) -> bytes:
            start = len(body) * percent // 100
            return body[:start] + bytes(len(body) - start)

        assert code_of(with_body(FILES[name], zeroed)) in ("truncated", "corrupt"), percent


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in FILES if "PNG" in name])
def test_a_png_with_all_rows_is_read(name: str) -> None:
    """A decoder has no use for the checksum of the stream, and ignores data after the last row (13.10)."""
    expected = process(FILES[name]).image
    assert process(with_body(FILES[name], lambda body: body[:-4])).image == expected
    longer = with_body(FILES[name], lambda body: zlib.compress(zlib.decompress(body) + bytes(900)))
    assert process(longer).image == expected
    assert process(with_body(FILES[name], lambda body: body + b"more")).image == expected


@pytest.mark.parametrize("interlace", [0, 1])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 4), (9, 17), (33, 1)])
@pytest.mark.parametrize("kind", [(1, 0), (2, 3), (16, 2), (8, 6), (16, 4)])
def test_no_row_of_any_kind_of_png_may_be_missing(kind: tuple[int, int], size: tuple[int, int], interlace: int) -> None:
    depth, color = kind
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color]
    steps = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    rows = b""
    for x, y, dx, dy in steps if interlace else [(0, 0, 1, 1)]:
        columns, lines = len(range(x, size[0], dx)), len(range(y, size[1], dy))
        rows += bytes(lines * (1 + (columns * depth * channels + 7) // 8)) if columns else b""

    def outcome(body: bytes) -> str:
        data = png_of(*size, zlib.compress(body), depth, color, interlace)
        if color == 3:
            data = png_with(data, chunk(b"PLTE", bytes(12)))
        try:
            process(data, Options(min_image_size=1, max_aspect_ratio=99))
        except ImageRejectedError as error:
            return str(error.code)
        return "ok"

    assert outcome(rows) == "ok"
    assert outcome(rows[:-1]) == "truncated"


def gif_blocks(gif: bytes) -> tuple[bytes, list[bytes]]:
    """Split a GIF of one frame into what comes before its data and the blocks of its data."""
    frame = gif.rindex(b"," + bytes(4) + struct.pack("<HH", *PHOTO.size))
    palette = 3 << ((gif[frame + 9] & 7) + 1) if gif[frame + 9] & 0x80 else 0
    start = position = frame + 11 + palette
    blocks = []
    while gif[position]:
        blocks.append(gif[position : position + 1 + gif[position]])
        position += len(blocks[-1])
    return gif[:start], blocks


@pytest.mark.parametrize("name", ["GIF", "interlaced GIF"])
@pytest.mark.parametrize("percent", PERCENT)
def test_a_gif_with_missing_blocks_and_an_end_is_truncated(name: str, percent: int) -> None:
    head, blocks = gif_blocks(FILES[name])
    kept = len(blocks) * percent // 100
    assert code_of(head + b"".join(blocks[:kept]) + b"\0;") == "truncated"
    zeros = (b"\xff" + bytes(255)) * (len(blocks) - kept)
    assert code_of(head + b"".join(blocks[:kept]) + zeros + b"\0;") in ("truncated", "corrupt")


@pytest.mark.parametrize("name", ["WebP", "lossless WebP"])
@pytest.mark.parametrize("percent", PERCENT)
def test_a_webp_with_missing_data_and_right_lengths_is_refused(name: str, percent: int) -> None:
    data = FILES[name]
    body = data[20 : len(data) * percent // 100 // 2 * 2]
    cut = data[8:16] + struct.pack("<I", len(body)) + body
    assert code_of(b"RIFF" + struct.pack("<I", len(cut)) + cut) in ("truncated", "corrupt")


SECOND = photo(300, 200, seed=8)
ANIMATED: dict[str, bytes] = {
    "lossy": encoded(PHOTO, "WEBP", save_all=True, append_images=[SECOND]),
    "lossless": encoded(PHOTO, "WEBP", save_all=True, append_images=[SECOND], lossless=True),
    "RGBA": encoded(TRANSLUCENT, "WEBP", save_all=True, append_images=[SECOND.convert("RGBA")]),
    "lossless RGBA": encoded(TRANSLUCENT, "WEBP", save_all=True, append_images=[SECOND], lossless=True),
}


@pytest.mark.parametrize("name", ANIMATED)
@pytest.mark.parametrize("percent", [30, 50, 75])
def test_an_animated_webp_with_zeros_in_its_first_frame_is_truncated(name: str, percent: int) -> None:
    """The frames are in the chunks ANMF (RFC 9649, 2.7.1.1), each with chunks of its own."""
    data = ANIMATED[name]
    assert code_of(data) == "ok"
    start = min(data.index(kind) for kind in (b"VP8 ", b"VP8L") if kind in data)
    end = data.index(b"ANMF", start)
    middle = start + (end - start) * percent // 100
    assert code_of(data[:middle] + bytes(end - middle) + data[end:]) == "truncated"
    assert code_of(data[:middle] + bytes(len(data) - middle)) == "truncated"


@pytest.mark.parametrize("data", [FILES["WebP of RGBA"], ANIMATED["RGBA"]], ids=["still", "animated"])
@pytest.mark.parametrize("percent", [30, 50, 75])
def test_a_webp_with_zeros_in_its_transparency_is_refused(data: bytes, percent: int) -> None:
    """The chunk ALPH has a stream of its own (RFC 9649, 2.7.1.2)."""
    start = data.index(b"ALPH") + 8
    end = start + int.from_bytes(data[start - 4 : start], "little")
    middle = start + (end - start) * percent // 100
    assert code_of(data[:middle] + bytes(end - middle) + data[end:]) in ("truncated", "corrupt")


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "alpha_quality"), pairs(["top", "bottom", "left", "spots", "none"], [1, 60, 100]))
def test_a_webp_with_flat_transparency_is_read(shape: str, alpha_quality: int) -> None:
    mask = Image.new("L", (600, 500), 255 if shape != "none" else 0)
    box = {"top": (0, 0, 600, 99), "bottom": (0, 399, 600, 500), "left": (0, 0, 300, 500)}.get(shape, (7, 7, 9, 9))
    mask.paste(0, box)
    image = photo(600, 500)
    image.putalpha(mask)
    assert code_of(encoded(image, "WEBP", alpha_quality=alpha_quality, method=1)) == "ok"
    assert code_of(encoded(image, "WEBP", lossless=True, exact=False, method=1)) == "ok"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["WEBP", "AVIF"])
@pytest.mark.parametrize(
    ("color", "options"), pairs(["white", "black", "#7f8280"], [{}, {"quality": 10}, {"lossless": True}])
)
def test_a_flat_image_that_ends_in_zeros_is_read(kind: str, color: str, options: dict[str, Any]) -> None:
    """A lossy WebP of 2000x1500 white pixels ends in 292 zeros."""
    image = Image.new("RGB", (1200, 900), color)
    if kind == "AVIF":
        options = {**options, "speed": 10}
    assert code_of(encoded(image, kind, **options)) == "ok"
    image.paste(PHOTO, (0, 0))
    assert code_of(encoded(image, kind, **options)) == "ok"


def without_end(png: bytes) -> bytes:
    assert png.endswith(chunk(b"IEND", b""))
    return png[:-12]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in FILES if "PNG" in name])
def test_a_png_with_all_rows_and_no_end_is_read(name: str) -> None:
    """Browsers show it; other data that follow the image are ignored, too (PNG third edition, 13.2)."""
    data = without_end(FILES[name])
    expected = process(FILES[name]).image
    for rest in (
        b"",
        b"\0\0",
        b"\0\0\0\0IEND",
        chunk(b"tEXt", b"Planted\0text"),
        chunk(b"tEXt", bytes(99))[:40],
    ):
        assert process(data + rest).image == expected, rest
    assert code_of(data[:-20]) == "truncated"


@pytest.mark.parametrize("name", ["AVIF", "AVIF of RGBA"])
@pytest.mark.parametrize("rest", [b"\n", b"\0", b"\0" * 7, b"\r\n\r\n", b"x" * 100, bytes(900), b"\0\0\1\0mdatabc"])
def test_data_after_an_avif_are_ignored(name: str, rest: bytes) -> None:
    """All data of the image are in the boxes before (ISO/IEC 14496-12, 4.2)."""
    assert process(FILES[name] + rest).image == process(FILES[name]).image
