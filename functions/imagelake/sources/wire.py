"""The base class for models of the networks' JSON, and the reason why an entry does not fit its model."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, ValidationError

from imagelake.run.frozen_model import FrozenModel
from imagelake.run.sentences import faults
from imagelake.sources.responses import iso_time

# A client that sets no time sends the year 1. Data frames count nanoseconds, so they cannot hold a time after 2262.
PLAUSIBLE_YEARS = range(1970, 2201)


class WireModel(FrozenModel):
    """A JSON object as the network documents it: unknown keys are ignored, and a value of a wrong type is an error."""

    model_config = ConfigDict(strict=True, extra="ignore")


def moment(value: Any) -> datetime:
    """Parse a time in ISO 8601 and return it in UTC; raise ``ValueError`` for no time or an implausible year."""
    if not isinstance(value, str):
        raise ValueError("not a string")
    try:
        time = iso_time(value)
    except (ValueError, OverflowError):
        raise ValueError("not a time in ISO 8601") from None
    if time.year not in PLAUSIBLE_YEARS:
        raise ValueError(f"year {time.year} is not plausible")
    return time


# A field that holds a time in ISO 8601; its value in the model is in UTC.
Moment = Annotated[datetime, BeforeValidator(moment)]


def reason(error: ValueError) -> str:
    """Say why an entry is rejected; for an error of pydantic, name the wrong field and its problem, not its value."""
    if not isinstance(error, ValidationError):
        return str(error)
    field, fault = next(faults(error, with_values=False))
    return f"{field or 'entry'}: {fault}"
