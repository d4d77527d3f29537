"""Read a file's structure before any pixel is decoded, and keep only what the decoder needs.

A decoder that is handed a file whole also parses its EXIF, its text, its second picture and its later frames. None of
that becomes part of the picture and all of it has been used to hurt decoders, so it is left out of ``bare``. What is
wanted of it, the size, the orientation and the colour profile, is read here with bounds of our own.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from imagelake.imaging import avif, exif
from imagelake.run.errors import ErrorCode, ImageRejectedError

# Real profiles are below 3 MB (CMYK presses); a larger one is a bomb or a mistake.
MAX_PROFILE = 4 << 20
# No caption inflates to this; the text is dropped, but the raw file is kept and its next reader may not be careful.
_MAX_TEXT = 8 << 20
# Encoders write about ten scans. Each further scan costs a pass over the whole picture and only a few bytes: a small
# picture may have a hundred, one of 40 megapixels twenty.
_FEWEST_SCANS, _MOST_SCANS, _MAX_SCANNED_PIXELS = 20, 100, 800_000_000
# A picture of 40 megapixels has some ten thousand chunks; millions of empty ones only cost time.
_MAX_PARTS = 100_000

# Any marker but those without a segment; bytes between segments and repeated 0xFF are skipped, as decoders do.
_MARKER = re.compile(rb"\xff[^\xff\x00\x01\xd0-\xd8]")
_SCAN = 0xDA
# Finds two bytes faster than bytes.count does.
_SCANS = re.compile(rb"\xff\xda")
# A table of a single code. Where the data of a scan is missing a decoder reads zeros, and by this table they say that
# nothing is new.
_NOTHING_NEW = b"\xff\xc4\0\x14\x13\x01" + bytes(16)
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})


@dataclass(frozen=True)
class Header:
    """What a file says of itself.

    ``width`` and ``height`` are of the canvas as stored, before any orientation is applied; ``coded_pixels`` is the
    largest frame inside where it may differ from the canvas; ``bare`` is the file without metadata and later frames.
    ``orientation`` (1 to 8, as in EXIF) and the ICC ``profile`` are given where they are not left in ``bare``: those
    of WebP and AVIF come from their decoders, which hand them over unread. ``scans`` is where in ``bare`` the scans of
    a JPEG begin, if it may have more than one.
    """

    width: int
    height: int
    bare: bytes
    orientation: int = 1
    profile: bytes | None = None
    coded_pixels: int = 0
    scans: tuple[int, ...] = ()


def read(kind: str, data: bytes) -> Header:
    """The header of ``data``, a file of the sniffed ``kind``; raises ``ImageRejectedError`` if it has none."""
    try:
        header = _READERS[kind](data)
    except (struct.error, IndexError) as error:
        raise _truncated(f"the {kind} header ends early") from error
    if not (header.width and header.height):
        raise _corrupt(f"the {kind} header says {header.width}x{header.height} pixels")
    return header


def _jpeg(data: bytes) -> Header:
    """Marker segments up to the first scan (ITU-T T.81, B.1 and B.2)."""
    frame: tuple[int, int, int, int] | None = None
    orientation = 1
    chunks: list[bytes] = []
    view = memoryview(data)
    bare = [view[:2]]
    scan = 0
    for marker, start, end in _jpeg_segments(data):
        if marker == _SCAN:
            scan = start
            break
        body = data[start + 4 : end]
        if marker in _FRAMES:
            if frame:
                raise _corrupt("the JPEG has two frame headers")
            frame = (marker, *struct.unpack_from(">HHB", body, 1))
        elif marker == 0xE1 and body.startswith(b"Exif\0\0") and orientation == 1:
            orientation = exif.orientation(body)
        elif marker == 0xE2 and body.startswith(b"ICC_PROFILE\0"):
            chunks.append(body[12:])
        # JFIF and Adobe segments say how colours are coded; every other APPn and all comments stay behind.
        is_metadata = 0xE0 <= marker <= 0xEF or marker == 0xFE
        if not is_metadata or body.startswith((b"JFIF\0", b"Adobe")):
            bare.append(view[start:end])
    if not frame:
        raise _corrupt("the JPEG has no frame header")
    marker, height, width, components = frame
    # One scan with all components of a sequential picture is the last that a decoder reads: nothing to count.
    has_one_scan = marker not in _PROGRESSIVE and data[scan + 4] == components
    most = min(max(_FEWEST_SCANS, _MAX_SCANNED_PIXELS // max(1, width * height)), _MOST_SCANS)
    offset = sum(map(len, bare)) - scan
    scans = () if has_one_scan else tuple(found.start() for found in islice(_SCANS.finditer(data, scan), most + 1))
    if len(scans) > most:
        raise _corrupt(f"the JPEG has more than {most} scans of {width}x{height} pixels")
    bare.append(view[scan:])
    return Header(
        width,
        height,
        b"".join(bare),
        orientation,
        _joined(chunks),
        scans=tuple(offset + start for start in scans),
    )


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of each segment, up to and with the header of the first scan."""
    position = 2
    for _ in range(_MAX_PARTS):
        found = _MARKER.search(data, position)
        if not found:
            raise _truncated("the JPEG ends before its first scan")
        marker, start = data[found.end() - 1], found.end() - 2
        if marker == 0xD9:
            raise _corrupt("the JPEG has no scan")
        (length,) = struct.unpack_from(">H", data, start + 2)
        position = start + 2 + length
        if position > len(data):
            raise _truncated("a JPEG segment ends early")
        yield marker, start, position
    raise _corrupt(f"the JPEG has more than {_MAX_PARTS} segments")


def without_refinements(header: Header) -> bytes:
    """A JPEG's ``bare``, its scans emptied that only add bits to coefficients known already (T.81, G.1.2).

    In a progressive JPEG those are most of the bytes. Their headers stay: a decoder that has seen them takes the
    picture for complete, and does not spend time on guessing what is missing. A file that ends within one stays whole,
    so that it is still found to be cut off.
    """
    data = header.bare
    scans = [scan for scan in header.scans if scan + 10 <= len(data)]  # as much is the header of one with one component
    # The fourth table for such coefficients is borrowed: encoders use two, and a later scan may use one of these again.
    if any(data[scan + 6] & 15 == 3 for scan in scans):
        return data
    kept: list[bytes] = []
    start = 0
    for scan in scans[1:]:
        components, tables, first, precision = (data[scan + place] for place in (4, 6, 7, 9))
        if components == 1 and first and precision >> 4:
            following = _MARKER.search(data, scan + 10)
            if not following:
                return data
            kept += (data[start:scan], _NOTHING_NEW, data[scan : scan + 6], bytes([tables & 0xF0 | 3]))
            kept.append(data[scan + 7 : scan + 10])
            start = following.start()
    return b"".join([*kept, data[start:]])


def _joined(chunks: list[bytes]) -> bytes | None:
    """A profile from its numbered chunks (ICC.1:2022, B.4), or ``None`` if some are missing."""
    chunks = sorted(chunk for chunk in chunks if len(chunk) > 2)
    if not chunks or chunks[0][1] != len(chunks):
        return None
    return b"".join(chunk[2:] for chunk in chunks)


def _png(data: bytes) -> Header:
    """Chunks (PNG third edition, 5.3); those of an animation are dropped, which leaves the default image."""
    if data[12:16] != b"IHDR" or data[8:12] != b"\0\0\0\x0d":
        raise _corrupt("the PNG does not begin with its header")
    width, height = struct.unpack_from(">II", data, 16)
    orientation = 1
    profile: bytes | None = None
    text_left = _MAX_TEXT
    view = memoryview(data)
    bare = [view[:8]]
    for kind, start, end in png_chunks(data):
        if kind in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"):
            if kind == b"IHDR" and start != 16:
                raise _corrupt("the PNG has two headers")
            bare.append(view[start - 8 : end + 4])
        elif kind == b"eXIf":
            orientation = exif.orientation(data[start:end])
        elif kind == b"iCCP":
            _, _, packed = data[start:end].partition(b"\0")
            profile = _inflated(packed[1:], MAX_PROFILE)
        elif kind in (b"zTXt", b"iTXt"):
            text_left -= len(_inflated(_packed_text(kind, data[start:end]), text_left) or b"")
    return Header(width, height, b"".join(bare), orientation, profile)


def png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Type, start and end of each chunk's data, up to the end chunk."""
    position = 8
    for _ in range(_MAX_PARTS):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        if end + 4 > len(data):
            raise _truncated("a PNG chunk ends early")
        yield kind, position + 8, end
        if kind == b"IEND":
            return
        position = end + 4
    raise _corrupt(f"the PNG has more than {_MAX_PARTS} chunks")


def _packed_text(kind: bytes, body: bytes) -> bytes:
    _, _, rest = body.partition(b"\0")
    if kind == b"zTXt":
        return rest[1:]
    # Compression flag and method, then language and translated keyword, each ended by a zero.
    return rest[2:].split(b"\0", 2)[-1] if rest[:1] == b"\x01" else b""


def _inflated(packed: bytes, limit: int) -> bytes | None:
    """The inflated bytes, or ``None`` if they are no zlib stream; refuses a bomb after ``limit`` bytes."""
    inflater = zlib.decompressobj()
    try:
        plain = inflater.decompress(packed, limit + 1)
    except zlib.error:
        return None
    if len(plain) > limit:
        raise _corrupt(f"a PNG chunk inflates to more than {limit} bytes")
    return plain


def _gif(data: bytes) -> Header:
    """Blocks up to the end of the first frame (GIF89a, 15 to 23)."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    position = 13 + _gif_palette(flags)
    while True:
        introducer = data[position]
        if introducer == 0x21:
            position = _after_blocks(data, position + 2)
        elif introducer == 0x2C:
            break
        elif introducer == 0x3B:
            raise _corrupt("the GIF has no frame")
        else:
            position += 1
    left, top, frame_width, frame_height, flags = struct.unpack_from("<HHHHB", data, position + 1)
    end = _after_blocks(data, position + 11 + _gif_palette(flags))
    # A frame may be larger than the canvas it announces; decoders then enlarge the canvas.
    return Header(max(width, left + frame_width), max(height, top + frame_height), data[:end] + b";")


def _gif_palette(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _after_blocks(data: bytes, position: int) -> int:
    while length := data[position]:
        position += 1 + length
    return position + 1


def _webp(data: bytes) -> Header:
    """The first chunk of the RIFF container (RFC 9649, 2.3 to 2.7); libwebp holds the frames to the canvas."""
    (size,) = struct.unpack_from("<I", data, 4)
    if size + 8 > len(data):
        raise _truncated("the WebP is shorter than it says")
    return Header(*_webp_size(data[12:16], data, 20), data)


def _webp_size(kind: bytes, data: bytes, start: int) -> tuple[int, int]:
    if kind == b"VP8X":
        return (
            1 + int.from_bytes(data[start + 4 : start + 7], "little"),
            1 + int.from_bytes(data[start + 7 : start + 10], "little"),
        )
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, start + 1)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, start + 6)
        return width & 0x3FFF, height & 0x3FFF
    raise _corrupt("the WebP does not begin with a picture")


def _avif(data: bytes) -> Header:
    width, height, coded_pixels, bare = avif.read(data)
    return Header(width, height, bare, coded_pixels=coded_pixels)


def _truncated(what: str) -> ImageRejectedError:
    return ImageRejectedError(ErrorCode.TRUNCATED, f"The file is cut off: {what}.")


def _corrupt(what: str) -> ImageRejectedError:
    return ImageRejectedError(ErrorCode.CORRUPT, f"The file is damaged: {what}.")


_READERS: dict[str, Callable[[bytes], Header]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "GIF": _gif,
    "WEBP": _webp,
    "AVIF": _avif,
}
