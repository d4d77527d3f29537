"""Small files that make a decoder use gigabytes, minutes or endless stack, each with the error code it must get."""

from __future__ import annotations

import gzip
import struct
import zlib

from imagelake.run.errors import ErrorCode
from tests.support.images import chunk, deflated_zeros, encoded, jpeg_with, png_of, png_with, quarters

PIXELS, CORRUPT, TRUNCATED = ErrorCode.TOO_MANY_PIXELS, ErrorCode.CORRUPT, ErrorCode.TRUNCATED
FORMAT, NO_IMAGE = ErrorCode.FORMAT_NOT_ALLOWED, ErrorCode.NOT_AN_IMAGE

Bombs = dict[str, tuple[bytes, ErrorCode]]


def bombs() -> Bombs:
    return {**_png(), **_jpeg(), **_webp(), **_gif(), **_avif(), **_other()}


def _png() -> Bombs:
    image = encoded(quarters(), "PNG")
    zeros = deflated_zeros(512)
    megabyte = zlib.compress(bytes(1 << 20), 9)
    sizes = {
        "RGBA of 16 bits": (20_000, 20_000, 16, 6), "one bit": (100_000, 100_000, 1, 0),
        "palette": (30_000, 30_000, 8, 3), "one line": (2**31 - 1, 1, 8, 0), "one column": (1, 2**31 - 1, 8, 2),
        "largest": (2**32 - 1, 2**32 - 1, 16, 6), "just too large": (8_000, 5_001, 8, 0),
    }  # fmt: skip
    return {
        **{f"PNG {name}": (png_of(*size[:2], zeros, *size[2:]), PIXELS) for name, size in sizes.items()},
        "PNG zTXt": (png_with(image, chunk(b"zTXt", b"Comment\0\0" + zeros)), CORRUPT),
        "PNG iTXt": (png_with(image, chunk(b"iTXt", b"Comment\0\x01\0en\0\0" + zeros)), CORRUPT),
        "PNG iCCP": (png_with(image, chunk(b"iCCP", b"Profile\0\0" + zeros)), CORRUPT),
        "PNG many zTXt": (png_with(image, chunk(b"zTXt", b"C\0\0" + megabyte) * 20), CORRUPT),
        "PNG many chunks": (png_with(image, chunk(b"teSt", b"") * 100_001), CORRUPT),
        "PNG second header": (png_with(image, png_of(60_000, 60_000, b"")[8:33]), CORRUPT),
        "PNG chunk of 4 GB": (image[:33] + b"\xff\xff\xff\xff" + image[37:], TRUNCATED),
    }


def _jpeg() -> Bombs:
    image, progressive = encoded(quarters()), encoded(quarters(), progressive=True)
    frame, last_scan = image.index(b"\xff\xc0"), progressive.rindex(b"\xff\xda")
    second = progressive.index(b"\xff\xc2")
    with_thumbnail = jpeg_with(image, 0xE1, b"Exif\0\0" + image)
    return {
        "JPEG huge": (_sized(image, frame, 65_500, 65_500), PIXELS),
        "JPEG progressive huge": (_sized(progressive, second, 65_500, 65_500), PIXELS),
        "JPEG arithmetic huge": (_sized(image.replace(b"\xff\xc0", b"\xff\xc9"), frame, 60_000, 60_000), PIXELS),
        "JPEG lossless huge": (_sized(image.replace(b"\xff\xc0", b"\xff\xc3"), frame, 60_000, 60_000), FORMAT),
        "JPEG CMYK huge": (
            (lambda data: _sized(data, data.index(b"\xff\xc0"), 40_000, 40_000))(encoded(quarters().convert("CMYK"))),
            PIXELS,
        ),
        "JPEG no height": (_sized(image, frame, 60_000, 0), CORRUPT),
        "JPEG many scans": (
            progressive[:last_scan] + progressive[last_scan:-2] * 5_000 + progressive[-2:],
            CORRUPT,
        ),
        "JPEG more scans than its size allows": (
            _sized(progressive[:last_scan] + progressive[last_scan:-2] * 30 + progressive[-2:], second, 6_300, 6_300),
            CORRUPT,
        ),
        "JPEG many segments": (image[:2] + b"\xff\xe5\0\x02" * 100_001 + image[2:], CORRUPT),
        "JPEG second frame": (image[:frame] + _sized(image, frame, 60_000, 60_000)[frame:][:19] + image[frame:],
                              CORRUPT),
        "JPEG image behind a thumbnail": (
            _sized(with_thumbnail, len(with_thumbnail) - len(image) + frame, 65_000, 65_000),
            PIXELS,
        ),
    }  # fmt: skip


def _sized(data: bytes, frame: int, width: int, height: int) -> bytes:
    return data[: frame + 5] + struct.pack(">HH", height, width) + data[frame + 9 :]


def _webp() -> Bombs:
    lossless, lossy = encoded(quarters(), "WEBP", lossless=True), encoded(quarters(), "WEBP")
    bits = struct.pack("<I", 16_382 | 16_382 << 14)
    extended = b"VP8X" + struct.pack("<I", 10) + bytes(4)
    return {
        "WebP lossless": (lossless[:21] + bits + lossless[25:], PIXELS),
        "WebP lossy": (lossy[:26] + struct.pack("<HH", 16_383, 16_383) + lossy[30:], PIXELS),
        "WebP canvas": (_riff(extended + b"\xff" * 6), PIXELS),
        "WebP animation": (_riff(b"VP8X" + struct.pack("<I", 10) + b"\2\0\0\0" + b"\x3f\x1f\0" * 2), PIXELS),
        "WebP frame beyond its canvas": (
            _riff(extended + b"\x3f\0\0\x3f\0\0" + lossless[12:21] + bits + lossless[25:]),
            CORRUPT,
        ),
        "WebP of 4 GB": (lossy[:4] + b"\xf0\xff\xff\xff" + lossy[8:], TRUNCATED),
    }


def _riff(body: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def _gif() -> Bombs:
    image = encoded(quarters(), "GIF")
    frame = image.rindex(b"," + bytes(4) + struct.pack("<HH", 96, 64))
    huge = struct.pack("<HH", 65_535, 65_535)
    return {
        "GIF canvas": (image[:6] + huge + image[10:], PIXELS),
        "GIF frame beyond its canvas": (image[: frame + 5] + huge + image[frame + 9 :], PIXELS),
        "GIF frame far out": (image[: frame + 1] + huge + image[frame + 5 :], PIXELS),
        "GIF without an end": (image[:frame] + b"!\xfe\xff" + b"x" * 255 * 1_000, TRUNCATED),
        "GIF of comments": (image[:frame] + b"!\xfe\x01x\0" * 500_000 + b";", CORRUPT),
    }


def _avif() -> Bombs:
    image = encoded(quarters(), "AVIF")
    extent = struct.pack(">II", 96, 64)
    meta = image.index(b"meta") - 4
    data = image.index(b"mdat") - 4
    item = image[data + 8 :]
    nested = b""
    for _ in range(5_000):
        nested = struct.pack(">I4s", len(nested) + 8, b"ipco") + nested
    return {
        "AVIF huge": (image.replace(extent, struct.pack(">II", 65_536, 65_536)), PIXELS),
        "AVIF largest": (image.replace(extent, b"\xff" * 8), PIXELS),
        "AVIF box of 4 GB": (image[:meta] + b"\xff\xff\xff\xff" + image[meta + 4 :], TRUNCATED),
        "AVIF box of 2**63 bytes": (
            image[:meta] + b"\0\0\0\1meta\x7f" + b"\xff" * 7 + image[meta + 8 :],
            TRUNCATED,
        ),
        "AVIF box smaller than its header": (image[:meta] + b"\0\0\0\4" + image[meta + 4 :], CORRUPT),
        "AVIF nested": (image[:meta] + struct.pack(">I4sI", len(nested) + 12, b"meta", 0) + nested, CORRUPT),
        "AVIF without an image": (image[:meta] + image[data:], CORRUPT),
        "AVIF no size": (image.replace(extent, bytes(8)), CORRUPT),
        "AVIF frame cut": (image[: data + 8] + bytes(len(item)), CORRUPT),
    }


def _other() -> Bombs:
    laughs = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    svg = f'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a0 "ha">{laughs}]><svg xmlns="x">&a11;</svg>'
    return {
        "SVG of entities": (svg.encode(), FORMAT),
        "TIFF huge": (b"II*\0\x08\0\0\0\2\0" + struct.pack("<HHII", 256, 4, 1, 2**31), FORMAT),
        "BMP huge": (b"BM\x36\0\0\0\0\0\0\0\x36\0\0\0" + struct.pack("<IiiHH", 40, 2**30, 2**30, 1, 32), FORMAT),
        "PSD huge": (b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 4, 300_000, 300_000, 16, 3), FORMAT),
        "PostScript loop": (b"%!PS-Adobe-3.0 EPSF-3.0\n{ } loop", FORMAT),
        "gzip of zeros": (gzip.compress(bytes(16 << 20)), NO_IMAGE),
        "nested HTML": (b"<html>" + b"<div>" * 200_000, NO_IMAGE),
        "nested JSON": (b"[" * 200_000, NO_IMAGE),
    }
