"""A feed's coverage after a run, which Report stores for the next one."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from imagelake.lake.coverage import CoverageRow, Second
from imagelake.run.frozen_model import FrozenModel

# The reason of a gap that the network no longer listed when a run came to it.
LOOKBACK = "lookback"
# The reason of a gap in the time of a run without a report, which may have left out posts.
UNREPORTED = "unreported"


class Gap(FrozenModel):
    """A span that was requested and that no run has read."""

    start: Second
    end: Second
    reason: str
    recoverable_until: Second | None = None


class Timeline(FrozenModel):
    """A feed's time and its gaps; times are ``None`` before the first run."""

    # The last run that changed it.
    run_id: str = ""
    begin: Second | None = None
    until: Second | None = None
    # Time of the bookmark, as far as reports know.
    bookmark_at: Second | None = None
    # Gaps that can still be filled, the oldest first.
    gaps: list[Gap] = Field(default_factory=list)
    # New posts of all runs, backfills too, and their images.
    posts: int = 0
    images: int = 0
    # New posts by day, for each weekday the last 14 days.
    days: dict[str, int] = Field(default_factory=dict)
    # Start of the last run that found a new post, or of the first run.
    last_new_at: Second | None = None
    # The run that first noticed the silence; empty if the feed is not silent.
    silent_run: str = ""
    # The row of the last run, without the name of the feed, and the day of that run.
    row: CoverageRow | None = None
    dt: str = ""
    # What was known before that run. It counts again if the run ended before it had written its rows.
    before: Timeline | None = None


def can_be_filled(gap: Gap, now: datetime) -> bool:
    """Tell if the network still lists some posts of a gap."""
    if gap.recoverable_until is None or gap.reason == LOOKBACK:
        return gap.reason != LOOKBACK
    return gap.recoverable_until + (gap.end - gap.start) > now
