"""A response's body: received and decoded within limits of size and time."""

from __future__ import annotations

import time
import zlib

from imagelake.web.errors import BodyCutError, TooLargeError, TooSlowError, UnknownEncodingError
from imagelake.web.http1 import ResponseStream

# Join the pieces when there are so many. Without this, many small pieces would take fifty times the body's memory.
_MAX_PIECES = 65536


def read_body(response: ResponseStream, max_bytes: int, *, min_rate: float = 0.0, grace: float = 0.0) -> bytes:
    """Return the decoded body of at most ``max_bytes``.

    After ``grace`` seconds it must come in at ``min_rate`` bytes per second or more. Content-Length only serves to
    refuse a body early. Raises ``TooLargeError``, ``TooSlowError``, ``HttpTimeoutError``, ``BodyCutError`` and, for an
    encoding other than gzip, ``UnknownEncodingError``.
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
    """Decompresses at most ``max_length`` bytes, so a bomb never grows beyond the limit."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)

    def __call__(self, data: bytes, max_length: int) -> bytes:
        return self._inflate.decompress(data, max_length)

    @property
    def complete(self) -> bool:
        return self._inflate.eof


def _decoder(response: ResponseStream) -> _Identity | _Gunzip:
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding in ("", "identity"):
        return _Identity()
    if encoding in ("gzip", "x-gzip"):
        return _Gunzip()
    raise UnknownEncodingError(f"{response.url.host} chose an encoding that we did not ask for")
