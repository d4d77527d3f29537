"""Images near the limits on pixels, and lossless WebPs with very many prefix codes.

Each has the code that it must get, or ``accepted``. A file is made when it is needed, because all of them are large.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from functools import partial

import numpy as np
from PIL import Image

from tests.support.avif_grid import Tiles, avif_grid
from tests.support.images import chunk, encoded, png_of

ACCEPTED, CORRUPT, PIXELS = "accepted", "corrupt", "too_many_pixels"
# The sides of squares just within the limits and just beyond them.
AT_20, BEYOND_20, AT_16, BEYOND_16, AT_40, BEYOND_40 = 4_472, 4_473, 4_103, 4_104, 6_324, 6_325
AVIF_SIDE, CMYK_SIDE = 4_000, 5_656
# A file with much data has fewer pixels.
WITH_DATA = 3_700
SEVEN_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
Bombs = dict[str, tuple[Callable[[], bytes], str]]


def pixel_bombs() -> Bombs:
    return {**_png(), **_gif(), **_webp(), **_avif(), **_jpeg()}


def _zeros(size: int) -> bytes:
    deflater = zlib.compressobj(9)
    parts = [deflater.compress(bytes(min(1 << 24, size - start))) for start in range(0, size, 1 << 24)]
    return b"".join(parts) + deflater.flush()


def _blocks(side: int, channels: int) -> Image.Image:
    """Noise of squares, which costs a decoder more than one color does."""
    small = np.random.default_rng(1).integers(0, 255, (side // 8 + 1, side // 8 + 1, channels), dtype=np.uint8)
    return Image.fromarray(np.kron(small, np.ones((8, 8, 1), np.uint8))[:side, :side].copy())


def _noise(side: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 255, (side, side, 3), dtype=np.uint8))


def _paeth_png(side: int) -> bytes:
    """A PNG of 16-bit RGBA whose rows are many short matches, with the filter that takes longest."""
    random = np.random.default_rng(1)
    pattern = random.integers(0, 4, (256, side * 8), dtype=np.uint8) * (random.random((256, side * 8)) < 0.08)
    rows = np.full((side, 1 + side * 8), 4, np.uint8)
    rows[:, 1:] = pattern[np.arange(side) * 7 % 256]
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 16, 6, 0, 0, 0))
    return png_of(1, 1, b"")[:8] + head + chunk(b"IDAT", zlib.compress(rows.tobytes(), 1)) + chunk(b"IEND", b"")


def flat_png(side: int, depth: int, kind: int, *, interlaced: bool = False) -> bytes:
    """A PNG of zeros of this bit depth and color type."""
    pixel_bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[kind]
    size = side * (1 + (side * pixel_bits + 7) // 8)
    if interlaced:
        passes = [(-(-(side - x) // dx), -(-(side - y) // dy)) for x, y, dx, dy in SEVEN_PASSES]
        size = sum(height * (1 + (width * pixel_bits + 7) // 8) for width, height in passes)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, depth, kind, 0, 0, interlaced))
    palette = chunk(b"PLTE", bytes(768)) if kind == 3 else b""
    return png_of(1, 1, b"")[:8] + head + palette + chunk(b"IDAT", _zeros(size)) + chunk(b"IEND", b"")


def _png() -> Bombs:
    # The largest side, the bits of a sample and the color type. Time is the limit for rows of more than 66 MB.
    kinds = {
        "RGB": (AT_20, 8, 2), "RGBA": (4_082, 8, 6), "LA": (4_082, 16, 4), "gray": (AT_40, 8, 0),
        "RGB of 16 bits": (3_333, 16, 2), "RGBA of 16 bits": (2_886, 16, 6), "gray of 16 bits": (5_773, 16, 0),
        "palette": (AT_40, 8, 3), "one bit": (AT_40, 1, 0),
    }  # fmt: skip

    def transparent(side: int) -> bytes:
        return encoded(Image.new("P", (side, side), 3), "PNG", transparency=b"\1" * 256)

    return {
        **{f"PNG {name} at its limit": (partial(flat_png, *kind), ACCEPTED) for name, kind in kinds.items()},
        **{f"PNG {name} beyond": (partial(flat_png, kind[0] + 1, *kind[1:]), PIXELS) for name, kind in kinds.items()},
        "PNG in seven passes": (lambda: flat_png(2_499, 16, 6, interlaced=True), ACCEPTED),
        "PNG in seven passes beyond": (lambda: flat_png(2_500, 16, 6, interlaced=True), PIXELS),
        "PNG of the slowest filter": (lambda: _paeth_png(2_886), ACCEPTED),
        "PNG transparent palette": (lambda: transparent(AT_20), ACCEPTED),
        "PNG transparent palette beyond": (lambda: transparent(BEYOND_20), PIXELS),
    }


def _gif() -> Bombs:
    def gif(side: int, **options: int) -> bytes:
        return encoded(Image.new("P", (side, side), 3), "GIF", **options)

    return {
        "GIF at its limit": (lambda: gif(AT_20), ACCEPTED),
        "GIF transparent": (lambda: gif(AT_20, transparency=3), ACCEPTED),
        "GIF interlaced": (lambda: gif(AT_20, interlace=1), ACCEPTED),
        "GIF beyond": (lambda: gif(BEYOND_20), PIXELS),
        "GIF canvas of a small frame": (
            lambda: gif(64).replace(struct.pack("<HH", 64, 64), struct.pack("<HH", AT_40, AT_40), 1), PIXELS,
        ),
    }  # fmt: skip


def _webp() -> Bombs:
    def flat(side: int, **options: object) -> bytes:
        return encoded(Image.new("RGBA", (side, side), (1, 2, 3, 4)), "WEBP", lossless=True, method=0, **options)

    def animated(side: int) -> bytes:
        return flat(side, save_all=True, append_images=[Image.new("RGBA", (side, side), (9, 2, 3, 255))])

    def lossy(side: int, channels: int) -> bytes:
        return encoded(_blocks(side, channels), "WEBP", quality=50, method=0)

    return {
        # 46 bytes; Pillow got its pixels in pieces of 46 bytes, too.
        "WebP of one color": (lambda: flat(AT_16), ACCEPTED),
        "WebP of one color beyond": (lambda: flat(BEYOND_16), PIXELS),
        "WebP of one color far beyond": (lambda: flat(AT_40), PIXELS),
        "WebP animated": (lambda: animated(AT_16), ACCEPTED),
        "WebP animated beyond": (lambda: animated(BEYOND_16), PIXELS),
        "WebP lossy": (lambda: lossy(AT_40, 3), ACCEPTED),
        "WebP lossy beyond": (lambda: lossy(BEYOND_40, 3), PIXELS),
        "WebP lossy of noise": (lambda: encoded(_noise(4_472), "WEBP", quality=50, method=0), ACCEPTED),
        "WebP lossy of much noise": (lambda: encoded(_noise(AT_40), "WEBP", quality=45, method=0), PIXELS),
        "WebP lossless of noise": (lambda: encoded(_noise(2_700), "WEBP", lossless=True, method=0), ACCEPTED),
        "WebP lossy cut": (lambda: _cut(lossy(AT_40, 3)), CORRUPT),
        "WebP transparent": (lambda: lossy(WITH_DATA, 4), ACCEPTED),
        "WebP transparent beyond": (lambda: lossy(BEYOND_16, 4), PIXELS),
        "WebP of codes": (lambda: coded_webp(65_536, 1_024), CORRUPT),
        "WebP of codes and a cache": (lambda: coded_webp(65_536, 1_024, cache_bits=11), CORRUPT),
        "WebP of long codes": (lambda: coded_webp(65_536, 1_024, cache_bits=11, deep=True), CORRUPT),
        "WebP of codes behind chunks": (lambda: _behind_chunks(coded_webp(65_536, 1_024), 99_000), CORRUPT),
        "WebP of codes behind too many chunks": (lambda: _behind_chunks(coded_webp(65_536, 1_024), 200_000), CORRUPT),
        "WebP of codes in a frame": (lambda: _in_frame(coded_webp(65_536, 1_024)), CORRUPT),
        "WebP of codes in its transparency": (lambda: _in_transparency(coded_webp(65_536, 1_024)), CORRUPT),
        "WebP of codes at the limit": (lambda: coded_webp(16_384, 512, cache_bits=11, deep=True), ACCEPTED),
    }


def _cut(webp: bytes) -> bytes:
    """Half of a WebP in the simple format, whose sizes say that it is whole."""
    half = len(webp) // 4 * 2
    return b"".join((b"RIFF", struct.pack("<I", half - 8), webp[8:16], struct.pack("<I", half - 20), webp[20:half]))


def _avif() -> Bombs:
    return {
        "AVIF of squares": (lambda: encoded(_blocks(WITH_DATA, 4), "AVIF", speed=10, quality=40), ACCEPTED),
        "AVIF of squares beyond": (lambda: encoded(_blocks(4_100, 3), "AVIF", speed=10, quality=40), PIXELS),
        "AVIF of one color": (lambda: encoded(Image.new("RGBA", (AVIF_SIDE, AVIF_SIDE)), "AVIF", speed=10), ACCEPTED),
        "AVIF of noise": (lambda: encoded(_noise(2_500), "AVIF", speed=10, quality=80, subsampling="4:4:4"), ACCEPTED),
        "AVIF of much noise": (
            lambda: encoded(_noise(AVIF_SIDE), "AVIF", speed=10, quality=60, subsampling="4:4:4"),
            PIXELS,
        ),
        "AVIF of tiles without a sequence header": (lambda: avif_grid(8, Tiles(frame=AVIF_SIDE)), PIXELS),
        "AVIF of 900 tiles without a sequence header": (lambda: avif_grid(30, Tiles(frame=AVIF_SIDE)), PIXELS),
        "AVIF of one color beyond": (lambda: encoded(Image.new("RGB", (4_100, 4_100)), "AVIF", speed=10), PIXELS),
    }


def _jpeg() -> Bombs:
    def jpeg(mode: str, side: int = AT_40, **options: object) -> bytes:
        return encoded(Image.new(mode, (side, side), 9), "JPEG", **options)

    return {
        "JPEG at its limit": (lambda: jpeg("RGB"), ACCEPTED),
        "JPEG progressive at its limit": (lambda: jpeg("RGB", progressive=True), ACCEPTED),
        "JPEG CMYK progressive at its limit": (lambda: jpeg("CMYK", CMYK_SIDE, progressive=True), ACCEPTED),
        "JPEG CMYK progressive beyond": (lambda: jpeg("CMYK", CMYK_SIDE + 1, progressive=True), PIXELS),
        "JPEG of random data": (lambda: random_jpeg(0xC2, 6_324, 23_000_000), PIXELS),
        "JPEG of some random data": (lambda: random_jpeg(0xC2, 6_324, 10_000_000), CORRUPT),
        "JPEG arithmetic of many scans": (lambda: random_jpeg(0xCA, 6_324, 5_000), PIXELS),
        "JPEG arithmetic of a few megapixels": (lambda: random_jpeg(0xCA, 2_000, 5_000), PIXELS),
        "JPEG of noise": (lambda: encoded(_blocks(AT_40, 3), "JPEG", quality=30, progressive=True), ACCEPTED),
    }


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def random_jpeg(marker: int, side: int, size: int) -> bytes:
    """A progressive JPEG of 17 scans of random data; 0xC2 has Huffman codes, 0xCA an arithmetic coder."""
    codes = bytes([0, 2, 3, *bytes(13)])
    tables = _segment(0xDB, b"\0" + b"\1" * 64) + _segment(0xC4, b"\0" + codes + bytes(range(5)))
    tables += _segment(0xC4, b"\x10" + codes + b"\x01\x11\x00\x02\x21")
    frame = _segment(marker, struct.pack(">BHHB", 8, side, side, 3) + b"\1\x11\0\2\x11\0\3\x11\0")
    ones = [bytes([1, one, 0]) for one in (1, 2, 3)]
    scans = [b"\3\1\0\2\0\3\0" + bits for bits in (b"\0\0\1", b"\0\0\x10")]
    scans += [one + b"\1\x3f" + bits for bits in (b"\1", *[b"\x10"] * 4) for one in ones]
    # No byte is 255, which would begin a marker.
    data = np.random.default_rng(1).integers(0, 255, size // len(scans), dtype=np.uint8).tobytes()
    return b"\xff\xd8" + tables + frame + b"".join(_segment(0xDA, scan) + data for scan in scans) + b"\xff\xd9"


# ---- Lossless WebPs of many groups of prefix codes (RFC 9649, 3.7.2) ----


def _bits(value: int, count: int) -> list[int]:
    return [value >> place & 1 for place in range(count)]


def _code_of_256(symbols_more: int) -> list[int]:
    """256 symbols with codes of eight bits."""
    lengths = [bit for symbol in (17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8) for bit in _bits(symbol in (0, 8), 3)]
    return [0, *_bits(8, 4), *lengths, 0, *[1] * 256, *[0] * symbols_more]


def _long_code() -> list[int]:
    """Sixteen symbols with codes of up to 15 bits, so that the decoder makes tables of two levels."""
    order = (17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
    lengths = [bit for symbol in order for bit in _bits(4 if 1 <= symbol <= 15 or symbol == 18 else 0, 3)]
    codes = {symbol: number for number, symbol in enumerate([*range(1, 16), 18])}
    used = [*range(1, 16), 15]
    return [0, *_bits(15, 4), *lengths, 1, *_bits(1, 3), *_bits(14, 4), *(
        bit for symbol in used for bit in _bits(codes[symbol], 4)[::-1]
    )]  # fmt: skip


def coded_webp(groups: int, side: int, *, cache_bits: int = 0, deep: bool = False) -> bytes:
    """A lossless WebP whose blocks of 4 by 4 pixels have prefix codes of their own."""
    one_symbol = [1, 0, 0, 0]
    cache = [1, *_bits(cache_bits, 4)] if cache_bits else [0]
    head = [*_bits(0x2F, 8), *_bits(side - 1, 14), *_bits(side - 1, 14), 0, *_bits(0, 3), 0, *cache, 1, *_bits(0, 3), 0]
    head += [*_code_of_256(24), *_code_of_256(0), *one_symbol * 3]
    numbers = np.arange((side // 4) ** 2, dtype=np.uint32) % groups
    # Green has the low byte of the number of a block's group, and red the high one; codes begin with their highest bit.
    pairs = (numbers & 255) << 8 | numbers >> 8
    indexes = (pairs[:, None] >> np.arange(15, -1, -1, dtype=np.uint32) & 1).astype(np.uint8).ravel()
    group = np.array(_long_code() * 5 if deep else one_symbol * 5, np.uint8)
    # A file that ends in zeros is refused before it is decoded.
    pixels = np.append(np.zeros(32 * side * side if deep else 64, np.uint8), np.ones(16, np.uint8))
    stream = np.concatenate([np.array(head, np.uint8), indexes, np.tile(group, groups), pixels])
    return _riff(_part(b"VP8L", np.packbits(stream, bitorder="little").tobytes()))


def _part(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def _riff(*parts: bytes) -> bytes:
    body = b"WEBP" + b"".join(parts)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _extended(flags: int, *parts: bytes) -> bytes:
    canvas = struct.pack("<I", flags) + (1_023).to_bytes(3, "little") * 2
    return _riff(_part(b"VP8X", canvas), *parts)


def _behind_chunks(webp: bytes, count: int) -> bytes:
    return _extended(0, _part(b"teSt", b"") * count, webp[12:])


def _in_frame(webp: bytes) -> bytes:
    head = bytes(6) + (1_023).to_bytes(3, "little") * 2 + bytes(4)
    return _extended(2, _part(b"ANIM", bytes(6)), _part(b"ANMF", head + webp[12:]))


def _in_transparency(webp: bytes) -> bytes:
    """The stream without its header of five bytes as the transparency of a lossy image."""
    lossy = encoded(Image.new("RGB", (1_024, 1_024)), "WEBP")[12:]
    return _extended(16, _part(b"ALPH", b"\1" + webp[25:]), lossy)
