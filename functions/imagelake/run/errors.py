"""Every error that Imagelake raises on purpose, and the closed list of error codes of media items.

    ImagelakeError
    ├── TransientError                the step may succeed if it is tried again
    │   ├── SourceUnavailableError    a network did not answer, or answered 5xx
    │   ├── StorageUnavailableError   S3, DynamoDB or SSM throttled us or was down
    │   └── BatchDeadlineError        the batch ran out of time before its last image
    ├── PermanentError                trying again without a change cannot help
    │   ├── BadInputError             the execution input is wrong; names the field
    │   ├── BadFeedError              one feed's definition is wrong
    │   ├── FeedNotFoundError         no such account, or it is gone, private or suspended
    │   ├── FeedNotPermittedError     the network does not allow this read
    │   ├── FeedBusyError             another execution is reading this feed
    │   ├── CredentialsError          a token is missing, wrong or expired
    │   ├── RateLimitedError          a rate limit is reached; has the time when it ends
    │   ├── SourceChangedError        the answer is not what the network documents
    │   ├── StorageDeniedError        our role, bucket or table is not set up for this call
    │   ├── ObjectMissingError        an object a step relies on is not there
    │   ├── DamagedObjectError        an object a step relies on is not as it was written
    │   ├── FileChangedError          a dataset file is not the one that a rebuild has read
    │   ├── ReconciliationError       planned items, rows and mappings do not add up
    │   ├── ErasureIncompleteError    an erasure still finds something after several rounds
    │   ├── DownloadError             one image could not be fetched; carries an ErrorCode
    │   └── ImageRejectedError        one image is not acceptable; carries an ErrorCode
    ├── HttpError                     one HTTP exchange failed; in imagelake.web.errors
    │   ├── UrlRefusedError           the URL, or the IP address behind it, is not allowed
    │   ├── HostNotFoundError         the host name has no IP address
    │   ├── ConnectionFailedError     no connection, or no valid HTTP in the answer
    │   ├── HttpTimeoutError          the answer does not come, or does not end, in time
    │   ├── TooSlowError              the body comes in below the minimum rate
    │   ├── TooLargeError             the body is larger than the limit, or in too many chunks
    │   ├── BodyCutError              the body ended too early, or is not valid
    │   └── UnknownEncodingError      the body is encoded in a way that we did not ask for
    ├── AlertNotSentError             a webhook did not take an alert; in relay_alert.webhook
    └── BrokenRecordError             our code broke on a stream's record; in ingest_stream.records

Step Functions matches error names, not inheritance, so the state machine lists transient errors by name, and a test
compares it with this tree. ``TransientError``, ``PermanentError`` and ``HttpError`` themselves are never raised.

An ``HttpError`` never ends a step: it becomes a ``DownloadError`` in Transform, a feed's error in Fetch and an
``AlertNotSentError`` in Relay Alert.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum


class ErrorCode(StrEnum):
    """Reasons why a media item has no image; the closed list of the column ``error_code``."""

    # The bytes could not be downloaded, so the row's status is ``failed``.
    URL_REFUSED = "url_refused"  # the scheme, host, port or IP address is not allowed
    URL_EXPIRED = "url_expired"  # the signed URL expired before it was used
    HOST_NOT_FOUND = "host_not_found"
    CONNECTION_FAILED = "connection_failed"
    TIMED_OUT = "timed_out"
    TOO_SLOW = "too_slow"  # the bytes came in below the minimum rate
    TOO_MANY_REDIRECTS = "too_many_redirects"
    FORBIDDEN = "forbidden"  # 401 or 403
    NOT_FOUND = "not_found"  # 404 or 410
    RATE_LIMITED = "rate_limited"  # 429, after the retries
    HTTP_ERROR = "http_error"  # any other status, or an encoding that we did not ask for
    SERVER_ERROR = "server_error"  # 5xx, after the retries
    BODY_CUT = "body_cut"  # the connection ended before the announced length
    ROBOTS_REFUSED = "robots_refused"  # X-Robots-Tag forbids this use
    TOO_LARGE = "too_large"  # more bytes than allowed, or too many small chunks
    # The bytes were downloaded but are not acceptable, so the row's status is ``rejected``.
    EMPTY = "empty"
    NOT_AN_IMAGE = "not_an_image"  # HTML, JSON, text or anything else without the magic bytes of an image
    FORMAT_NOT_ALLOWED = "format_not_allowed"  # an image in a format that we do not decode
    TOO_MANY_PIXELS = "too_many_pixels"  # refused by its header, before it is decoded
    TRUNCATED = "truncated"
    CORRUPT = "corrupt"  # the decoder refused it
    DECODER_FAILED = "decoder_failed"  # the decoder crashed, or needed too much memory or time
    TOO_SMALL = "too_small"
    ODD_ASPECT_RATIO = "odd_aspect_ratio"


# Failures worth retrying later.
RETRYABLE_CODES = (
    ErrorCode.HOST_NOT_FOUND,
    ErrorCode.CONNECTION_FAILED,
    ErrorCode.TIMED_OUT,
    ErrorCode.TOO_SLOW,
    ErrorCode.RATE_LIMITED,
    ErrorCode.SERVER_ERROR,
    ErrorCode.BODY_CUT,
)


class ImagelakeError(Exception):
    """The base class of all errors of Imagelake."""

    # True if it ended the call of a network before its request was sent, so that the network bills nothing.
    is_before_request = False


class TransientError(ImagelakeError):
    """A retry of the step may succeed."""


class PermanentError(ImagelakeError):
    """A retry cannot help unless something is changed."""


class SourceUnavailableError(TransientError):
    """A network did not answer, or answered 5xx."""


class StorageUnavailableError(TransientError):
    """A service of AWS throttled us or was down."""


class BatchDeadlineError(TransientError):
    """The batch ran out of time before its last image."""


class BadInputError(PermanentError):
    """The execution input is wrong; the message names the field."""


class BadFeedError(PermanentError):
    """One feed's definition is wrong."""


class FeedNotFoundError(PermanentError):
    """The account does not exist, or it is deleted, private or suspended."""


class FeedNotPermittedError(PermanentError):
    """The network does not allow this read."""


class FeedBusyError(PermanentError):
    """Another execution is reading this feed; the message names it."""


class CredentialsError(PermanentError):
    """A token is missing, wrong or expired."""


class RateLimitedError(PermanentError):
    """The network answers no call before ``reset_at``, which is ``None`` if the network did not say."""

    def __init__(self, message: str, reset_at: datetime | None = None) -> None:
        super().__init__(message)
        self.reset_at = reset_at


class SourceChangedError(PermanentError):
    """The answer is not what the network documents."""


class StorageDeniedError(PermanentError):
    """Our role, bucket or table does not allow this call."""


class ObjectMissingError(PermanentError):
    """An object that a step needs does not exist."""


class DamagedObjectError(PermanentError):
    """An object that a step needs is not as it was written; the message names its key."""


class FileChangedError(PermanentError):
    """A dataset file, or what a rebuild has made of it, has changed, so the rebuild has to read the file again."""


class ReconciliationError(PermanentError):
    """Planned items, rows and mappings do not add up."""


class ErasureIncompleteError(PermanentError):
    """An erasure still finds something after several rounds."""


class DownloadError(PermanentError):
    """One image could not be downloaded; in Transform it becomes a row."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class ImageRejectedError(PermanentError):
    """One image is not acceptable; in Transform it becomes a row."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
