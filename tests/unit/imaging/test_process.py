"""Any bytes give an image or an ImageRejectedError, within the limit of pixels, and the same every time."""

from __future__ import annotations

import dataclasses
import io
import random
import struct
import tracemalloc
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from imagelake.imaging import Options, ProcessedImage, process, process_all
from imagelake.lake.rows import COLUMNS
from imagelake.run.errors import ErrorCode, ImageRejectedError
from tests.support.images import (
    WIDE_GAMUT,
    chunk,
    deflated_zeros,
    encoded,
    exif,
    jpeg_with,
    photo,
    png_of,
    png_with,
    quarters,
)
from tests.support.sample import full

KINDS = ["JPEG", "PNG", "WEBP", "GIF", "AVIF"]
DECODERS = [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x40\0\0\0WEBP", b"GIF89a", b"\0\0\0\x1cftypavif"]


def outcome(data: bytes, options: Options = Options()) -> ErrorCode | ProcessedImage:  # noqa: B008 - frozen
    """Return the image or the code of its refusal; any other exception, or any warning, fails the test."""
    try:
        return process(data, options)
    except ImageRejectedError as error:
        return error.code


def rejected(data: bytes, options: Options = Options()) -> ErrorCode:  # noqa: B008 - frozen
    with pytest.raises(ImageRejectedError) as refused:
        process(data, options)
    return refused.value.code


def sample(kind: str) -> bytes:
    extra = {} if kind == "GIF" else {"exif": exif(6), "icc_profile": WIDE_GAMUT}
    return encoded(photo(64, 48), kind, **extra)


@pytest.mark.slow
def test_many_files_give_what_each_of_them_gives_alone() -> None:
    files = [*(sample(kind) for kind in KINDS), b"", sample("PNG")[:60], encoded(photo(1080, 1350), progressive=True)]
    options = Options(image_size=100, resize_mode="border", tensor="uint8")
    together = process_all(files, options)
    alone = [outcome(data, options) for data in files]
    assert [result.code if isinstance(result, ImageRejectedError) else result for result in together] == alone
    assert process_all([]) == []


def test_result_has_the_columns_of_the_row_contract() -> None:
    names = {field.name for field in dataclasses.fields(ProcessedImage)}
    columns = [column.name for column in COLUMNS]
    assert names >= set(columns[columns.index("content_type") :])


@pytest.mark.slow
def test_result_is_the_same_when_asked_again_from_many_threads() -> None:
    images = [encoded(photo(700, 500, seed), kind) for seed, kind in enumerate(KINDS)] * 3
    once = [process(data) for data in images]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(process, images)) == once


def test_processing_leaves_the_settings_of_pillow_alone() -> None:
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters))
    process(sample("PNG"))
    assert (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters)) == before


def test_our_pixel_limit_applies_when_pillow_has_a_smaller_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert process(encoded(quarters())).width == 96


def huge(kind: str) -> bytes:
    side = 16_000 if kind != "WEBP" else 16_383
    if kind == "JPEG":
        data = bytearray(encoded(quarters()))
        at = data.index(b"\xff\xc0")
        data[at + 5 : at + 9] = struct.pack(">HH", side, side)
        return bytes(data)
    if kind == "PNG":
        return png_of(side, side, zlib.compress(bytes(1_000_000)))
    if kind == "WEBP":
        data = bytearray(encoded(quarters(), "WEBP", lossless=True))
        bits = (side - 1) | (side - 1) << 14
        data[21:25] = struct.pack("<I", bits)
        return bytes(data)
    if kind == "GIF":
        return encoded(quarters(), "GIF").replace(struct.pack("<HH", 96, 64), struct.pack("<HH", side, side))
    return encoded(quarters(), "AVIF").replace(struct.pack(">II", 96, 64), struct.pack(">II", side, side))


@pytest.mark.parametrize("kind", KINDS)
def test_a_huge_image_is_refused_from_its_header(kind: str) -> None:
    data = huge(kind)
    tracemalloc.start()
    try:
        assert rejected(data) is ErrorCode.TOO_MANY_PIXELS
        assert tracemalloc.get_traced_memory()[1] < 4_000_000 + len(data)
    finally:
        tracemalloc.stop()


def test_a_huge_canvas_is_refused_when_an_extended_webp_states_it() -> None:
    body = b"VP8X" + struct.pack("<I", 10) + bytes(4) + b"\xff\xff\0" + b"\xff\xff\0"
    assert rejected(b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body) is ErrorCode.TOO_MANY_PIXELS


def test_a_huge_first_frame_is_refused_when_a_gif_hides_it_behind_a_small_canvas() -> None:
    data = bytearray(encoded(quarters(), "GIF"))
    at = data.rindex(b"," + bytes(4) + struct.pack("<HH", 96, 64))
    data[at + 5 : at + 9] = struct.pack("<HH", 16_000, 16_000)
    assert rejected(bytes(data)) is ErrorCode.TOO_MANY_PIXELS


def test_a_huge_frame_is_refused_when_an_avif_hides_it_behind_a_small_size() -> None:
    options = Options(max_pixels=96 * 64 - 1)
    data = encoded(quarters(), "AVIF").replace(struct.pack(">II", 96, 64), struct.pack(">II", 16, 16))
    assert rejected(data, options) is ErrorCode.TOO_MANY_PIXELS


def test_an_image_at_the_pixel_limit_is_read() -> None:
    assert process(encoded(quarters()), Options(max_pixels=96 * 64)).width == 96
    assert rejected(encoded(quarters()), Options(max_pixels=96 * 64 - 1)) is ErrorCode.TOO_MANY_PIXELS


def test_a_bomb_in_a_later_frame_is_not_read() -> None:
    frames = encoded(quarters(), "GIF", save_all=True, append_images=[photo(96, 64)])
    at = frames.rindex(b"," + bytes(4))
    bomb = frames[: at + 5] + struct.pack("<HH", 65_535, 65_535) + frames[at + 9 :]
    assert process(bomb) == process(encoded(quarters(), "GIF"))


ZEROS = deflated_zeros(64)
BOMBS = {
    "zTXt": chunk(b"zTXt", b"Comment\0\0" + ZEROS),
    "iTXt": chunk(b"iTXt", b"Comment\0\x01\0en\0\0" + ZEROS),
    "iCCP": chunk(b"iCCP", b"Profile\0\0" + ZEROS),
    "many zTXt": chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(1 << 20), 9)) * 20,
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
def test_a_bomb_in_a_png_chunk_is_refused_and_never_inflated(bomb: bytes) -> None:
    data = png_with(encoded(quarters(), "PNG"), bomb)
    tracemalloc.start()
    try:
        assert rejected(data) is ErrorCode.CORRUPT
        assert tracemalloc.get_traced_memory()[1] < 24 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"tEXt", b"iCCP", b"eXIf"])
def test_a_damaged_png_chunk_is_ignored_when_the_image_does_not_need_it(kind: bytes) -> None:
    for body in (b"", b"\0", b"Comment", b"Comment\0\0broken", b"Comment\0\x01\0"):
        assert process(png_with(encoded(quarters(), "PNG"), chunk(kind, body))).width == 96


def test_a_hostile_exif_costs_no_memory_when_its_entries_overlap() -> None:
    # Five thousand entries, each of which claims all bytes of the block.
    entries = b"".join(struct.pack("<HHII", 0x8000 + n, 7, 60_000, 8) for n in range(5_000))
    block = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 5_000) + entries
    data = jpeg_with(encoded(quarters()), 0xE1, block)
    tracemalloc.start()
    try:
        process(data)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


def test_a_jpeg_of_very_many_scans_is_refused() -> None:
    data = encoded(quarters(), progressive=True)
    at = data.rindex(b"\xff\xda")
    assert rejected(data[:at] + data[at:-2] * 200 + data[-2:]) is ErrorCode.CORRUPT


def test_too_many_segments_or_chunks_are_refused() -> None:
    jpeg, png = encoded(quarters()), encoded(quarters(), "PNG")
    assert rejected(jpeg[:2] + b"\xff\xe5\0\x02" * 100_001 + jpeg[2:]) is ErrorCode.CORRUPT
    assert rejected(png_with(png, chunk(b"teSt", b"") * 100_001)) is ErrorCode.CORRUPT


def test_a_second_header_is_refused() -> None:
    png = encoded(quarters(), "PNG")
    assert rejected(png_with(png, png[8:33])) is ErrorCode.CORRUPT
    jpeg = encoded(quarters())
    at = jpeg.index(b"\xff\xc0")
    assert rejected(jpeg[:at] + jpeg[at : at + 19] + jpeg[at:]) is ErrorCode.CORRUPT


def test_no_pixels_are_refused() -> None:
    assert rejected(png_of(0, 10, b"")) is ErrorCode.CORRUPT


@pytest.mark.parametrize("progressive", [False, True])
def test_a_cut_jpeg_is_called_truncated(progressive: bool) -> None:
    data = encoded(photo(200, 150), progressive=progressive)
    for percent in range(5, 100, 5):
        assert rejected(data[: len(data) * percent // 100]) is ErrorCode.TRUNCATED, percent


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "AVIF"])
def test_a_cut_file_is_called_truncated(kind: str) -> None:
    data = encoded(photo(200, 150), kind)
    for percent in range(5, 100, 5):
        assert rejected(data[: len(data) * percent // 100]) is ErrorCode.TRUNCATED, percent


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_cut_near_its_beginning_is_refused(kind: str) -> None:
    data = sample(kind)
    for length in range(64):
        assert rejected(data[:length]) in ErrorCode


@pytest.mark.slow
@pytest.mark.parametrize("number", [50, full(250)])
@pytest.mark.parametrize("kind", KINDS)
def test_flipped_bits_give_an_image_or_a_refusal(kind: str, number: int) -> None:
    data = sample(kind)
    dice = random.Random(kind)
    for _ in range(number):
        broken = bytearray(data)
        for _ in range(dice.choice((1, 1, 4, 30))):
            # Half of the hits go to the structure at the front.
            at = dice.randrange(len(data) if dice.random() < 0.5 else min(len(data), 800))
            broken[at] ^= 1 << dice.randrange(8)
        outcome(bytes(broken), Options(max_pixels=1_000_000))


@pytest.mark.slow
@pytest.mark.parametrize("number", [20, full(60)])
@pytest.mark.parametrize("kind", KINDS)
def test_spliced_files_give_an_image_or_a_refusal(kind: str, number: int) -> None:
    data = sample(kind)
    dice = random.Random(kind)
    for _ in range(number):
        start, length = dice.randrange(len(data)), dice.randrange(1, 200)
        outcome(data[:start] + data[start + length :], Options(max_pixels=1_000_000))
        outcome(data[:start] + data[start : start + length] + data[start:], Options(max_pixels=1_000_000))


@pytest.mark.parametrize("kind", KINDS)
def test_what_follows_the_image_does_not_change_it(kind: str) -> None:
    data = sample(kind)
    expected = process(data)
    for tail in (b"<html><script>alert(1)</script>", b"PK\x03\x04" + bytes(100), sample("PNG")):
        if kind != "AVIF":
            assert process(data + tail) == expected
        else:
            # Bytes that are no box end an AVIF early.
            outcome(data + tail)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", ErrorCode.EMPTY),
        (b"<!doctype html><title>Sign in</title>", ErrorCode.NOT_AN_IMAGE),
        (b'{"error": 404}', ErrorCode.NOT_AN_IMAGE),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>", "format_not_allowed"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n(/etc/passwd) (r) file", ErrorCode.FORMAT_NOT_ALLOWED),
        (b"%PDF-1.7\n", ErrorCode.FORMAT_NOT_ALLOWED),
        (b"\xff\xd8\xff\xe0<html>", ErrorCode.TRUNCATED),
        (b"GIF89a<html><script>", ErrorCode.TRUNCATED),
        (b"\xff\xd8\xff\xd9", ErrorCode.CORRUPT),
    ],
)
def test_a_file_that_only_calls_itself_an_image_is_refused(data: bytes, code: ErrorCode) -> None:
    assert rejected(data) == code


@given(st.sampled_from(DECODERS), st.binary(max_size=400))
@settings(max_examples=300, deadline=None, derandomize=True, database=None)
def test_arbitrary_bytes_are_refused(magic: bytes, rest: bytes) -> None:
    assert rejected(magic + rest, Options(max_pixels=1_000_000)) in ErrorCode


@pytest.mark.slow
@given(st.sampled_from(KINDS), st.integers(0, 600), st.binary(min_size=1, max_size=12))
@settings(max_examples=200, deadline=None, derandomize=True, database=None)
def test_arbitrary_bytes_inside_an_image_give_an_image_or_a_refusal(kind: str, at: int, patch: bytes) -> None:
    data = SAMPLES[kind]
    outcome(data[:at] + patch + data[at + len(patch) :], Options(max_pixels=1_000_000))


SAMPLES = {kind: sample(kind) for kind in KINDS}


def test_result_is_a_jpeg_that_opens() -> None:
    result = process(encoded(photo(800, 600)))
    with Image.open(io.BytesIO(result.image)) as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (512, 384))
