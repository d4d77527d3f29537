"""What Step Functions caught, in short: the error's name and its sentence without the stack trace."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel, ConfigDict

_LONGEST = 500


class Failure(BaseModel):
    """An error's name and message."""

    model_config = ConfigDict(frozen=True)

    error: str
    message: str

    @classmethod
    def of(cls, caught: dict[str, Any]) -> Failure:
        """Read a Catch's ``{"Error", "Cause"}``; a Lambda function's cause is JSON, the platform's own is text."""
        cause = caught.get("Cause") or "no cause given"
        try:
            message = json.loads(cause)["errorMessage"]
        except (ValueError, KeyError, TypeError):
            message = cause
        return cls(error=caught.get("Error") or "Unknown", message=str(message)[:_LONGEST])
