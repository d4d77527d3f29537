"""Base of the wire models, which describe the JSON of the networks, and the reason why an entry does not fit."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from imagelake.sources.responses import iso_time

# Clients that forget the time send year 1. Data frames count nanoseconds and end in 2262.
PLAUSIBLE_YEARS = range(1970, 2201)


class WireModel(BaseModel):
    """An object as the network documents it: unknown keys are ignored, a value of another type is an error."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", defer_build=True)


def moment(value: Any) -> datetime:
    """Read a plausible time in ISO 8601, as aware and in UTC; raise ``ValueError`` if it is none."""
    if not isinstance(value, str):
        raise ValueError("not a string")
    try:
        time = iso_time(value)
    except (ValueError, OverflowError):
        raise ValueError("not a time in ISO 8601") from None
    if time.year not in PLAUSIBLE_YEARS:
        raise ValueError(f"year {time.year} is not plausible")
    return time


# A time in ISO 8601 in JSON, as aware and in UTC.
Moment = Annotated[datetime, BeforeValidator(moment)]


def reason(error: ValueError) -> str:
    """Say why an entry is rejected: our own sentence, or the wrong field and its problem, but not its value."""
    if not isinstance(error, ValidationError):
        return str(error)
    problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
    field = ".".join(str(part) for part in problem["loc"]) or "entry"
    return f"{field}: {problem['msg'].removeprefix('Value error, ')}"
