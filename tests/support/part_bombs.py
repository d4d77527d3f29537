"""Files of a few megabytes with far too many parts: boxes, items, blocks, chunks, segments.

Each has the code that it must get, or ``accepted``. A file is made when it is needed, because all of them are large.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from functools import cache

from imagelake.imaging.exif import _ORIENTATION
from tests.support.images import WIDE_GAMUT, chunk, encoded, jpeg_with, png_of, png_with, quarters

ACCEPTED, CORRUPT, PIXELS, TRUNCATED = "accepted", "corrupt", "too_many_pixels", "truncated"
# Almost the largest file that is downloaded.
FULL = 24_000_000

PartBombs = dict[str, tuple[Callable[[], bytes], str]]


def part_bombs() -> PartBombs:
    return {**_avif(), **_gif(), **_png(), **_jpeg(), **_webp()}


# ---- AVIF ------------------------------------------------------------------------------------------------------------
def box(kind: bytes, *bodies: bytes) -> bytes:
    body = b"".join(bodies)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def full_box(kind: bytes, version: int, *bodies: bytes) -> bytes:
    return box(kind, bytes([version, 0, 0, 0]), *bodies)


BRANDS = box(b"ftyp", b"avif\0\0\0\0avifmif1miaf")


@cache
def _still() -> tuple[bytes, bytes]:
    """The properties of a small image, and its AV1 units."""
    image = encoded(quarters(), "AVIF")
    data = image[image.index(b"mdat") + 4 :]
    start = image.index(b"iprp") - 4
    return image[start + 8 : start + struct.unpack_from(">I", image, start)[0]], data


@cache
def _huge_frame() -> bytes:
    """The AV1 units of a frame of 36 million pixels in a few kilobytes."""
    image = encoded(quarters(6_000, 6_000), "AVIF", quality=10, speed=10)
    return image[image.index(b"mdat") + 4 :]


def avif(
    extents: list[tuple[int, int]],
    data: bytes,
    *,
    meta: bytes = b"",
    properties: bytes = b"",
    inside: bytes = b"",
    top: bytes = b"",
) -> bytes:
    """An AVIF whose items are these extents (start, length) of ``data``; the first one is the image.

    ``meta`` are more boxes in the box of that name, ``properties`` in the one of the properties, ``inside`` in the list
    of properties, and ``top`` in the file.
    """
    count = len(extents)
    infos = b"".join(full_box(b"infe", 3, struct.pack(">IH", one + 1, 0), b"av01\0") for one in range(count))
    container = properties or _still()[0]
    if inside:
        size = struct.unpack_from(">I", container)[0]
        container = struct.pack(">I", size + len(inside)) + container[4:size] + inside + container[size:]

    def build(offset: int) -> bytes:
        places = b"".join(
            struct.pack(">IHHHII", one + 1, 0, 0, 1, offset + start, length)
            for one, (start, length) in enumerate(extents)
        )
        boxes = box(
            b"meta",
            bytes(4),
            full_box(b"hdlr", 0, bytes(4), b"pict", bytes(13)),
            full_box(b"pitm", 0, b"\0\1"),
            full_box(b"iloc", 2, b"\x44\0", struct.pack(">I", count), places),
            full_box(b"iinf", 1, struct.pack(">I", count), infos),
            box(b"iprp", container),
            meta,
        )
        return b"".join((BRANDS, top, boxes, struct.pack(">I4s", 8 + len(data), b"mdat")))

    return build(len(build(0))) + data


def _overlapping(size: int) -> bytes:
    """Items of 9,900 units of two bytes; each byte of the data is in two items."""
    each = 19_800
    starts = [*range(0, size - each + 1, each), *range(each // 2, size - each, each)]
    return avif([(start, each) for start in starts], b"\x12\0" * (size // 2))


def _avif() -> PartBombs:
    def one(**options: bytes) -> Callable[[], bytes]:
        return lambda: avif([(0, len(_still()[1]))], _still()[1], **options)

    references = struct.pack(">IH", 1, 65_535) + struct.pack(f">{65_535}I", *range(2, 65_537))
    extent = box(b"ispe", bytes(4), struct.pack(">II", 96, 64))
    return {
        "AVIF with one item": (one(), ACCEPTED),
        "AVIF of small units": (lambda: _overlapping(2_400_000), CORRUPT),
        "AVIF of more small units": (lambda: _overlapping(FULL), CORRUPT),
        "AVIF of boxes": (one(top=box(b"free") * (FULL // 8)), CORRUPT),
        "AVIF of boxes in meta": (one(meta=box(b"free") * (FULL // 8)), CORRUPT),
        "AVIF of properties": (one(inside=extent * (FULL // 20)), CORRUPT),
        "AVIF of property lists": (one(properties=_still()[0] + box(b"ipco") * (FULL // 8)), CORRUPT),
        "AVIF of property links": (
            one(properties=_still()[0] + full_box(b"ipma", 1, struct.pack(">I", 1_000_000), bytes(5_000_000))), CORRUPT,
        ),
        "AVIF of references": (
            one(meta=full_box(b"iref", 1, *(box(b"dimg", references) for _ in range(40)))), CORRUPT,
        ),
        "AVIF of short references": (one(meta=full_box(b"iref", 1, box(b"cdsc", references))), CORRUPT),
        "AVIF of groups": (one(meta=box(b"grpl", full_box(b"altr", 0, bytes(8_000_000)))), CORRUPT),
        "AVIF of items": (lambda: avif([(0, 20)] * 65_000, _still()[1]), CORRUPT),
        "AVIF of more items than libheif takes": (lambda: avif([(0, 20)] * 1_001, _still()[1]), CORRUPT),
        "AVIF of empty locations": (
            lambda: avif([(0, 20)], _still()[1]).replace(
                b"iloc\2\0\0\0\x44\0\0\0\0\1", b"iloc\2\0\0\0\0\0\xff\xff\xff\xff"
            ),
            CORRUPT,
        ),
        "AVIF of names of EXIF": (lambda: avif([(0, 100)], b"infe\2" * (FULL // 5)), CORRUPT),
        "AVIF of frames": (lambda: avif([(0, 50 * len(_huge_frame()))], _huge_frame() * 50), PIXELS),
        "AVIF of items that share a frame": (lambda: avif([(0, len(_huge_frame()))] * 900, _huge_frame()), PIXELS),
        "AVIF of grids": (
            lambda: avif([(0, len(_still()[1])), *[(len(_still()[1]), FULL)] * 900], _still()[1] + bytes(FULL)).replace(
                b"av01", b"grid"
            ).replace(b"grid", b"av01", 1), CORRUPT,
        ),
        "AVIF of sequence headers": (
            lambda: avif([(0, 258 * 9_900)], (b"\x0a\xff\x01" + b"\x18" + bytes(254)) * 9_900), CORRUPT,
        ),
        "AVIF of brands": (
            lambda: one()().replace(BRANDS, box(b"ftyp", b"avif\0\0\0\0avif" + b"mif1" * (FULL // 4))), CORRUPT,
        ),
    }  # fmt: skip


# ---- GIF -------------------------------------------------------------------------------------------------------------
def _gif() -> PartBombs:
    def before_frame(body: bytes) -> bytes:
        image = encoded(quarters(), "GIF")
        frame = image.rindex(b"," + bytes(4) + struct.pack("<HH", 96, 64))
        return image[:frame] + body + image[frame:]

    def frame_of_small_blocks(size: int) -> bytes:
        image = encoded(quarters(), "GIF")
        frame = image.rindex(b"," + bytes(4) + struct.pack("<HH", 96, 64))
        return image[: frame + 11] + b"\1\0" * size + b"\0;"

    small, large = b"\1x" * (FULL // 2), (b"\xff" + b"x" * 255) * (FULL // 256)
    return {
        "GIF of small blocks": (lambda: before_frame(b"!\xfe" + small + b"\0"), CORRUPT),
        "GIF of large blocks": (lambda: before_frame(b"!\xfe" + large + b"\0"), ACCEPTED),
        "GIF of empty comments": (lambda: before_frame(b"!\xfe\0" * (FULL // 3)), CORRUPT),
        "GIF of short comments": (lambda: before_frame(b"!\xfe\1x\0" * (FULL // 5)), CORRUPT),
        "GIF of some comments": (lambda: before_frame(b"!\xfe\1x\0" * 30_000), ACCEPTED),
        "GIF of applications": (lambda: before_frame(b"!\xff\x0bNETSCAPE2.0\3\1\0\0\0" * (FULL // 19)), CORRUPT),
        "GIF of an application of small blocks": (
            lambda: before_frame(b"!\xff\x0bXMP DataXMP" + small + b"\0"), CORRUPT,
        ),
        "GIF of plain texts": (lambda: before_frame(b"!\1\0" * (FULL // 3)), CORRUPT),
        "GIF of controls": (lambda: before_frame(b"!\xf9\4\0\0\0\0\0" * (FULL // 8)), CORRUPT),
        "GIF of some controls": (lambda: before_frame(b"!\xf9\4\0\0\0\0\0" * 30_000), ACCEPTED),
        "GIF of bytes between": (lambda: before_frame(bytes(FULL)), ACCEPTED),
        "GIF of a frame of small blocks": (lambda: frame_of_small_blocks(FULL // 2), CORRUPT),
        "GIF of a frame of some small blocks": (lambda: frame_of_small_blocks(100_000), ACCEPTED),
        "GIF of bytes without a frame": (lambda: before_frame(b"")[:13] + bytes(FULL), TRUNCATED),
    }  # fmt: skip


# ---- PNG -------------------------------------------------------------------------------------------------------------
def _broken_deflate(size: int) -> bytes:
    """Zeros, and then a block of a type that does not exist."""
    deflater = zlib.compressobj(9)
    return deflater.compress(bytes(size)) + deflater.flush(zlib.Z_FULL_FLUSH) + b"\7"


def _png() -> PartBombs:
    image = encoded(quarters(), "PNG")
    rows = zlib.compress(b"\0" * (64 * 98), 9)
    megabytes = zlib.compress(bytes(4 << 20), 9)
    broken, short = _broken_deflate(7 << 20), _broken_deflate(900_000)
    tiff = b"II*\0\x08\0\0\0" + struct.pack("<H", 65_000) + bytes(12 * 65_000)

    def with_data(*chunks: bytes) -> bytes:
        return png_of(97, 64, b"")[:33] + b"".join(chunks) + chunk(b"IEND", b"")

    one_byte = [chunk(b"IDAT", bytes([byte])) for byte in range(256)]
    return {
        "PNG many profiles": (
            lambda: png_with(image, chunk(b"iCCP", b"P\0\0" + megabytes) * (FULL // len(megabytes))), ACCEPTED,
        ),
        "PNG of broken texts": (
            lambda: png_with(image, chunk(b"zTXt", b"C\0\0" + broken) * (FULL // len(broken))), CORRUPT,
        ),
        "PNG of short broken texts": (
            lambda: png_with(image, chunk(b"zTXt", b"C\0\0" + short) * (FULL // len(short))), CORRUPT,
        ),
        "PNG of texts that are none": (lambda: png_with(image, chunk(b"zTXt", b"C\0\0nozlib") * 90_000), CORRUPT),
        "PNG of broken profiles": (
            lambda: png_with(image, chunk(b"iCCP", b"P\0\0" + broken) * (FULL // len(broken))), CORRUPT,
        ),
        "PNG of short texts": (lambda: png_with(image, chunk(b"tEXt", b"Comment\0x") * 99_000), ACCEPTED),
        "PNG of packed texts": (
            lambda: png_with(image, chunk(b"zTXt", b"C\0\0" + zlib.compress(b"x")) * 99_000), ACCEPTED,
        ),
        "PNG of chunks": (lambda: png_with(image, chunk(b"teSt", b"") * (FULL // 12)), CORRUPT),
        "PNG of some chunks": (lambda: png_with(image, chunk(b"teSt", b"") * 99_000), ACCEPTED),
        "PNG of EXIF": (lambda: png_with(image, chunk(b"eXIf", tiff) * (FULL // len(tiff))), ACCEPTED),
        "PNG of small EXIF": (lambda: png_with(image, chunk(b"eXIf", tiff[:10] + bytes(180)) * 99_000), ACCEPTED),
        "PNG of empty data": (lambda: with_data(*[chunk(b"IDAT", b"")] * 99_000, chunk(b"IDAT", rows)), ACCEPTED),
        "PNG of data byte by byte": (lambda: with_data(*(one_byte[byte] for byte in rows)), ACCEPTED),
        "PNG of data after the end of its rows": (
            lambda: with_data(chunk(b"IDAT", rows), *[chunk(b"IDAT", b"x" * 200)] * 99_000), ACCEPTED,
        ),
        "PNG of palettes": (lambda: png_with(image, chunk(b"PLTE", bytes(3)) * 99_000), ACCEPTED),
        "PNG of transparent colors": (lambda: png_with(image, chunk(b"tRNS", bytes(6)) * 99_000), ACCEPTED),
        "PNG of gammas": (lambda: png_with(image, chunk(b"gAMA", bytes(4)) * 99_000), ACCEPTED),
        "PNG of frames": (lambda: png_with(image, chunk(b"fcTL", bytes(26)) * 99_000), ACCEPTED),
    }  # fmt: skip


# ---- JPEG ------------------------------------------------------------------------------------------------------------
def profile_of_elements(number: int) -> bytes:
    """An ICC profile that describes its colors by a chain of elements, which are all in the same two places."""
    matrix = b"matf\0\0\0\0" + struct.pack(">HH12f", 3, 3, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0)
    segment = b"curf\0\0\0\0\0\1\0\0parf" + bytes(8) + struct.pack(">4f", 1, 1, 0, 0)
    curves = b"cvst\0\0\0\0" + struct.pack(">HH6I", 3, 3, *[36, len(segment)] * 3) + segment
    first, second = 16 + 8 * number, 16 + 8 * number + len(curves)
    places = struct.pack(">4I", first, len(curves), second, len(matrix)) * (number // 2)
    chain = b"mpet\0\0\0\0" + struct.pack(">HHI", 3, 3, number) + places + curves + matrix
    end = len(WIDE_GAMUT)
    (count,) = struct.unpack_from(">I", WIDE_GAMUT, 128)
    entries = [struct.unpack_from(">4sII", WIDE_GAMUT, 132 + 12 * one) for one in range(count)]
    entries = [(name, offset + 12, size) for name, offset, size in entries] + [(b"D2B0", end + 12, len(chain))]
    table = struct.pack(">I", count + 1) + b"".join(struct.pack(">4sII", *entry) for entry in entries)
    body = WIDE_GAMUT[132 + 12 * count :] + chain
    head = struct.pack(">I4sI", 128 + len(table + body), b"", 0x04000000) + WIDE_GAMUT[12:128]
    return head + table + body


def _jpeg() -> PartBombs:
    image, progressive = encoded(quarters()), encoded(quarters(), progressive=True)
    tables = image[image.index(b"\xff\xdb") :][:69]
    huffman = image[image.index(b"\xff\xc4") :]
    huffman = huffman[: 2 + struct.unpack_from(">H", huffman, 2)[0]]
    tiff = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 5_400) + bytes(12 * 5_400)
    upright = b"Exif\0\0II*\0\x08\0\0\0\1\0" + struct.pack("<HHII", _ORIENTATION, 3, 1, 1)
    scan = progressive.rindex(b"\xff\xda")

    def front(body: bytes) -> bytes:
        return image[:2] + body + image[2:]

    def in_front_of_scan(body: bytes) -> bytes:
        return progressive[:scan] + body + progressive[scan:]

    profile = b"ICC_PROFILE\0"
    return {
        "JPEG of empty segments": (lambda: front(b"\xff\xe5\0\2" * (FULL // 4)), CORRUPT),
        "JPEG of some empty segments": (lambda: front(b"\xff\xe5\0\2" * 99_000), ACCEPTED),
        "JPEG of comments": (lambda: front((b"\xff\xfe\xff\xff" + bytes(65_533)) * 360), ACCEPTED),
        "JPEG of tables": (lambda: front(tables * (FULL // len(tables))), CORRUPT),
        "JPEG of some tables": (lambda: front(tables * 99_000), ACCEPTED),
        "JPEG of Huffman tables": (lambda: front(huffman * 99_000), ACCEPTED),
        "JPEG of fill bytes": (lambda: front(b"\xff" * FULL), ACCEPTED),
        "JPEG of bytes between": (lambda: front(b"\xff\0" * (FULL // 2)), ACCEPTED),
        "JPEG of zeros between": (lambda: front(b"\xff\xe5\0\2" + bytes(FULL)), ACCEPTED),
        "JPEG of EXIF": (lambda: front(jpeg_with(b"\xff\xd8", 0xE1, tiff)[2:] * 360), ACCEPTED),
        "JPEG of small EXIF": (lambda: front(jpeg_with(b"\xff\xd8", 0xE1, upright)[2:] * 90_000), ACCEPTED),
        "JPEG of a profile in parts": (
            lambda: front(b"".join(jpeg_with(b"\xff\xd8", 0xE2, profile + bytes([part, 255]) + bytes(65_000))[2:]
                                   for part in range(1, 256))), ACCEPTED,
        ),
        "JPEG of elements of its profile": (
            lambda: encoded(quarters(600, 600), icc_profile=profile_of_elements(10_000)), ACCEPTED,
        ),
        "JPEG of empty profiles": (
            lambda: front(jpeg_with(b"\xff\xd8", 0xE2, profile + b"\1\1")[2:] * 90_000), ACCEPTED,
        ),
        "JPEG of restarts": (lambda: image[:-2] + b"\xff\xd0" * (FULL // 2) + image[-2:], ACCEPTED),
        "JPEG of bytes after its end": (lambda: image + bytes(FULL), ACCEPTED),
        "JPEG of scans after its end": (lambda: image + b"\xff\xda\0\2" * (FULL // 4), ACCEPTED),
        "JPEG of tables between scans": (lambda: in_front_of_scan(tables * 300_000), ACCEPTED),
        "JPEG of fill bytes between scans": (lambda: in_front_of_scan(b"\xff" * FULL), ACCEPTED),
        "JPEG of restart intervals": (lambda: front(b"\xff\xdd\0\4\0\0" * 99_000), ACCEPTED),
    }  # fmt: skip


# ---- WebP ------------------------------------------------------------------------------------------------------------
def _webp() -> PartBombs:
    lossy = encoded(quarters(), "WEBP")[12:]
    tiff = b"II*\0\x08\0\0\0" + struct.pack("<H", 65_000) + bytes(12 * 65_000)

    def extended(flags: int, *bodies: bytes) -> bytes:
        canvas = struct.pack("<4sII", b"VP8X", 10, flags) + b"\x5f\0\0\x3f\0\0"
        body = b"WEBP" + canvas + b"".join(bodies)
        return b"RIFF" + struct.pack("<I", len(body)) + body

    def part(kind: bytes, body: bytes) -> bytes:
        return kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)

    frame = part(b"ANMF", bytes(6) + b"\x5f\0\0\x3f\0\0" + bytes(4) + lossy)
    return {
        "WebP of chunks": (lambda: extended(0, part(b"teSt", b"") * (FULL // 8), lossy), ACCEPTED),
        "WebP of chunks behind": (lambda: extended(0, lossy, part(b"teSt", b"") * (FULL // 8)), ACCEPTED),
        "WebP of profiles": (lambda: extended(32, part(b"ICCP", b"") * (FULL // 8), lossy), ACCEPTED),
        "WebP of a large profile": (lambda: extended(32, part(b"ICCP", bytes(FULL)), lossy), ACCEPTED),
        "WebP of EXIF": (lambda: extended(8, lossy, part(b"EXIF", tiff)), ACCEPTED),
        "WebP of a large XMP": (lambda: extended(4, lossy, part(b"XMP ", bytes(FULL))), ACCEPTED),
        "WebP of frames": (
            lambda: extended(2, part(b"ANIM", bytes(6)), frame * (FULL // len(frame))), ACCEPTED,
        ),
        "WebP of empty frames": (
            lambda: extended(2, part(b"ANIM", bytes(6)), part(b"ANMF", bytes(16)) * (FULL // 24)), CORRUPT,
        ),
        "WebP of masks": (lambda: extended(16, part(b"ALPH", b"\0") * (FULL // 10), lossy), CORRUPT),
        "WebP of bytes behind": (lambda: extended(0, lossy) + bytes(FULL), ACCEPTED),
    }  # fmt: skip
