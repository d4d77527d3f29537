"""What each feed is in problem with, and since when, from run to run: the same problem is told once a day."""

from __future__ import annotations

from contextlib import suppress

from pydantic import BaseModel, ConfigDict

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.run.errors import ObjectMissingError
from imagelake.run.models import Day
from report.summary import FeedSummary, Summary


class FeedProblem(BaseModel):
    """``kind`` is empty for a feed that is well; ``told`` is the day on which run ``told_by`` told of it."""

    model_config = ConfigDict(frozen=True)

    kind: str
    since: Day
    told: Day
    told_by: str


class FeedProblems:
    """The feed_problems of a run's feeds, by feed id. Making it again in the same run gives the same."""

    def __init__(self, summary: Summary, bucket: Bucket) -> None:
        self._run = summary.run
        found = {feed.feed_id: self._update(feed, _kind(feed, summary), bucket) for feed in summary.feeds}
        self._of_feed = {feed_id: problem for feed_id, problem in found.items() if problem is not None}

    @property
    def all_told(self) -> bool:
        """Whether there is problem, and an earlier run of the same day has told of all of it."""
        return bool(self._of_feed) and all(problem.told_by != self._run.run_id for problem in self._of_feed.values())

    @property
    def since(self) -> dict[str, str]:
        """The day since when, for feeds that were in the same problem before this one."""
        return {feed_id: problem.since for feed_id, problem in self._of_feed.items() if problem.since < self._run.dt}

    def _update(self, feed: FeedSummary, kind: str, bucket: Bucket) -> FeedProblem | None:
        key, day = object_keys.feed_problem(feed.feed_id), self._run.dt
        if feed.is_busy:
            # How the feed is, the run that has it knows.
            return FeedProblem(kind=kind, since=day, told=day, told_by=self._run.run_id)
        problem = FeedProblem(kind="", since=day, told=day, told_by="")
        with suppress(ObjectMissingError):
            problem = FeedProblem.model_validate_json(bucket.get(key))
        if problem.kind != kind or (kind and problem.told != day):
            since = problem.since if problem.kind == kind else day
            problem = FeedProblem(kind=kind, since=since, told=day, told_by=self._run.run_id)
            bucket.put_json(key, problem.model_dump())
        return problem if kind else None


def _kind(feed: FeedSummary, summary: Summary) -> str:
    """The problem in one word or few: what makes it another one, and so worth another alert."""
    if feed.problem is not None:
        return feed.problem.error
    if feed.errors:
        return " ".join(sorted(feed.errors))
    return "warning" if any(warning.startswith(f"{feed.name}: ") for warning in summary.warnings) else ""
