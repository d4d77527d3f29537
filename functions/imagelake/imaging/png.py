"""Read the header of a PNG, and decode plain PNGs faster than Pillow does (PNG third edition)."""

from __future__ import annotations

import functools
import io
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
from PIL import Image, ImageChops
from PIL.PngImagePlugin import PngImageFile

from imagelake.imaging import exif, profiles
from imagelake.imaging.header import MAX_PARTS, MAX_PROFILE_BYTES, Header, corrupt, truncated

# On machines without a wheel, such as macOS on Intel, Pillow decodes.
try:
    import deflate
    import pyspng
except ImportError:
    pyspng = None

# The chunks that say how colors are to be understood.
_COLOR_CHUNKS = frozenset({b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM"})
# The unit of gAMA and cHRM (11.3.2.1 and 11.3.2.2).
_ONE = 100_000
# sRGB has a gamma of 1/2.2 (11.3.2.5). Like libpng (PNG_GAMMA_THRESHOLD), we take values within 5 % for the same.
_SRGB_EXPONENT, _SAME_EXPONENT = 2.2, 0.05
# With other exponents, nearly all values are black or white.
_LOWEST_EXPONENT, _HIGHEST_EXPONENT = 0.1, 10

# Bits per sample and color type of the PNGs in which Pillow misreads the transparent value, and the bytes of the value.
_GRAY_16 = b"\x10\0"
_GRAY_ALPHA_16 = b"\x10\4"
_VALUE_BYTES = {b"\2\0": 2, b"\4\0": 2, _GRAY_16: 2, b"\x10\2": 6}

# Samples of a pixel by color type (11.2.1), and the first pixel and the distances of pixels of each pass (8.2).
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]

# No real text inflates to this size. We drop the text, but keep the raw file, whose next reader may have no limit.
_MAX_TEXT_BYTES = 8 << 20
_STEP_BYTES = 1 << 20
# The rest of a piece is copied at each step, so a piece is short.
_PIECE_BYTES = 1 << 16

# Bits per sample, color type, compression, filter and interlace method (11.2.1) of the PNGs that `decode` takes.
_PLAIN_MODES = {b"\x08\x02\0\0\0": "RGB", b"\x08\x06\0\0\0": "RGBA"}

# Time for each byte of the rows, without and with interlacing: they are inflated twice and have the slowest filter.
_SECONDS_PER_BYTE = (15e-9, 20e-9)
_END = b"\0\0\0\0IEND\xae\x42\x60\x82"

# Gray and palette (11.2.1): without transparency, their pixels are small.
_SMALL_TYPES = (0, 3)


def read_header(data: bytes) -> Header:
    """Read all chunks (5.3); drop those of an animation, so that its default image remains."""
    if data[12:16] != b"IHDR" or data[8:12] != b"\0\0\0\x0d":
        raise corrupt("the PNG does not begin with its header")
    width, height = struct.unpack_from(">II", data, 16)
    orientation = 1
    colors: dict[bytes, bytes] = {}
    remaining_text = _MAX_TEXT_BYTES
    has_transparency = False
    view = memoryview(data)
    kept = [view[:8]]
    for kind, start, end in _chunks(data):
        if kind in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"):
            if kind == b"IHDR" and start != 16:
                raise corrupt("the PNG has two headers")
            has_transparency |= kind == b"tRNS"
            kept.append(view[start - 8 : end + 4])
        elif kind == b"eXIf":
            orientation = exif.read_orientation(data[start:end])
        elif kind in _COLOR_CHUNKS:
            # A PNG has at most one of each (5.6).
            colors.setdefault(kind, data[start:end])
        elif kind in (b"zTXt", b"iTXt"):
            remaining_text -= _inflated_size(_packed_text(kind, data[start:end]), remaining_text)
    if kind != b"IEND":
        kept.append(memoryview(_END))
    profile = _find_profile(colors, is_gray=not data[25] & 2)
    pixel_bytes = 8 if data[25] in _SMALL_TYPES and not has_transparency else 16
    seconds = _count_bytes(data) * _SECONDS_PER_BYTE[data[28] > 0]
    return Header(width, height, b"".join(kept), orientation, profile, pixel_bytes=pixel_bytes, seconds=seconds)


def _find_profile(colors: dict[bytes, bytes], is_gray: bool) -> bytes | None:
    """Find the profile of the colors, in the order of precedence of the standard (4.3); ``None`` for sRGB."""
    if len(codes := colors.get(b"cICP", b"")) == 4:
        # Matrix and range of RGB without headroom (11.3.2.6).
        is_rgb = codes[2:] == b"\0\1"
        if is_rgb and (profile := profiles.profile_of_codes(codes[0], codes[1], is_gray)):
            return profile
    if b"iCCP" in colors:
        # Only one profile is inflated: 6,000 of them take a minute.
        _, _, packed = colors[b"iCCP"].partition(b"\0")
        if profile := _inflate_within(packed[1:], MAX_PROFILE_BYTES):
            return profile
    if b"sRGB" in colors:
        return None
    return _profile_of_numbers(colors.get(b"gAMA", b""), colors.get(b"cHRM", b""), is_gray)


def _profile_of_numbers(gamma: bytes, points: bytes, is_gray: bool) -> bytes | None:
    """Make the profile of a gamma and of primaries; those of sRGB stand for the one that is missing."""
    curve, primaries = profiles.SRGB_CURVE, profiles.SRGB_PRIMARIES
    if len(gamma) == 4:
        exponent = _ONE / max(1, int.from_bytes(gamma, "big"))
        is_srgb = abs(exponent / _SRGB_EXPONENT - 1) <= _SAME_EXPONENT
        if _LOWEST_EXPONENT <= exponent <= _HIGHEST_EXPONENT and not is_srgb:
            curve = profiles.power(exponent)
    if len(points) == 32 and not is_gray:
        primaries = cast(profiles.Primaries, tuple(value / _ONE for value in struct.unpack(">8I", points)))
    if (curve, primaries) == (profiles.SRGB_CURVE, profiles.SRGB_PRIMARIES):
        return None
    return profiles.make_profile(curve, None if is_gray else primaries)


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the type of each chunk and the start and end of its data, up to the end chunk.

    The data may break off after the rows; if rows are missing, the decoder finds that.
    """
    position = 8
    has_rows = False
    for _ in range(MAX_PARTS):
        if has_rows and position + 8 > len(data):
            return
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        if end + 4 > len(data):
            if has_rows and kind != b"IDAT":
                return
            raise truncated("a PNG chunk ends early")
        yield kind, position + 8, end
        if kind == b"IEND":
            return
        # Zeros in place of chunks may stand for lost rows, too.
        has_rows = kind.isalpha() and (has_rows or kind == b"IDAT")
        position = end + 4
    raise corrupt(f"the PNG has more than {MAX_PARTS} chunks")


def _packed_text(kind: bytes, body: bytes) -> bytes:
    _, _, rest = body.partition(b"\0")
    if kind == b"zTXt":
        return rest[1:]
    # iTXt: compression flag and method, then language and translated keyword, each with a zero at its end.
    return rest[2:].split(b"\0", 2)[-1] if rest[:1] == b"\x01" else b""


def _inflate_within(packed: bytes, limit: int) -> bytes | None:
    """Inflate at most ``limit`` bytes and refuse more; ``None`` if this is not a zlib stream."""
    inflater = zlib.decompressobj()
    try:
        plain = inflater.decompress(packed, limit + 1)
    except zlib.error:
        return None
    if len(plain) > limit:
        raise corrupt(f"a PNG chunk inflates to more than {limit} bytes")
    return plain


def _inflated_size(packed: bytes, limit: int) -> int:
    """Return how many bytes this inflates to, and refuse more than ``limit``; one more step if it breaks off."""
    inflater = zlib.decompressobj()
    size = 0
    try:
        while packed and not inflater.eof:
            size += len(inflater.decompress(packed, _STEP_BYTES))
            packed = inflater.unconsumed_tail
            if size > limit:
                break
    except zlib.error:
        size += _STEP_BYTES
    if size > limit:
        raise corrupt(f"the texts of the PNG inflate to more than {_MAX_TEXT_BYTES} bytes")
    return size


def decode(data: bytes) -> Image.Image | None:
    """Decode a stripped PNG without the faults of Pillow; ``None`` means that Pillow has to decode it."""
    shape = data[24:26]
    for kind, start, end in _chunks(data) if shape in _VALUE_BYTES else ():
        if kind == b"tRNS" and end - start == _VALUE_BYTES[shape]:
            return _decode_transparent(data, shape, data[start:end])
    if shape == _GRAY_ALPHA_16:
        # Pillow makes RGBA of it, to which no gray profile applies.
        image = _load(data)
        return Image.merge("LA", (image.getchannel("R"), image.getchannel("A")))
    return _decode_plain(data)


def open_with_pillow(file: io.BytesIO) -> PngImageFile:
    """Open a stripped PNG with Pillow, if it has all its rows."""
    _check_rows(file.getvalue())
    return PngImageFile(file)


def _check_rows(data: bytes) -> None:
    """Refuse a PNG with fewer rows than its header says, or whose data break off behind them.

    Pillow leaves missing rows black, and it does not read on behind the last row.
    """
    view = memoryview(data)
    packed = b"".join(view[start:end] for kind, start, end in _chunks(data) if kind == b"IDAT")
    inflater = zlib.decompressobj()
    expected = _count_bytes(data)
    size = 0
    try:
        for start in range(0, len(packed), _PIECE_BYTES):
            piece = packed[start : start + _PIECE_BYTES]
            # Data that inflate to far more are left to Pillow, which stops at the last row.
            while piece and not inflater.eof and size <= 2 * expected:
                size += len(inflater.decompress(piece, _STEP_BYTES))
                piece = inflater.unconsumed_tail
        if size < expected:
            size += len(inflater.flush())
    except zlib.error as error:
        raise corrupt(f"the rows of the PNG cannot be inflated ({error})") from error
    if size < expected:
        raise truncated(f"the PNG has {size} of {expected} bytes of rows")
    if expected < size <= 2 * expected and not inflater.eof:
        raise truncated("the data of the PNG break off")


def _count_bytes(data: bytes) -> int:
    """Count the bytes of all rows; each row begins with its filter, and each pass of an interlaced PNG has its rows."""
    width, height = struct.unpack_from(">II", data, 16)
    depth, color_type, interlace = data[24], data[25], data[28]
    bits = depth * _CHANNELS.get(color_type, 1)
    passes = _ADAM7 if interlace else [(0, 0, 1, 1)]
    sizes = [((width - x + dx - 1) // dx, (height - y + dy - 1) // dy) for x, y, dx, dy in passes]
    return sum(rows * (1 + (columns * bits + 7) // 8) for columns, rows in sizes if columns)


def _decode_transparent(data: bytes, shape: bytes, value: bytes) -> Image.Image:
    """Decode a PNG in which one value is transparent (11.3.1.1) to LA or RGBA.

    Pillow compares this value, as it is in the file, with samples that it has already changed to eight bits.
    """
    depth = shape[0]
    if depth < 16:
        image = _load(data)
        scale = 255 // ((1 << depth) - 1)
        transparent = _is_equal(image, [scale * (value[1] & (1 << depth) - 1)])
    elif shape == _GRAY_16:
        samples = np.asarray(_load(data))
        transparent = Image.fromarray(samples == int.from_bytes(value[:2], "big")).convert("L")
        image = Image.fromarray((samples >> 8).astype(np.uint8))
    else:
        # Pillow keeps the high byte of each sample. In the other byte order, that is the low one.
        image = _load(data)
        transparent = ImageChops.darker(_is_equal(image, value[::2]), _is_equal(_load(data, "RGB;16L"), value[1::2]))
    image.putalpha(ImageChops.invert(transparent))
    return image


def _load(data: bytes, raw_mode: str | None = None) -> Image.Image:
    image = open_with_pillow(io.BytesIO(data))
    image.decodermaxblock = len(data)
    if raw_mode:
        image.tile = [tile._replace(args=raw_mode) for tile in image.tile]
    image.load()
    image.info.pop("transparency", None)
    return image


def _is_equal(image: Image.Image, values: Sequence[int]) -> Image.Image:
    """Make a mask of the pixels whose channels have these values."""
    masks = [
        channel.point([255 * (sample == value) for sample in range(256)])
        for channel, value in zip(image.split(), values, strict=True)
    ]
    return functools.reduce(ImageChops.darker, masks)


def _decode_plain(data: bytes) -> Image.Image | None:
    """Decode with libdeflate and libspng.

    Only 8-bit RGB and RGBA without interlacing and without a transparent color are decoded here. Pillow gets the rest,
    and every damaged file, because its error says what is wrong. Why this is worth a second decoder: Pillow undoes the
    row filters (9) byte by byte, libspng with vector instructions. ``benchmarks/pixels.py`` times it as "Imagelake,
    Pillow's decoders" in the column "mixed".

    libspng never parses a stranger's file: libdeflate inflates the rows to exactly the size in the header, and
    `_store_rows` puts them into a new, uncompressed PNG. So libspng sees only size, filter numbers and pixels.
    """
    header = data[:33]
    mode = _PLAIN_MODES.get(header[24:29])
    # pyspng tells libspng to ignore checksums, so the one of the header is checked here.
    if pyspng is None or mode is None or zlib.crc32(header[12:29]).to_bytes(4, "big") != header[29:]:
        return None
    _, *chunks, _ = _chunks(data)
    if any(kind != b"IDAT" for kind, _, _ in chunks):
        return None
    width, height = struct.unpack_from(">II", header, 16)
    view, size = memoryview(data), (1 + len(mode) * width) * height
    try:
        # Bind no intermediate buffer to a name, so that each is freed once it is used.
        pixels = pyspng.load(
            _store_rows(header, _inflate_exactly(b"".join(view[start:end] for _, start, end in chunks), size)), mode
        )
    except (deflate.DeflateError, ValueError, RuntimeError):
        return None
    return Image.frombuffer(mode, (width, height), pixels, "raw", mode, 0, 1)


def _inflate_exactly(packed: bytes, size: int) -> bytearray:
    rows = deflate.zlib_decompress(packed, size)
    if len(rows) != size:
        raise ValueError(f"the rows have {len(rows)} bytes, not {size}")
    return rows


def _store_rows(header: bytes, rows: bytearray) -> bytes:
    """Make a PNG of these rows, uncompressed; the checksums stay zero, as nobody reads them."""
    body = zlib.compress(rows, 0)
    return b"".join([header, struct.pack(">I4s", len(body), b"IDAT"), body, bytes(8), b"IEND", bytes(4)])
