"""The errors of the HTTP client; no message holds the path or query of a URL, or anything that a server sent."""

from __future__ import annotations

from imagelake.run.errors import ImagelakeError


class HttpError(ImagelakeError):
    """One HTTP exchange failed. It never ends a step: it becomes a row's error code, a feed's error or a retry."""


class UrlRefusedError(HttpError):
    """The URL, or the IP address behind it, is one that we do not connect to."""


class HostNotFoundError(HttpError):
    """The host name has no IP address."""


class ConnectionFailedError(HttpError):
    """There is no connection, or the server does not answer with valid HTTP."""


class HttpTimeoutError(HttpError):
    """The server did not answer, or did not finish its answer, in time."""


class TooSlowError(HttpError):
    """The body comes in at less than the minimum rate."""


class TooLargeError(HttpError):
    """The body is larger than the limit, or comes in too many small chunks."""


class BodyCutError(HttpError):
    """The body ended too early, or is not valid HTTP or not valid gzip."""


class UnknownEncodingError(HttpError):
    """The body is encoded in a way that we did not ask for."""
