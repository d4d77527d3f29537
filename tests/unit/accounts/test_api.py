"""Api: which error of a feed a failed call becomes."""

from __future__ import annotations

import pytest

from imagelake.accounts.api import as_feed_error
from imagelake.run.errors import BadFeedError, SourceChangedError, SourceUnavailableError
from imagelake.web import errors
from imagelake.web.errors import HttpError

FEED_ERRORS = {
    errors.UrlRefusedError: BadFeedError,
    errors.TooLargeError: SourceChangedError,
    errors.UnknownEncodingError: SourceChangedError,
    errors.HostNotFoundError: SourceUnavailableError,
    errors.ConnectionFailedError: SourceUnavailableError,
    errors.HttpTimeoutError: SourceUnavailableError,
    errors.TooSlowError: SourceUnavailableError,
    errors.BodyCutError: SourceUnavailableError,
}


@pytest.mark.parametrize("kind", HttpError.__subclasses__())
def test_as_feed_error_when_a_call_failed(kind: type[HttpError]) -> None:
    error = as_feed_error(kind("why"))
    assert (type(error), str(error)) == (FEED_ERRORS[kind], "why")
