"""Read the header of a JPEG, and empty the refinement scans of a progressive one (ITU-T T.81)."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from imagelake.imaging import exif
from imagelake.imaging.header import MAX_PARTS, Header, corrupt, truncated

# Every marker that begins a segment. Like decoders, we skip bytes between segments and repeated bytes 0xFF.
_SEGMENT = re.compile(rb"\xff[^\xff\x00\x01\xd0-\xd8]")
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_END, _SCAN, _COMMENT = 0xD9, 0xDA, 0xFE
_APP0, _APP1, _APP2, _APP15 = 0xE0, 0xE1, 0xE2, 0xEF

# A regular expression finds two bytes faster than ``bytes.count`` does.
_SCANS = re.compile(rb"\xff\xda")
# Encoders write about ten scans. A scan may have only a few bytes, but for each one the decoder goes through the whole
# image. So the limit depends on the size of the image: 100 scans for a small one, 20 for one of 40 megapixels.
_LOWEST_SCAN_LIMIT, _HIGHEST_SCAN_LIMIT, _MAX_SCANNED_PIXELS = 20, 100, 800_000_000

# The length of the shortest header of a scan. It has the marker, the length, the number of components, one component,
# the range of coefficients and the bits.
_SCAN_HEADER_BYTES = 10
# A Huffman table (number 3, for AC coefficients) with one code: the bit 0 means "nothing changes in this block".
_NO_CHANGE_TABLE = b"\xff\xc4\0\x14\x13\x01" + bytes(16)


class _Frame(NamedTuple):
    marker: int
    height: int
    width: int
    components: int


def read_header(data: bytes) -> Header:
    """Read the segments before the first scan (B.1 and B.2)."""
    frame: _Frame | None = None
    orientation = 1
    profile_chunks: list[bytes] = []
    view = memoryview(data)
    kept = [view[:2]]
    first_scan = 0
    for marker, start, end in _segments(data):
        if marker == _SCAN:
            first_scan = start
            break
        body = data[start + 4 : end]
        if marker in _FRAMES:
            if frame:
                raise corrupt("the JPEG has two frame headers")
            frame = _Frame(marker, *struct.unpack_from(">HHB", body, 1))
        elif marker == _APP1 and body.startswith(b"Exif\0\0") and orientation == 1:
            orientation = exif.read_orientation(body)
        elif marker == _APP2 and body.startswith(b"ICC_PROFILE\0"):
            profile_chunks.append(body[12:])
        # The JFIF and Adobe segments say how colors are stored. All other APPn segments and all comments are dropped.
        is_metadata = _APP0 <= marker <= _APP15 or marker == _COMMENT
        if not is_metadata or body.startswith((b"JFIF\0", b"Adobe")):
            kept.append(view[start:end])
    if not frame:
        raise corrupt("the JPEG has no frame header")
    dropped_bytes = first_scan - sum(map(len, kept))
    scans = _find_scans(data, first_scan, frame)
    kept.append(view[first_scan:])
    return Header(
        frame.width,
        frame.height,
        b"".join(kept),
        orientation,
        _join_profile(profile_chunks),
        scan_offsets=tuple(scan - dropped_bytes for scan in scans),
    )


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield marker, start and end of each segment; the last is the header of the first scan."""
    position = 2
    for _ in range(MAX_PARTS):
        match = _SEGMENT.search(data, position)
        if not match:
            raise truncated("the JPEG ends before its first scan")
        marker, start = data[match.end() - 1], match.end() - 2
        if marker == _END:
            raise corrupt("the JPEG has no scan")
        (length,) = struct.unpack_from(">H", data, start + 2)
        position = start + 2 + length
        if position > len(data):
            raise truncated("a JPEG segment ends early")
        yield marker, start, position
    raise corrupt(f"the JPEG has more than {MAX_PARTS} segments")


def _find_scans(data: bytes, first_scan: int, frame: _Frame) -> list[int]:
    """Find the positions of all scans; raise ``ImageRejectedError`` if an image of this size may not have so many."""
    # If the first scan of a sequential JPEG has all components, a decoder reads no other scan.
    if frame.marker not in _PROGRESSIVE and data[first_scan + 4] == frame.components:
        return []
    pixels = max(1, frame.width * frame.height)
    limit = min(max(_LOWEST_SCAN_LIMIT, _MAX_SCANNED_PIXELS // pixels), _HIGHEST_SCAN_LIMIT)
    scans = [match.start() for match in islice(_SCANS.finditer(data, first_scan), limit + 1)]
    if len(scans) > limit:
        raise corrupt(f"the JPEG has more than {limit} scans for {frame.width}x{frame.height} pixels")
    return scans


def _join_profile(chunks: list[bytes]) -> bytes | None:
    """Join the numbered chunks of an ICC profile (ICC.1:2022, B.4); ``None`` if some are missing."""
    chunks = sorted(chunk for chunk in chunks if len(chunk) > 2)
    if not chunks or chunks[0][1] != len(chunks):
        return None
    return b"".join(chunk[2:] for chunk in chunks)


def without_refinements(header: Header) -> bytes:
    """Return the stripped JPEG without the data of its refinement scans (G.1.2), for the preset ``fast``.

    The first scans of a progressive JPEG hold the high bits of each coefficient. The refinement scans add one more bit
    to coefficients that are already known. They are most of the file, and they hardly show in an image decoded at half
    its size or less. ``benchmarks/pixels.py`` measures the time that this saves, as "Imagelake, fast" in the column
    "progressive".

    The headers of the scans stay: if a scan is missing, a decoder smooths the image, which takes time again. If only
    the data of a scan is missing, a decoder reads zeros. So each emptied scan gets a Huffman table in which 0 means
    "no change". A file that ends inside a refinement scan is returned unchanged, so that the decoder reports that it
    is truncated.
    """
    data = header.stripped
    scans = [scan for scan in header.scan_offsets if scan + _SCAN_HEADER_BYTES <= len(data)]
    # Table 3 must be free. Encoders use tables 0 and 1, and later scans may need these again, so they stay as they are.
    if any(data[scan + 6] & 0x0F == 3 for scan in scans):
        return data
    kept: list[bytes] = []
    start = 0
    for scan in scans[1:]:
        components, tables, first_coefficient, bits = (data[scan + offset] for offset in (4, 6, 7, 9))
        # A refinement scan of AC coefficients does not begin at coefficient 0, and the high four bits of ``bits`` say
        # that an earlier scan had the same coefficients.
        if components == 1 and first_coefficient and bits >> 4:
            next_segment = _SEGMENT.search(data, scan + _SCAN_HEADER_BYTES)
            if not next_segment:
                return data
            use_table_3 = bytes([tables & 0xF0 | 3])
            kept += (data[start:scan], _NO_CHANGE_TABLE, data[scan : scan + 6], use_table_3, data[scan + 7 : scan + 10])
            start = next_segment.start()
    return b"".join([*kept, data[start:]])
