"""Errors that Step Functions caught, shortened to a name and a sentence without the stack trace."""

from __future__ import annotations

import json

from pydantic import Field

from imagelake.run.frozen_model import FrozenModel
from imagelake.run.masking import mask

_MAX_CHARACTERS = 500


class CaughtError(FrozenModel):
    """An error that a Catch received; the cause is JSON if a Lambda function raised it, and text if AWS itself did."""

    error: str = Field(default="Unknown", alias="Error")
    cause: str | None = Field(default=None, alias="Cause")


class Failure(FrozenModel):
    """An error's name and message."""

    error: str
    message: str

    @classmethod
    def of(cls, caught: CaughtError) -> Failure:
        """Shorten a caught error."""
        cause = caught.cause or "no cause given"
        try:
            message = json.loads(cause)["errorMessage"]
        except (ValueError, KeyError, TypeError, RecursionError):
            message = cause
        # A lone surrogate cannot be written as UTF-8.
        text = mask(str(message))[:_MAX_CHARACTERS].encode("utf-8", "replace").decode()
        return cls(error=caught.error, message=text)
