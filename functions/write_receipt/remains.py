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
    """A place that may still have copies, and their last day; ``condition`` ends them if ``until`` is ``None``."""

    place: str
    until: str | None = None
    # Receipts of older versions have no condition.
    condition: str = "until you delete it"


_POSTS_OF_OTHERS = Remaining(
    place="Posts of other people that quote or name the person",
    condition="as long as they are in the lake: they belong to their authors",
)
_UNFINISHED = "Requests of other erasures of the same data that were not finished, with the ids that these have found"
# An erasure has no access to these places.
_IN_AN_ACCOUNT = [
    Remaining(place="Notifications that were sent", condition="until their recipients delete them"),
    Remaining(
        place="Copies and exports of the dataset, and query results outside of the stack's work group",
        condition="until you delete them",
    ),
    Remaining(
        place="Names of feeds in the stack's parameter with the feeds",
        condition="until you remove these feeds from the parameter",
    ),
    # Working objects last for 14 days, and their older versions for 30 more.
    Remaining(place=_UNFINISHED, condition="until you finish them, and for 44 days at most"),
    _POSTS_OF_OTHERS,
]
_ON_ONE_MACHINE = [
    Remaining(
        place="Files in the folder state/ of the lake: histories of executions, with the request of this erasure, and"
        " log lines, events and stream records from before it",
        condition="until you delete the lake",
    ),
    Remaining(place="Copies and exports of the dataset", condition="until you delete them"),
    Remaining(place="Names of the feeds that a run reads if you name none", condition="until you run with other feeds"),
    Remaining(place=_UNFINISHED, condition="until you finish them"),
    _POSTS_OF_OTHERS,
]


def remaining(now: datetime, settings: WriteReceiptSettings) -> list[Remaining]:
    """List what remains after an erasure that ends ``now``."""
    if settings.is_local:
        return _ON_ONE_MACHINE
    days = {
        "Point-in-time recovery of the tables": settings.point_in_time_recovery_days,
        "Log lines from before the erasure": settings.log_retention_days,
        "Histories of executions, with the request of this erasure": _HISTORY_DAYS,
        "Traces": _TRACE_DAYS,
        "Records of the stream": _STREAM_DAYS,
        "Results of Athena's queries in the stack's work group": _RESULT_DAYS,
    }
    last_days = {place: f"{now + timedelta(days=number):%Y-%m-%d}" for place, number in days.items()}
    return [*(Remaining(place=place, until=day, condition="") for place, day in last_days.items()), *_IN_AN_ACCOUNT]
