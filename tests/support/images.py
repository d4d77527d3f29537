"""Images and files for the tests, made by code so that no test needs a file of its own."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imagelake.imaging.exif import _ORIENTATION

GPS_MARK = b"PLANTED-PLACE"


def photo(width: int, height: int, seed: int = 0) -> Image.Image:
    """Make smooth shapes with a little grain, which codecs treat like a photo."""
    random = np.random.default_rng(seed)
    total = np.zeros((height, width, 3))
    for cells in (3, 9, 27):
        coarse = Image.fromarray(random.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        total += np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)) / cells**0.7
    total = (total - total.min()) / np.ptp(total) * 235 + 10 + random.normal(0, 2, (height, width, 1))
    return Image.fromarray(total.clip(0, 255).astype(np.uint8))


def quarters(width: int = 96, height: int = 64) -> Image.Image:
    """Make red, green, blue and yellow quarters, so that each of the eight orientations looks different."""
    image = Image.new("RGB", (width, height), (255, 0, 0))
    image.paste((0, 255, 0), (width // 2, 0, width, height // 2))
    image.paste((0, 0, 255), (0, height // 2, width // 2, height))
    image.paste((255, 255, 0), (width // 2, height // 2, width, height))
    return image


def encoded(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    if kind == "JPEG":
        options = {"quality": 95, "subsampling": "4:4:4"} | options
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def decoded(data: bytes) -> NDArray[np.int64]:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB")).astype(np.int64)


def exif(orientation: int = 1) -> bytes:
    block = Image.Exif()
    block[_ORIENTATION] = orientation
    block[0x010F] = "PLANTED-MAKER"
    block.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 7.0), 27: GPS_MARK})
    return block.tobytes()


def psnr(first: NDArray[Any], second: NDArray[Any]) -> float:
    error = np.mean((first.astype(float) - second.astype(float)) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_with(png: bytes, *chunks: bytes) -> bytes:
    """Insert chunks after the header of a PNG."""
    return png[:33] + b"".join(chunks) + png[33:]


def png_of(width: int, height: int, body: bytes, depth: int = 8, color: int = 0, interlace: int = 0) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlace)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def interlaced_png(pixel: bytes, color: int) -> bytes:
    """Make a flat image of 16x16 such pixels in the seven passes of Adam7; each row has a filter byte and pixels."""
    passes = [(2, 2), (2, 2), (4, 2), (4, 4), (8, 4), (8, 8), (16, 8)]
    body = zlib.compress(b"".join((b"\0" + pixel * width) * height for width, height in passes))
    return png_of(16, 16, body, color=color, interlace=1)


def jpeg_with(jpeg: bytes, marker: int, body: bytes) -> bytes:
    """Insert a segment after the first two bytes of a JPEG."""
    return jpeg[:2] + bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


# Gamma 2.2 and 1.0 as a curve of an ICC profile, a number with eight bits after the point.
GAMMA_22 = b"curv\0\0\0\0\0\0\0\1\2\x33"
LINEAR = b"curv\0\0\0\0\0\0\0\1\1\0"


def matrix_profile(
    red: tuple[float, float],
    green: tuple[float, float],
    blue: tuple[float, float],
    curve: bytes = GAMMA_22,
    name: bytes = b"Planted wide gamut",
) -> bytes:
    """Make an ICC v2 RGB profile with these primaries (x, y), white D50 and this tone curve."""
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in (red, green, blue)]).T
    white = np.array([0.9642, 1.0, 0.8249])
    columns = columns * np.linalg.solve(columns, white)

    def xyz(values: NDArray[np.float64]) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(name) + 1) + name + bytes(79),
        b"wtpt": xyz(white),
        b"rXYZ": xyz(columns[:, 0]),
        b"gXYZ": xyz(columns[:, 1]),
        b"bXYZ": xyz(columns[:, 2]),
        b"cprt": b"text\0\0\0\0none\0",
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve),
    }
    return icc_profile(b"RGB ", tags)


def gray_profile(curve: bytes) -> bytes:
    """Make an ICC v2 gray profile with this tone curve."""
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    return icc_profile(b"GRAY", {b"wtpt": white, b"kTRC": curve})


def icc_profile(color_space: bytes, tags: dict[bytes, bytes]) -> bytes:
    table, body = struct.pack(">I", len(tags)), b""
    for tag, value in tags.items():
        table += tag + struct.pack(">II", 132 + 12 * len(tags) + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    head = struct.pack(">I4sI4s4s4s12s4s", 128 + len(table + body), b"", 0x02100000, b"mntr", color_space, b"XYZ ",
                       bytes(12), b"acsp")  # fmt: skip
    head += bytes(68 - len(head)) + struct.pack(">3i", 63190, 65536, 54061)
    return head + bytes(128 - len(head)) + table + body


WIDE_GAMUT = matrix_profile((0.7347, 0.2653), (0.1152, 0.8264), (0.1566, 0.0177))


def deflated_zeros(megabytes: int) -> bytes:
    """Compress zeros, but only the first megabyte: after a full flush, the same bytes stand for the next one."""
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    megabyte = deflater.compress(bytes(1 << 20)) + deflater.flush(zlib.Z_FULL_FLUSH)
    adler = (megabytes << 20) % 65_521 << 16 | 1
    return b"\x78\x9c" + megabyte * megabytes + deflater.flush() + adler.to_bytes(4, "big")
