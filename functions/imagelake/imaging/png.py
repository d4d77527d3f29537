"""Read the header of a PNG, and decode plain PNGs faster than Pillow does (PNG third edition)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from PIL import Image

from imagelake.imaging import exif
from imagelake.imaging.header import MAX_PARTS, MAX_PROFILE_BYTES, Header, corrupt, truncated

# On machines without a wheel, such as macOS on Intel, Pillow decodes.
try:
    import deflate
    import pyspng
except ImportError:
    pyspng = None

# No real text inflates to this size. We drop the text, but keep the raw file, whose next reader may have no limit.
_MAX_TEXT_BYTES = 8 << 20
_STEP_BYTES = 1 << 20

# Bits per sample, color type, compression, filter and interlace method (11.2.1) of the PNGs that `decode` takes.
_PLAIN_MODES = {b"\x08\x02\0\0\0": "RGB", b"\x08\x06\0\0\0": "RGBA"}

# Gray and palette (11.2.1): without transparency, their pixels are small.
_SMALL_TYPES = (0, 3)


def read_header(data: bytes) -> Header:
    """Read all chunks (5.3); drop those of an animation, so that its default image remains."""
    if data[12:16] != b"IHDR" or data[8:12] != b"\0\0\0\x0d":
        raise corrupt("the PNG does not begin with its header")
    width, height = struct.unpack_from(">II", data, 16)
    orientation = 1
    profile: bytes | None = None
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
        # A PNG has at most one profile (11.3.2.3). To inflate 6,000 of them takes a minute.
        elif kind == b"iCCP" and profile is None:
            _, _, packed = data[start:end].partition(b"\0")
            profile = _inflate_within(packed[1:], MAX_PROFILE_BYTES) or b""
        elif kind in (b"zTXt", b"iTXt"):
            remaining_text -= _inflated_size(_packed_text(kind, data[start:end]), remaining_text)
    pixel_bytes = 8 if data[25] in _SMALL_TYPES and not has_transparency else 16
    return Header(width, height, b"".join(kept), orientation, profile, pixel_bytes=pixel_bytes)


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the type of each chunk and the start and end of its data, up to the end chunk."""
    position = 8
    for _ in range(MAX_PARTS):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        if end + 4 > len(data):
            raise truncated("a PNG chunk ends early")
        yield kind, position + 8, end
        if kind == b"IEND":
            return
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
    """Decode a stripped PNG with libdeflate and libspng; ``None`` means that Pillow has to decode it.

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
