"""Count the blocks of a lossless WebP that can have prefix codes of their own (RFC 9649, 3).

libwebp reads all groups of prefix codes before the first pixel: 65,536 of them take 600 MB for one megapixel. Their
number stands behind the transforms, so these are read here, too; their pixels do not matter.
"""

from __future__ import annotations

from imagelake.imaging.header import corrupt

# Of an encoder, an image has at most 2,600 (MAX_HUFF_IMAGE_SIZE in libwebp's vp8l_enc.c).
MAX_BLOCKS = 16_384
# Pixels of both transforms. With an encoder's smallest blocks, 16 by 16, 16 million pixels have 125,000 of them.
MAX_TRANSFORM_PIXELS = 200_000
_PREDICTOR, _COLOR, _SUBTRACT_GREEN, _COLOR_INDEXING = range(4)
# In a stream, the lengths of the code of code lengths have this order (3.7.2.1.2).
_ORDER = (17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
# Symbols of the five codes of a group: green with lengths, red, blue, alpha and distance.
_LENGTHS = 24
_SYMBOLS = (256 + _LENGTHS, 256, 256, 256, 40)
# A code: the number of bits to look at, and for each value of them the symbol and the length of its code.
_Code = tuple[int, list[tuple[int, int]]]


def check_blocks(data: bytes, start: int, width: int, height: int) -> None:
    """Refuse a stream, without its header, whose groups of prefix codes would take too much memory.

    Nothing is said about any other fault: libwebp finds it before it reads the groups.
    """
    bits = _Bits(data, start)
    remaining = MAX_TRANSFORM_PIXELS
    for _ in range(4):
        if not bits.take(1):
            break
        kind = bits.take(2)
        if kind in (_PREDICTOR, _COLOR):
            size = _blocks(width, height, bits.take(3) + 2)
            remaining -= size
            if remaining < 0:
                raise corrupt(f"the transforms of the WebP have more than {MAX_TRANSFORM_PIXELS} pixels")
            if not _skip_pixels(bits, size):
                return
        elif kind == _COLOR_INDEXING:
            colors = bits.take(8) + 1
            if not _skip_pixels(bits, colors):
                return
            width = _blocks(width, 1, 3 if colors <= 2 else 2 if colors <= 4 else 1 if colors <= 16 else 0)
    _take_cache_bits(bits)
    if bits.take(1) and _blocks(width, height, bits.take(3) + 2) > MAX_BLOCKS:
        raise corrupt(f"the WebP has more than {MAX_BLOCKS} blocks with prefix codes")


class _Bits:
    """Bits of a stream, the lowest of each byte first; zeros behind its end."""

    def __init__(self, data: bytes, start: int) -> None:
        self._data = data
        self._position = start
        self._value = self._count = 0

    def peek(self, count: int) -> int:
        while self._count < count:
            self._value |= int.from_bytes(self._data[self._position : self._position + 8], "little") << self._count
            self._position += 8
            self._count += 64
        return self._value & ((1 << count) - 1)

    def skip(self, count: int) -> None:
        self._value >>= count
        self._count -= count

    def take(self, count: int) -> int:
        value = self.peek(count)
        self.skip(count)
        return value

    def symbol(self, code: _Code) -> int:
        symbol, length = code[1][self.peek(code[0])]
        self.skip(length)
        return symbol


def _blocks(width: int, height: int, bits: int) -> int:
    side = 1 << bits
    return -(-width // side) * -(-height // side)


def _take_cache_bits(bits: _Bits) -> int:
    return bits.take(4) if bits.take(1) else 0


def _skip_pixels(bits: _Bits, count: int) -> bool:
    """Skip an image of a transform, which has one group of codes; ``False`` if its codes are wrong."""
    cache_bits = _take_cache_bits(bits)
    codes: list[_Code] = []
    for number, symbols in enumerate(_SYMBOLS):
        code = _read_code(bits, symbols + (1 << cache_bits if cache_bits and not number else 0))
        if code is None:
            return False
        codes.append(code)
    green, red, blue, alpha, distance = codes
    if not any(code[0] for code in codes[:4]) and green[1][0][0] < 256:
        return True
    while count > 0:
        symbol = bits.symbol(green)
        if symbol < 256:
            bits.symbol(red)
            bits.symbol(blue)
            bits.symbol(alpha)
            count -= 1
        elif symbol < 256 + _LENGTHS:
            count -= _take_number(bits, symbol - 256)
            _take_number(bits, bits.symbol(distance))
        else:
            count -= 1
    return True


def _take_number(bits: _Bits, prefix: int) -> int:
    """Read a length or a distance (3.6.2.2)."""
    if prefix < 4:
        return prefix + 1
    extra = prefix - 2 >> 1
    return (2 + (prefix & 1) << extra) + bits.take(extra) + 1


def _read_code(bits: _Bits, symbols: int) -> _Code | None:
    lengths = [0] * symbols
    if bits.take(1):
        two, long = bits.take(1), bits.take(1)
        found = [bits.take(8 if long else 1), *([bits.take(8)] if two else [])]
        if max(found) >= symbols:
            return None
        for symbol in found:
            lengths[symbol] = 1
        return _code(lengths)
    inner = [0] * len(_ORDER)
    for symbol in _ORDER[: 4 + bits.take(4)]:
        inner[symbol] = bits.take(3)
    code = _code(inner)
    if code is None:
        return None
    limit = 2 + bits.take(2 + 2 * bits.take(3)) if bits.take(1) else symbols
    position, last = 0, 8
    for _ in range(limit):
        if position >= symbols:
            break
        length = bits.symbol(code)
        repeats = 1
        if length < 16:
            last = length or last
        else:
            repeats = (3, 3, 11)[length - 16] + bits.take((2, 3, 7)[length - 16])
            length = last if length == 16 else 0
        if position + repeats > symbols:
            return None
        lengths[position : position + repeats] = [length] * repeats
        position += repeats
    return _code(lengths)


def _code(lengths: list[int]) -> _Code | None:
    """Make the canonical code of these lengths; ``None`` if it is not complete."""
    used = sorted((length, symbol) for symbol, length in enumerate(lengths) if length)
    if len(used) == 1:
        return 0, [(used[0][1], 0)]
    if not used or sum(1 << 15 - length for length, _ in used) != 1 << 15:
        return None
    bits = used[-1][0]
    table = [(0, 0)] * (1 << bits)
    code = previous = 0
    for length, symbol in used:
        code <<= length - previous
        first = int(f"{code:0{length}b}"[::-1], 2)
        table[first :: 1 << length] = [(symbol, length)] * (1 << bits - length)
        code, previous = code + 1, length
    return bits, table
