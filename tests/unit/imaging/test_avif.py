"""An AVIF whose structure is unusual but valid is read, with the size of its own image."""

from __future__ import annotations

import struct

import pytest

from imagelake.imaging import process
from imagelake.imaging.av1 import sequence_pixels
from imagelake.imaging.avif import read_header
from imagelake.run.errors import ErrorCode, ImageRejectedError
from tests.support.avif_grid import Tiles, avif_grid, units
from tests.support.images import encoded, quarters
from tests.support.part_bombs import avif, box, full_box
from tests.support.sample import pairs

IMAGE = encoded(quarters(), "AVIF")
UNITS = IMAGE[IMAGE.index(b"mdat") + 4 :]


def container(*properties: bytes, linked: tuple[int, ...] = (), wide: bool = False, id_size: int = 2) -> bytes:
    """Make the properties of ``IMAGE``, with more of them before its own; also link these to the image."""
    start = IMAGE.index(b"ipco") - 4
    end = start + int.from_bytes(IMAGE[start : start + 4], "big")
    own = IMAGE[start + 8 : end]
    count = IMAGE[end + 18]
    numbers = [byte & 0x7F for byte in IMAGE[end + 19 : end + 19 + count]]
    links = [*linked, *(len(properties) + number for number in numbers)]
    entry = (1).to_bytes(id_size, "big") + bytes([len(links)])
    entry += b"".join(struct.pack(">H", 0x8000 | link) if wide else bytes([0x80 | link]) for link in links)
    flags = bytes([id_size == 4, 0, 0, wide])
    return box(b"ipco", *properties, own) + box(b"ipma", flags, struct.pack(">I", 1), entry)


def with_pieces(pieces: list[int], version: int, sizes: tuple[int, int], in_meta: bool = False) -> bytes:
    """Make an AVIF whose image is in pieces that end at these positions, in the file or in its box ``idat``."""
    offset_size, index_size = sizes
    ends = [*pieces, len(UNITS)]
    starts = [0, *pieces]

    def build(offset: int) -> bytes:
        head = struct.pack(">I" if version == 2 else ">H", 1)
        if version:
            head += struct.pack(">IHH" if version == 2 else ">HHH", 1, in_meta, 0)
        else:
            head += struct.pack(">HH", 1, 0)
        head += struct.pack(">H", len(ends))
        for start, end in zip(starts, ends, strict=True):
            head += bytes(index_size) + (start + offset).to_bytes(offset_size, "big") + struct.pack(">I", end - start)
        iloc = full_box(b"iloc", version, bytes([offset_size << 4 | 4, index_size]), head)
        whole = avif([(0, len(UNITS))], UNITS, meta=box(b"idat", UNITS) if in_meta else b"")
        at = whole.index(b"iloc") - 4
        length = int.from_bytes(whole[at : at + 4], "big")
        meta = whole.index(b"meta") - 4
        size = int.from_bytes(whole[meta : meta + 4], "big") + len(iloc) - length
        return whole[:meta] + struct.pack(">I", size) + whole[meta + 4 : at] + iloc + whole[at + length :]

    return build(0) if in_meta else build(build(0).index(b"mdat") + 4)


@pytest.mark.parametrize(("pieces", "sizes"), pairs([[], [20], [1, 2, 3], [5, 20, 40, 60]], [(4, 0), (8, 0), (4, 4)]))
@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("in_meta", [False, True])
def test_an_image_in_several_pieces_is_read(
    pieces: list[int], sizes: tuple[int, int], version: int, in_meta: bool
) -> None:
    """ISO/IEC 14496-12, 8.11.3.1: an item may be in several extents, in a box ``mdat`` or ``idat``."""
    result = process(with_pieces(pieces, version, sizes, in_meta))
    assert (result.width, result.height) == (96, 64)
    assert result.image == process(IMAGE).image


def test_a_huge_frame_is_found_when_its_header_is_in_two_pieces() -> None:
    """The bits of a sequence header that state a size of 65,536x65,536 (AV1 specification, 5.5.1)."""
    header = "000" + "1" + "1" + "00000" + "1111" + "1111" + "1" * 32
    payload = int(header.ljust(72, "0"), 2).to_bytes(9, "big")
    unit = b"\x0a" + bytes([len(payload)]) + payload
    data = with_pieces([4], 1, (4, 0))
    start = data.index(UNITS)
    huge = data[:start] + unit + data[start + len(unit) :]
    with pytest.raises(ImageRejectedError) as refused:
        process(huge)
    assert refused.value.code is ErrorCode.TOO_MANY_PIXELS


@pytest.mark.parametrize("size", [(200, 100), (95, 800), (1000, 1000)])
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("id_size", [2, 4])
def test_the_size_is_that_of_the_image_when_another_item_is_larger(
    size: tuple[int, int], wide: bool, id_size: int
) -> None:
    """ISO/IEC 14496-12, 8.11.14: the box ``ipma`` says which properties belong to the primary item (8.11.4)."""
    gain_map = full_box(b"ispe", 0, struct.pack(">II", *size))
    data = avif([(0, len(UNITS))], UNITS, properties=container(gain_map, wide=wide, id_size=id_size))
    result = process(data)
    assert (result.original_width, result.original_height) == (96, 64)
    assert result.image == process(IMAGE).image


def test_a_larger_item_counts_for_the_limit_of_pixels() -> None:
    gain_map = full_box(b"ispe", 0, struct.pack(">II", 10_000, 10_000))
    with pytest.raises(ImageRejectedError) as refused:
        process(avif([(0, len(UNITS))], UNITS, properties=container(gain_map)))
    assert refused.value.code is ErrorCode.TOO_MANY_PIXELS


def test_the_largest_size_is_taken_when_the_image_has_no_link_to_a_size() -> None:
    data = avif([(0, len(UNITS))], UNITS, properties=container())
    start = data.index(b"pitm")
    unknown = data[: start + 8] + b"\0\7" + data[start + 10 :]
    assert read_header(unknown).width == 96


@pytest.mark.parametrize(
    "timing",
    [
        "0",
        "1" + "0" * 64 + "0" + "0",
        "1" + "0" * 64 + "1" + "00101" + "0",
        "1" + "0" * 64 + "1" + "1" + "1" + "00011" + "1" * 42,
    ],
    ids=["none", "timing", "ticks per image", "decoder model"],
)
def test_the_size_is_read_behind_video_timing(timing: str) -> None:
    """AV1 specification, 5.5.1 to 5.5.4."""
    points = "0" + "00000" + "0" * 12 + "01000" + "0" + ("1" + "0" * 9 if timing.endswith("1" * 42) else "")
    bits = "000" + "1" + "0" + timing + points + "0111" + "0110" + f"{199:08b}" + f"{99:07b}"
    payload = int(bits.ljust(8 * 40, "0"), 2).to_bytes(40, "big")
    assert sequence_pixels(payload) == 200 * 100


def test_a_grid_of_tiles_is_read() -> None:
    for headers in ("first", "all"):
        result = process(avif_grid(4, Tiles(headers=headers)))
        assert (result.width, result.height) == (256, 256)


HUGE_GRIDS = {
    "frames larger than they say": (8, Tiles(frame=1_024)),
    "frames larger than they say, with headers": (8, Tiles(frame=1_024, headers="all")),
    "frames in front of a small header": (8, Tiles(frame=1_024, headers="small")),
    "frames without a size": (8, Tiles(frame=1_024, own_sizes=False)),
    "tiles larger than their frames": (8, Tiles(tile=1_024, output=7_200, image=64)),
    "a grid larger than its image": (2, Tiles(tile=4_096, output=8_192, image=64)),
    "many small tiles": (30, Tiles(frame=256)),
}


@pytest.mark.parametrize("name", HUGE_GRIDS)
def test_all_tiles_of_a_grid_count(name: str) -> None:
    """A decoder keeps the last sequence header (AV1 specification, 7.5), also from one tile to the next."""
    with pytest.raises(ImageRejectedError) as refused:
        process(avif_grid(*HUGE_GRIDS[name]))
    assert refused.value.code is ErrorCode.TOO_MANY_PIXELS


@pytest.mark.parametrize("kind", [3, 7])
def test_a_header_of_a_frame_counts_as_a_frame(kind: int) -> None:
    """AV1 specification, 6.2.2: 3 is a frame header and 7 a redundant one, which dav1d also takes for the first one."""
    header, frame, _ = units(2_000)
    data = header + (bytes([kind << 3 | 2]) + frame[1:]) * 20
    assert read_header(avif([(0, len(data))], data)).coded_pixels >= 20_000_000


def test_a_size_behind_32_operating_points_is_read() -> None:
    """AV1 specification, 5.5.1: each point may have 89 bits, so the size begins behind 370 bytes."""
    timing = "1" + "0" * 64 + "1" + "1" + "1" + "11111" + "0" * 42
    point = "0" * 12 + "01000" + "0" + "1" + "0" * 65 + "1" + "0" * 4
    bits = "000" + "0" + "0" + timing + "1" + "11111" + point * 32 + "1111" + "1111" + "1" * 32
    payload = int(bits.ljust(8 * 400, "0"), 2).to_bytes(400, "big")
    unit = b"\x0a\x90\x03" + payload + UNITS
    with pytest.raises(ImageRejectedError) as refused:
        process(avif([(0, len(unit))], unit))
    assert refused.value.code is ErrorCode.TOO_MANY_PIXELS


@pytest.mark.parametrize("pieces", [1_001, 65_535])
def test_thousands_of_pieces_are_refused(pieces: int) -> None:
    data = with_pieces([], 1, (4, 0))
    # The number of pieces comes before the offset and the length of the first one.
    start = data.index(b"iloc") + 18
    assert data[start : start + 2] == b"\0\1"
    with pytest.raises(ImageRejectedError, match="pieces"):
        process(data[:start] + struct.pack(">H", pieces) + data[start + 2 :])
