"""A response's body: received and decoded within limits of size and time."""

from __future__ import annotations

import time
import zlib

from imagelake.web.errors import BodyCutError, TooLargeError, TooSlowError, UnknownEncodingError
from imagelake.web.http1 import ResponseStream

# Join the pieces when there are so many. Without this, many small pieces would take fifty times the body's memory.
_MAX_PIECES = 65536
# Each one costs 10 microseconds, and a gzip of many blocks has one for each 64 KB.
MAX_MEMBERS = 1_000
_GZIP = b"\x1f\x8b"
_GZIP_NAMES = frozenset({"gzip", "x-gzip"})
# https://www.iana.org/assignments/http-parameters/http-parameters.xhtml#content-coding
_OTHER_ENCODINGS = frozenset({"br", "compress", "dcb", "dcz", "deflate", "exi", "pack200-gzip", "x-compress", "zstd"})


def read_body(response: ResponseStream, max_bytes: int, *, min_rate: float = 0.0, grace: float = 0.0) -> bytes:
    """Return the decoded body of at most ``max_bytes``.

    After ``grace`` seconds it must come in at ``min_rate`` bytes per second or more. Content-Length only serves to
    refuse a body early. Raises ``TooLargeError``, ``TooSlowError``, ``HttpTimeoutError``, ``BodyCutError`` and, for a
    known encoding other than gzip, ``UnknownEncodingError``.
    """
    host = response.url.host
    too_large = TooLargeError(f"{host} sends more than {max_bytes} bytes")
    if response.length is not None and response.length > max_bytes:
        raise too_large
    decode = _decoder(response)
    pieces: list[bytes] = []
    size = received = 0
    started = time.monotonic()
    try:
        for piece in response:
            received += len(piece)
            elapsed = time.monotonic() - started
            if elapsed > grace and received < min_rate * elapsed:
                raise TooSlowError(f"{host} sends less than {min_rate:g} bytes per second")
            pieces.append(decode(piece, max_bytes + 1 - size))
            size += len(pieces[-1])
            if max(received, size) > max_bytes:
                raise too_large
            if len(pieces) > _MAX_PIECES:
                pieces = [b"".join(pieces)]
    except zlib.error as error:
        raise BodyCutError(f"{host} broke off inside the body") from error
    if received and not decode.complete:
        raise BodyCutError(f"{host} broke off inside the compressed body")
    return b"".join(pieces)


class _Identity:
    complete = True

    def __call__(self, data: bytes, max_length: int) -> bytes:
        return data


class _Gunzip:
    """Decompresses at most ``max_length`` bytes at a time, so a bomb never grows beyond the limit.

    The members of a file are put together (https://www.rfc-editor.org/rfc/rfc1952#section-2.2). Other bytes after a
    member are ignored, as browsers and gzip do: its checksum was right.
    """

    def __init__(self, too_many: TooLargeError) -> None:
        self._too_many = too_many
        self._inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        self._members = 1
        self._rest = b""
        self._ignores = False

    def __call__(self, data: bytes, max_length: int) -> bytes:
        output = b""
        while data and not self._ignores and len(output) < max_length:
            if self._inflate.eof:
                data = self._next_member(data)
            else:
                output += self._inflate.decompress(data, max_length - len(output))
                data = self._inflate.unused_data
        return output

    def _next_member(self, data: bytes) -> bytes:
        """Start a member if there is one in ``data``, and return the bytes for it."""
        data, self._rest = self._rest + data, b""
        if len(data) < len(_GZIP):
            self._rest, data = data, b""
        elif not data.startswith(_GZIP):
            self._ignores = True
        elif self._members == MAX_MEMBERS:
            raise self._too_many
        else:
            self._members += 1
            self._inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        return data

    @property
    def complete(self) -> bool:
        return self._inflate.eof


def _decoder(response: ResponseStream) -> _Identity | _Gunzip:
    """Return the decoder of the body. A name that is not registered means nothing, as in browsers and in curl."""
    host = response.url.host
    names = [name.strip().lower() for name in response.headers.get("content-encoding", "").split(",")]
    known = [name for name in names if name in _GZIP_NAMES or name in _OTHER_ENCODINGS]
    if not known:
        return _Identity()
    if len(known) == 1 and known[0] in _GZIP_NAMES:
        return _Gunzip(TooLargeError(f"{host} sends more than {MAX_MEMBERS:,} gzip members"))
    raise UnknownEncodingError(f"{host} chose an encoding that we did not ask for")
