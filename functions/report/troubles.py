"""What each feed is in trouble with, and since when, from run to run: the same trouble is told once a day."""

from __future__ import annotations

from contextlib import suppress

from pydantic import BaseModel, ConfigDict

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.run.errors import ObjectMissingError
from imagelake.run.models import Day
from report.summary import FeedSummary, Summary


class Trouble(BaseModel):
    """``kind`` is empty for a feed that is well; ``told`` is the day on which run ``told_by`` told of it."""

    model_config = ConfigDict(frozen=True)

    kind: str
    since: Day
    told: Day
    told_by: str


class Troubles:
    """The troubles of a run's feeds, by feed id. Making it again in the same run gives the same."""

    def __init__(self, summary: Summary, bucket: Bucket) -> None:
        self._run = summary.run
        found = {feed.feed_id: self._update(feed, _kind(feed, summary), bucket) for feed in summary.feeds}
        self._of_feed = {feed_id: trouble for feed_id, trouble in found.items() if trouble is not None}

    @property
    def all_told(self) -> bool:
        """Whether there is trouble, and an earlier run of the same day has told of all of it."""
        return bool(self._of_feed) and all(trouble.told_by != self._run.run_id for trouble in self._of_feed.values())

    @property
    def since(self) -> dict[str, str]:
        """The day since when, for feeds that were in the same trouble before this one."""
        return {feed_id: trouble.since for feed_id, trouble in self._of_feed.items() if trouble.since < self._run.dt}

    def _update(self, feed: FeedSummary, kind: str, bucket: Bucket) -> Trouble | None:
        key, day = object_keys.feed_trouble(feed.feed_id), self._run.dt
        if feed.is_busy:
            # How the feed is, the run that has it knows.
            return Trouble(kind=kind, since=day, told=day, told_by=self._run.run_id)
        trouble = Trouble(kind="", since=day, told=day, told_by="")
        with suppress(ObjectMissingError):
            trouble = Trouble.model_validate_json(bucket.get(key))
        if trouble.kind != kind or (kind and trouble.told != day):
            since = trouble.since if trouble.kind == kind else day
            trouble = Trouble(kind=kind, since=since, told=day, told_by=self._run.run_id)
            bucket.put_json(key, trouble.model_dump())
        return trouble if kind else None


def _kind(feed: FeedSummary, summary: Summary) -> str:
    """The trouble in one word or few: what makes it another one, and so worth another alert."""
    if feed.problem is not None:
        return feed.problem.error
    if feed.errors:
        return " ".join(sorted(feed.errors))
    return "warning" if any(warning.startswith(f"{feed.name}: ") for warning in summary.warnings) else ""
