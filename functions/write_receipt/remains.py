"""The copies that an erasure cannot reach, each with the day until which it lasts."""

from __future__ import annotations

from datetime import datetime, timedelta

from imagelake.run.frozen_model import FrozenModel
from write_receipt.settings import WriteReceiptSettings

# https://docs.aws.amazon.com/step-functions/latest/dg/limits-overview.html
_HISTORY_DAYS = 90
# https://docs.aws.amazon.com/xray/latest/devguide/xray-console-traces.html
_TRACE_DAYS = 30
# The template sets it for the stream.
_STREAM_DAYS = 1
# https://docs.aws.amazon.com/athena/latest/ug/managed-results.html
_RESULT_DAYS = 1


class Remaining(FrozenModel):
    """A place that may still have copies; ``until`` is ``None`` if nobody but you can delete them."""

    place: str
    until: str | None


def remaining(now: datetime, settings: WriteReceiptSettings) -> list[Remaining]:
    """List what remains after an erasure that ends ``now``."""
    days = {
        "Point-in-time recovery of the tables": settings.point_in_time_recovery_days,
        "Log lines from before the erasure": settings.log_retention_days,
        "Histories of executions, with the request of this erasure": _HISTORY_DAYS,
        "Traces": _TRACE_DAYS,
        "Records of the stream": _STREAM_DAYS,
        "Results of Athena's queries in the stack's work group": _RESULT_DAYS,
    }
    forever = [
        "Notifications that were sent",
        "Copies and exports of the dataset, and query results outside of the stack's work group",
        "Names of feeds in the stack's parameter with the feeds",
        "Posts of other people that quote or name the person",
    ]
    return [
        *(Remaining(place=place, until=f"{now + timedelta(days=number):%Y-%m-%d}") for place, number in days.items()),
        *(Remaining(place=place, until=None) for place in forever),
    ]
