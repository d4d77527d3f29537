"""Read the header of a JPEG, and decode it so that missing data does not go unnoticed (ITU-T T.81)."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterable, Iterator
from itertools import chain, islice, pairwise
from typing import NamedTuple

import simplejpeg
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from imagelake.imaging import exif
from imagelake.imaging.header import MAX_PARTS, Header, corrupt, truncated
from imagelake.imaging.sniff import refusal

# Every marker that begins a segment. Like decoders, we skip bytes between segments and repeated bytes 0xFF.
_SEGMENT = re.compile(rb"\xff[^\xff\x00\x01\xd0-\xd8]")
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_LOSSLESS = frozenset({0xC3, 0xC7, 0xCB, 0xCF})
_ARITHMETIC = frozenset({0xC9, 0xCA, 0xCD, 0xCE})
_END, _SCAN, _COMMENT = 0xD9, 0xDA, 0xFE
_APP0, _APP1, _APP2, _APP15 = 0xE0, 0xE1, 0xE2, 0xEF

_SCANS = re.compile(rb"\xff\xda")
# Encoders write about ten scans. A scan may have only a few bytes, but for each one the decoder goes through the whole
# image. So the limit depends on the size of the image: 100 scans for a small one, 20 for one of 40 megapixels.
_LOWEST_SCAN_LIMIT, _HIGHEST_SCAN_LIMIT, _MAX_SCANNED_PIXELS = 20, 100, 800_000_000

# Time for each pixel of each component of a scan, and for each byte. An arithmetic coder can make thousands of cheap
# decisions for a byte.
_SEQUENTIAL, _PROGRESSION, _DECISIONS = (1e-9, 20e-9), (0.5e-9, 36e-9), (90e-9, 20e-9)

# A JFIF segment without a thumbnail (T.871, 10.1). It replaces that of the file, because version and density do not
# matter.
_JFIF = b"\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"
# Decoders ignore a shorter one.
_JFIF_BODY_BYTES = 14
# The range of coefficients and the bits of a scan that is neither progressive nor lossless (B.2.3). Some phones write
# other values, which decoders ignore.
_ALL_COEFFICIENTS = b"\0\x3f\0"

# The color space of simplejpeg, and the mode and raw mode of Pillow, by number of components; CMYK is inverted.
_MODES = {1: ("GRAY", "L", "L"), 3: ("RGBX", "RGB", "RGBX"), 4: ("CMYK", "CMYK", "CMYK;I")}
# Warnings of libjpeg (jerror.h): it made up pixels, or it could not understand the data.
_ENDS_EARLY = re.compile("premature end", re.IGNORECASE)
_IS_DAMAGED = re.compile("bad Huffman code|bad arithmetic code|instead of RST")
# A warning of bytes between the last pixel of a scan and the next marker. Cameras write them to align their files.
_SURPLUS = re.compile("Corrupt JPEG data: ([0-9]+) extraneous bytes before marker 0x([0-9a-f]+)")
_MAX_ALIGNMENT = 64
# Webcams write one or two before a restart marker. More of them inside of the image stand for lost data.
_MAX_INNER_SURPLUS = 8
_RESTART = re.compile(rb"\xff([\xd0-\xd7])")
_FIRST_RESTART, _DIFFERENT_RESTARTS = 0xD0, 8
# After these markers, the image goes on; the header has no bytes between its segments anymore.
_INNER = frozenset({0xC4, _SCAN}) | frozenset(range(_FIRST_RESTART, _FIRST_RESTART + _DIFFERENT_RESTARTS))
# Bytes that are codes of many symbols, and no marker.
_FILLER = bytes(range(1, 255)) * 8


# Marker, start and end of a segment.
_Segment = tuple[int, int, int]


class _Frame(NamedTuple):
    marker: int
    height: int
    width: int
    components: int


def read_header(data: bytes) -> Header:
    """Read the segments up to the end of the image (B.1 and B.2)."""
    frame: _Frame | None = None
    orientation = 1
    profile_chunks: list[bytes] = []
    view = memoryview(data)
    kept = [view[:2]]
    segments = _segments(data)
    for segment in segments:
        marker, start, end = segment
        if marker == _SCAN:
            break
        body = data[start + 4 : end]
        if marker in _FRAMES:
            if frame:
                raise corrupt("the JPEG has two frame headers")
            frame = _Frame(marker, *struct.unpack_from(">HHB", body, 1))
            if marker in _LOSSLESS:
                # Browsers do not show it, and our decoder crashes when it makes it smaller.
                raise refusal("lossless JPEG")
        elif marker == _APP1 and body.startswith(b"Exif\0\0") and orientation == 1:
            orientation = exif.read_orientation(body)
        elif marker == _APP2 and body.startswith(b"ICC_PROFILE\0"):
            profile_chunks.append(body[12:])
        # The JFIF and Adobe segments say how colors are stored. All other APPn segments and all comments are dropped.
        is_metadata = _APP0 <= marker <= _APP15 or marker == _COMMENT
        if marker == _APP0 and body.startswith(b"JFIF\0"):
            kept.append(memoryview(_JFIF if len(body) >= _JFIF_BODY_BYTES else b""))
        elif not is_metadata or body.startswith(b"Adobe"):
            kept.append(view[start:end])
    if not frame:
        raise corrupt("the JPEG has no frame header")
    scans, planes = _keep_scans(data, segment, segments, frame)
    rates = _DECISIONS if frame.marker in _ARITHMETIC else _PROGRESSION if planes > frame.components else _SEQUENTIAL
    return Header(
        frame.width,
        frame.height,
        b"".join(kept + scans),
        orientation,
        _join_profile(profile_chunks),
        channels=frame.components,
        # Of an image in several scans, the decoder keeps all coefficients, of two bytes each.
        pixel_bytes=max(8, 2 + 2 * frame.components),
        seconds=frame.width * frame.height * planes * rates[0] + sum(map(len, scans)) * rates[1],
    )


def _segments(data: bytes) -> Iterator[_Segment]:
    """Yield all segments up to the end of the image; the segment of a scan is only its header.

    After a scan, a segment that cannot be read ends the list without an error. The decoder then decides.
    """
    position = 2
    has_scan = False
    for _ in range(MAX_PARTS):
        match = _SEGMENT.search(data, position)
        if not match:
            if has_scan:
                return
            raise truncated("the JPEG ends before its first scan")
        marker, start = data[match.end() - 1], match.end() - 2
        if marker == _END:
            if not has_scan:
                raise corrupt("the JPEG has no scan")
            yield marker, start, match.end()
            return
        position = start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")
        if position > len(data):
            if has_scan:
                return
            raise truncated("a JPEG segment ends early")
        has_scan = has_scan or marker == _SCAN
        yield marker, start, position
    if not has_scan:
        raise corrupt(f"the JPEG has more than {MAX_PARTS} segments before its first scan")


def _keep_scans(
    data: bytes, first: _Segment, others: Iterator[_Segment], frame: _Frame
) -> tuple[list[memoryview], int]:
    """Return the scans, and the number of their components.

    ``first`` is the header of the first scan, and ``others`` are the segments after it.
    """
    view = memoryview(data)
    _, start, end = first
    is_sequential = frame.marker not in _PROGRESSIVE
    parameters = memoryview(_ALL_COEFFICIENTS) if is_sequential else view[end - 3 : end]
    # If the first scan of a JPEG that is not progressive has all components, a decoder reads no other scan.
    has_one_scan = frame.marker not in _PROGRESSIVE and data[start + 4] == frame.components
    end_of_image, planes = len(data), frame.components
    if not has_one_scan:
        end_of_image, planes = _find_end(data, chain([first], others), frame)
    return [view[start : end - 3], parameters, view[end:end_of_image]], planes


def _find_end(data: bytes, segments: Iterable[_Segment], frame: _Frame) -> tuple[int, int]:
    """Find the end of the image, and count the components of its scans.

    Raises ``ImageRejectedError`` if an image of this size may not have so many scans, or if scans are missing.
    """
    pixels = max(1, frame.width * frame.height)
    limit = min(max(_LOWEST_SCAN_LIMIT, _MAX_SCANNED_PIXELS // pixels), _HIGHEST_SCAN_LIMIT)
    scans = end = planes = 0
    # By component and coefficient: the low bits that no scan has had yet (G.1.1.1).
    missing_bits: dict[tuple[int, int], int] = {}
    for marker, start, end in segments:
        if marker == _SCAN:
            scans += 1
            planes += data[start + 4]
            first, last, bits = data[end - 3 : end]
            for component in data[start + 5 : end - 3 : 2]:
                coefficients = ((component, index) for index in range(first, min(last, 63) + 1))
                missing_bits |= dict.fromkeys(coefficients, bits & 15 if frame.marker in _PROGRESSIVE else 0)
        if marker == _END or scans > limit:
            break
    else:
        # There is no end that we can find, so each of these may be a scan.
        more = len(list(islice(_SCANS.finditer(data, end), limit)))
        scans, planes = scans + more, planes + more * frame.components
        end = len(data)
    if scans > limit:
        raise corrupt(f"the JPEG has more than {limit} scans for {frame.width}x{frame.height} pixels")
    if marker == _END and (
        len({component for component, _ in missing_bits}) < frame.components or any(missing_bits.values())
    ):
        raise truncated("the JPEG ends before its last scan")
    return end, planes


def _join_profile(chunks: list[bytes]) -> bytes | None:
    """Join the numbered chunks of an ICC profile (ICC.1:2022, B.4); ``None`` if some are missing."""
    chunks = sorted(chunk for chunk in chunks if len(chunk) > 2)
    if not chunks or chunks[0][1] != len(chunks):
        return None
    return b"".join(chunk[2:] for chunk in chunks)


def decode(header: Header, divisor: int) -> Image.Image | None:
    """Decode a stripped JPEG at 1/``divisor`` of its size; ``None`` means that Pillow has to decode it.

    libjpeg makes up gray pixels for missing data, and warns. Pillow hides the warning, and this decoder reports the
    first one. Pillow gets the images with a harmless warning, and those that this decoder does not know, such as those
    with an unusual subsampling.
    """
    if header.channels not in _MODES:
        return None
    color_space, mode, raw_mode = _MODES[header.channels]
    try:
        pixels = simplejpeg.decode_jpeg(
            header.stripped, color_space, min_height=-(-header.height // divisor), min_width=-(-header.width // divisor)
        )
    except ValueError as warning:
        _check(str(warning), header.stripped, color_space)
        return None
    height, width, _ = pixels.shape
    return Image.frombytes(mode, (width, height), pixels, "raw", raw_mode)


def _check(warning: str, data: bytes, color_space: str) -> None:
    """Raise ``ImageRejectedError`` if pixels are missing or wrong."""
    _check_warning(warning)
    surplus = _SURPLUS.match(warning)
    size, marker = (int(surplus[1]), int(surplus[2], 16)) if surplus else (0, 0)
    if marker in _INNER:
        if size > _MAX_INNER_SURPLUS:
            raise corrupt(f"the decoder says {warning!r}")
        _check_restarts(data)
    plain = data
    if size > _MAX_ALIGNMENT:
        # Zeros are valid data. If they stand for lost data, the decoder needs some, and calls the others surplus.
        plain = re.sub(rb"(?<!\0)\0{%d,}+(?=\xff+%b)" % (size, re.escape(bytes([marker]))), b"", data)
    # An incomplete image takes pixels from bytes that we insert before its end.
    *_, (last, end, _) = _segments(plain)
    if last == _END and _decode_small(plain) != _decode_small(plain[:end] + _FILLER + plain[end:]):
        raise truncated("the JPEG has fewer data than pixels")
    if last == marker == _END:
        *_, (_, end, _) = _segments(data)
        # Without its surplus, the file shows the next warning.
        _check_warning(_warning_of(data[: end - size] + data[end:], color_space))


def _check_warning(warning: str) -> None:
    if _ENDS_EARLY.search(warning):
        raise truncated(f"the decoder says {warning!r}")
    if _IS_DAMAGED.search(warning):
        raise corrupt(f"the decoder says {warning!r}")


def _warning_of(data: bytes, color_space: str) -> str:
    """Decode at an eighth of the size, and return the first warning."""
    try:
        simplejpeg.decode_jpeg(data, color_space, min_height=1, min_width=1)
    except ValueError as warning:
        return str(warning)
    return ""


def _check_restarts(data: bytes) -> None:
    """Refuse scans whose restart markers are not in turn (B.2.1). The decoder reports only its first warning."""
    for (marker, _, start), (_, end, _) in pairwise([*_segments(data), (0, len(data), 0)]):
        if marker == _SCAN:
            numbers = [code[0] - _FIRST_RESTART for code in _RESTART.findall(data, start, end)]
            if any(number != index % _DIFFERENT_RESTARTS for index, number in enumerate(numbers)):
                raise corrupt("restart markers of the JPEG are missing")


def _decode_small(data: bytes) -> bytes:
    """Decode at an eighth of the size, without regard to warnings."""
    with JpegImageFile(io.BytesIO(data)) as image:
        image.draft(None, (max(1, image.width // 8), max(1, image.height // 8)))
        return image.tobytes()
