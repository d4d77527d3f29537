"""The units of an AV1 stream, and the frame size in its sequence header (AV1 specification)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from imagelake.imaging.header import corrupt

SEQUENCE_HEADER = 1
# Frame headers, frames with their header, and repeated headers, which a decoder also takes for first ones.
FRAME_UNITS = (3, 6, 7)
# The frame size is behind up to 32 operating points of 89 bits, and 159 other bits.
_SEQUENCE_HEADER_BYTES = 512


def units(item: bytes, limit: int) -> Iterator[tuple[int, bytes]]:
    """Yield the type of each unit of an item, and the first bytes of its payload (AV1 specification, 5.3)."""
    position = 0
    for _ in range(limit):
        if position >= len(item):
            return
        header = item[position]
        position += 2 if header & 4 else 1
        length, shift = 0, 0
        if header & 2:
            # A number in LEB128: seven bits per byte, the lowest first; the eighth bit says that more follow.
            while position < len(item) and shift < 56:
                length |= (item[position] & 0x7F) << shift
                shift += 7
                position += 1
                if not item[position - 1] & 0x80:
                    break
        else:
            length = len(item) - position
        yield header >> 3 & 15, item[position : position + min(length, _SEQUENCE_HEADER_BYTES)]
        position += length
    if position < len(item):
        raise corrupt("the frames of the AVIF have too many units")


def sequence_pixels(payload: bytes) -> int:
    """Read the largest frame size from a sequence header (AV1 specification, 5.5.1)."""
    bits = f"{int.from_bytes(payload, 'big'):0{8 * len(payload)}b}"
    position = 0

    def take(count: int) -> int:
        nonlocal position
        position += count
        return int(bits[position - count : position] or "0", 2)

    take(4)  # profile, still image
    if take(1):  # the reduced header of a still image
        take(5)
    else:
        delay_bits = 0
        if take(1):
            delay_bits = _skip_timing(take)
        delays = take(1)
        for _ in range(take(5) + 1):
            take(12)
            if take(5) > 7:
                take(1)
            if delay_bits and take(1):
                take(2 * delay_bits + 1)
            if delays and take(1):
                take(4)
    width_bits, height_bits = take(4) + 1, take(4) + 1
    return (take(width_bits) + 1) * (take(height_bits) + 1)


def _skip_timing(take: Callable[[int], int]) -> int:
    """Skip timing and decoder model (5.5.3 and 5.5.4); return the bits of a buffer delay, 0 if there is no model."""
    take(64)
    if take(1):
        # A number with as many bits as there are zeros before its first one (4.10.3).
        zeros = 0
        while zeros < 32 and not take(1):
            zeros += 1
        take(zeros % 32)
    if not take(1):
        return 0
    delay_bits = take(5) + 1
    take(42)
    return delay_bits
