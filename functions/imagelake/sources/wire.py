"""Wire models: what every network's shapes have in common, and how a misshapen entry becomes a reason."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from imagelake.sources.answers import iso_time


class WireModel(BaseModel):
    """A shape as documented: unknown keys are ignored, a key of another type is an error."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", defer_build=True)


def moment(value: Any) -> datetime:
    """A plausible time in ISO 8601, aware and in UTC; raises ``ValueError``."""
    if not isinstance(value, str):
        raise ValueError("not a string")
    try:
        time = iso_time(value)
    except (ValueError, OverflowError):
        raise ValueError("not a time in ISO 8601") from None
    # Clients that forget the time send year 1; data frames count in nanoseconds and end in 2262.
    if not 1970 <= time.year <= 2200:
        raise ValueError(f"year {time.year} is not plausible")
    return time


# A time as networks write it in JSON, made aware and in UTC.
Moment = Annotated[datetime, BeforeValidator(moment)]


def reason(error: ValueError) -> str:
    """Why an entry is refused: a sentence of ours, or which field is wrong and how, without its value."""
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "entry"
    return f"{where}: {first['msg'].removeprefix('Value error, ')}"
