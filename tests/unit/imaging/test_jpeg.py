"""A JPEG with missing data is called truncated by every preset, and one with a harmless fault is read."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Callable
from itertools import pairwise
from typing import Any, get_args

import numpy as np
import pytest
from PIL.JpegImagePlugin import JpegImageFile

from imagelake.imaging import Options, jpeg, process
from imagelake.imaging.header import MAX_DECODER_BYTES, MAX_DECODER_SECONDS
from imagelake.imaging.jpeg import read_header
from imagelake.run.errors import ErrorCode, ImageRejectedError
from imagelake.run.image_options import Preset
from tests.support.images import decoded, encoded, jpeg_with, photo, png_of, psnr
from tests.support.sample import pairs

END = b"\xff\xd9"
SCAN = b"\xff\xda"
PRESETS = get_args(Preset)
KINDS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "optimized": {"optimize": True},
    "progressive": {"progressive": True},
    "restart markers": {"restart_marker_rows": 2},
    "subsampled": {"subsampling": "4:2:0", "quality": 60},
}


def sample(kind: str, mode: str = "RGB") -> bytes:
    options: dict[str, Any] = {"quality": 85, "subsampling": "4:2:2"} | KINDS[kind]
    return encoded(photo(600, 400).convert(mode), **(options | ({"subsampling": "4:4:4"} if mode == "CMYK" else {})))


def code_of(data: bytes, preset: Preset = "balanced") -> str:
    try:
        process(data, Options(image_size=256, preset=preset))
    except ImageRejectedError as error:
        return str(error.code)
    return "ok"


def codes_of(*files: bytes) -> list[str]:
    return [code_of(data, preset) for data in files for preset in PRESETS]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "mode"), pairs(KINDS, ["RGB", "L", "CMYK"]))
def test_a_jpeg_with_missing_data_and_an_end_is_truncated(kind: str, mode: str) -> None:
    """libjpeg fills the image with gray and warns: JWRN_HIT_MARKER in jerror.h, "premature end of data segment"."""
    data = sample(kind, mode)
    assert codes_of(data) == ["ok"] * len(PRESETS)
    for percent in range(5, 100, 10):
        start = len(data) * percent // 100
        assert set(codes_of(data[:start] + END)) == {"truncated"}, percent
        assert set(codes_of(data[:start])) == {"truncated"}, percent
    assert set(codes_of(data[:-4] + END)) == {"truncated"}


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "mode"), pairs(KINDS, ["RGB", "L"]))
def test_a_jpeg_with_zeros_in_place_of_its_data_is_truncated(kind: str, mode: str) -> None:
    """Zeros are codes of some symbol (T.81, C.2), so the decoder makes pixels from them."""
    data = sample(kind, mode)
    for percent in range(15, 100, 10):
        start = len(data) * percent // 100
        missing = len(data) - start
        assert set(codes_of(data[:start] + bytes(missing - 2) + END)) == {"truncated"}, percent
        assert set(codes_of(data[:start] + bytes(missing))) == {"truncated"}, percent


def test_a_progressive_jpeg_that_ends_between_two_scans_is_truncated() -> None:
    """The decoder does not warn: each scan is complete, but the low bits of some coefficients are missing (G.1.1.1)."""
    data = sample("progressive")
    scans = [at for at in range(len(data)) if data.startswith(SCAN, at)]
    assert len(scans) == 10
    for scan in scans[1:]:
        # A Huffman table may come before the scan.
        start = data.rindex(b"\xff\xc4", 0, scan) if b"\xff\xc4" in data[scan - 60 : scan] else scan
        assert set(codes_of(data[:start] + END)) == {"truncated"}


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: data[:4000] + b"\xff\0" * 1000 + data[6000:], id="no such code"),
        pytest.param(lambda data: data.replace(b"\xff\xd1", b"\xff\xd5"), id="another restart marker"),
    ],
)
def test_a_jpeg_with_data_that_mean_nothing_is_corrupt(damage: Any) -> None:
    """The sources of the warnings are JWRN_HUFF_BAD_CODE and JWRN_MUST_RESYNC in jerror.h."""
    assert set(codes_of(damage(sample("restart markers")))) == {"corrupt"}


RESTARTS: dict[str, dict[str, Any]] = {
    "rows": {"restart_marker_rows": 1},
    "blocks": {"restart_marker_blocks": 4},
    "each block": {"restart_marker_blocks": 1},
    "progressive rows": {"restart_marker_rows": 1, "progressive": True},
    "gray rows": {"restart_marker_rows": 3},
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", RESTARTS)
def test_a_jpeg_with_restart_markers_and_zeros_in_its_middle_is_refused(kind: str) -> None:
    """Decoders go on at the next restart marker (T.81, F.2.2.4), so only bytes before it are left of the damage."""
    data = encoded(photo(600, 400).convert("L" if "gray" in kind else "RGB"), quality=90, **RESTARTS[kind])
    assert codes_of(data) == ["ok"] * len(PRESETS)
    third = len(data) // 3
    for start in range(len(data) // 10, 2 * third - 50, len(data) // 23):
        damaged = data[:start] + bytes(third) + data[start + third :]
        assert set(codes_of(damaged)) <= {"corrupt", "truncated"}, start


@pytest.mark.parametrize("padding", [b"\0", b"\xa5\x5a", bytes(7)])
def test_few_bytes_before_restart_markers_are_read_unless_they_hide_damage(padding: bytes) -> None:
    """Webcams write them: "Corrupt JPEG data: 2 extraneous bytes before marker 0xd1"."""
    data = sample("restart markers")
    first, second = data.index(b"\xff\xd0"), data.index(b"\xff\xd1")
    padded = data[:first] + padding + data[first:second] + padding + data[second:]
    assert process(padded).image == process(data).image
    # Later restart markers are missing.
    fourth, last = padded.index(b"\xff\xd3"), padded.rindex(b"\xff\xd2")
    assert set(codes_of(padded[:fourth] + bytes(last - fourth) + padded[last:])) == {"corrupt"}


def test_a_progressive_jpeg_with_zeros_at_the_end_of_an_inner_scan_is_refused() -> None:
    data = sample("progressive")
    scans = [at for at in range(len(data)) if data.startswith(SCAN, at)]
    # The coefficients of the first scans are not refined, so their zeros become more pixels than there are.
    for scan, following in list(pairwise(scans))[:4]:
        end = data.rindex(b"\xff\xc4", scan, following) if b"\xff\xc4" in data[scan:following] else following
        middle = (scan + 10 + end) // 2
        assert set(codes_of(data[:middle] + bytes(end - middle) + data[end:])) == {"corrupt"}


HARMLESS: dict[str, Callable[[bytes], bytes]] = {
    "bytes after the last pixel": lambda data: data[:-2] + b"padding of a camera" + END,
    "many bytes after the last pixel": lambda data: data[:-2] + b"padding!" * 1000 + END,
    "zeros after the last pixel": lambda data: data[:-2] + bytes(48) + END,
    "many zeros after the last pixel": lambda data: data[:-2] + bytes(5000) + END,
    "fill bytes before the end": lambda data: data[:-2] + b"\xff" * 99 + END,
    "bytes after the end": lambda data: data + b"\0" * 3000,
    "bytes between segments": lambda data: data[:20] + b"\0\0\0" + data[20:],
    "an unknown version of JFIF": lambda data: data.replace(b"JFIF\0\1", b"JFIF\0\7"),
    "a later segment with an unknown Adobe transform": lambda data: jpeg_with(data, 0xEE, b"Adobe\0\x64\0\0\0\0\7"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "fault"), pairs(KINDS, HARMLESS))
def test_a_jpeg_with_a_harmless_fault_is_read(kind: str, fault: str) -> None:
    """All pixels are there. Chrome and Firefox show such files, because libjpeg only warns (jerror.h)."""
    data = sample(kind)
    assert process(HARMLESS[fault](data)).image == process(data).image


@pytest.mark.parametrize("parameters", [b"\0\0\0", b"\0\x3e\0", b"\1\x3f\x11"])
def test_the_range_of_coefficients_is_ignored_when_a_scan_has_all_of_them(parameters: bytes) -> None:
    """T.81, B.2.3 requires 0, 63, 0; libjpeg reads other values as these (JWRN_NOT_SEQUENTIAL)."""
    data = sample("baseline")
    start = data.index(SCAN) + 11
    assert data[start : start + 3] == b"\0\x3f\0"
    wrong = data[:start] + parameters + data[start + 3 :]
    assert process(wrong).image == process(data).image
    # The warning does not hide that data are missing.
    assert code_of(wrong[: len(wrong) // 2] + END) == "truncated"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "body"),
    pairs(KINDS, [b"JFIF\0", b"JFIF\0\1\2", b"JFIF\0\1\2\0\0\1\0\1\0", b"JFXX\0\x10", b""]),
)
def test_a_short_jfif_segment_is_ignored(kind: str, body: bytes) -> None:
    """A decoder takes a segment of less than 14 bytes for none (libjpeg, examine_app0 in jdmarker.c)."""
    data = sample(kind)
    first = data[4] << 8 | data[5]
    bare = data[:2] + data[4 + first :]
    assert process(jpeg_with(bare, 0xE0, body)).image == process(data).image


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "follower"), pairs(KINDS, [0, 1, 2]))
def test_data_after_the_end_are_not_counted_as_scans(kind: str, follower: int) -> None:
    """The marker EOI ends the image (B.1.1.3); phones put videos and other images after it."""
    data = sample(kind)
    after = [data * 40, SCAN * 500_000, png_of(8, 8, b"") + b"\xff\xc0\0" * 1_000][follower]
    assert process(data + after).image == process(data).image


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("divisor", [1, 2, 4, 8])
@pytest.mark.parametrize("size", [(600, 400), (17, 9), (1, 30)])
def test_the_pixels_are_those_of_pillow(mode: str, divisor: int, size: tuple[int, int]) -> None:
    header = read_header(encoded(photo(*size).convert(mode), subsampling="4:4:4" if mode == "CMYK" else "4:2:0"))
    image = jpeg.decode(header, divisor)
    assert image is not None
    with JpegImageFile(io.BytesIO(header.stripped)) as expected:
        expected.draft(None, (max(1, size[0] // divisor), max(1, size[1] // divisor)))
        expected.load()
        if expected.size == image.size:
            assert image.mode == expected.mode == mode
            assert np.array_equal(np.asarray(image), np.asarray(expected))
        else:
            # Pillow chooses another scale for a thin image.
            assert min(size) < divisor


@pytest.mark.parametrize("progressive", [False, True])
def test_missing_data_are_found_when_only_pillow_can_decode(progressive: bool) -> None:
    """TurboJPEG has no name for CMYK in which only the first component has all samples; it is valid (B.2.2)."""
    data = encoded(photo(600, 400).convert("CMYK"), subsampling="4:2:0", progressive=progressive)
    assert jpeg.decode(read_header(data), 1) is None
    assert code_of(data) == "ok"
    for percent in range(5, 100, 10):
        start = len(data) * percent // 100
        assert set(codes_of(data[:start] + END, data[:start])) == {"truncated"}, percent


@pytest.mark.slow
def test_a_cut_progressive_jpeg_is_called_truncated_when_its_last_scan_is_not_read() -> None:
    data = encoded(photo(1200, 900), progressive=True)
    for percent in range(5, 100, 5):
        with pytest.raises(ImageRejectedError) as refused:
            process(data[: len(data) * percent // 100], Options(preset="fast"))
        assert refused.value.code is ErrorCode.TRUNCATED, percent


@pytest.mark.parametrize("marker", [0xC3, 0xC7, 0xCB, 0xCF])
@pytest.mark.parametrize("size", [(600, 400), (64, 9), (16, 1_000)])
def test_a_lossless_jpeg_is_refused_by_every_preset(marker: int, size: tuple[int, int]) -> None:
    """T.81, B.2.2: SOF3, SOF7, SOF11 and SOF15 are lossless; a decoder that scales one may crash."""
    data = encoded(photo(*size)).replace(b"\xff\xc0", bytes([0xFF, marker]))
    assert set(codes_of(data)) == {"format_not_allowed"}


def resized(data: bytes, width: int, height: int) -> bytes:
    start = re.search(rb"\xff[\xc0\xc2]", data)
    assert start
    return data[: start.start() + 5] + struct.pack(">HH", height, width) + data[start.start() + 9 :]


@pytest.mark.parametrize("megabytes", [0, 8, 15])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("kind", ["baseline", "progressive"])
def test_a_photo_of_24_megapixels_is_within_the_limits(kind: str, mode: str, megabytes: int) -> None:
    data = resized(sample(kind, mode), 6_000, 4_000)
    header = read_header(data[:-2] + b"\1" * (megabytes * 1_000_000) + END)
    assert header.seconds < MAX_DECODER_SECONDS
    assert 24_000_000 * header.pixel_bytes < MAX_DECODER_BYTES


@pytest.mark.parametrize(
    ("kind", "size", "fits"),
    [
        ("baseline", (2_000, 1_500), True),
        ("baseline", (2_400, 2_000), False),
        ("progressive", (900, 700), True),
        ("progressive", (1_400, 1_000), False),
        ("progressive", (6_000, 4_000), False),
    ],
)
def test_an_arithmetic_coder_has_time_for_few_pixels(kind: str, size: tuple[int, int], fits: bool) -> None:
    """It may decide a coefficient's bits one by one for almost no data (T.81, F.1.4): 16 megapixels took 1.5 s."""
    data = resized(sample(kind), *size)
    header = read_header(data.replace(b"\xff\xc0", b"\xff\xc9").replace(b"\xff\xc2", b"\xff\xca"))
    assert (header.seconds < MAX_DECODER_SECONDS) == fits


def test_all_scans_are_kept_and_nothing_after_them() -> None:
    data = sample("progressive")
    header = read_header(data + data)
    assert header.stripped.endswith(END)
    assert header.stripped.count(SCAN) == 10
    assert psnr(decoded(header.stripped), decoded(data)) > 90
