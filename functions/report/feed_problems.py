"""Problems of feeds from run to run, so that a notification reports each problem once a day."""

from __future__ import annotations

from contextlib import suppress

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.run.errors import ObjectMissingError
from imagelake.run.frozen_model import FrozenModel
from imagelake.run.models import Day, Run
from report.summary import FeedSummary, Summary, warnings_of


class FeedProblem(FrozenModel):
    """The problem of one feed, stored for later runs; ``kind`` is empty if the feed has no problem."""

    kind: str
    since: Day
    notified_on: Day
    notified_by: str


class FeedProblems:
    """The problems of a run's feeds, by feed id; Report finds the same ones if it is retried."""

    def __init__(self, summary: Summary, bucket: Bucket) -> None:
        self._run = summary.run
        problems = {feed.feed_id: _update(feed, self._run, bucket) for feed in summary.feeds}
        self._by_feed = {feed_id: problem for feed_id, problem in problems.items() if problem.kind}

    @property
    def all_notified(self) -> bool:
        """Tell if there are problems and an earlier run of the same day has reported every one of them."""
        problems = self._by_feed.values()
        return bool(problems) and all(problem.notified_by != self._run.run_id for problem in problems)

    @property
    def since(self) -> dict[str, str]:
        """First day of each problem that is older than this run's day, by feed id."""
        return {feed_id: problem.since for feed_id, problem in self._by_feed.items() if problem.since < self._run.dt}


def _update(feed: FeedSummary, run: Run, bucket: Bucket) -> FeedProblem:
    """Compare the feed with its stored problem, and store the change if there is one."""
    key, kind = object_keys.feed_problem(feed.feed_id), _kind(feed, run)
    if feed.is_busy:
        # The run that holds the lease reports this feed's state.
        return FeedProblem(kind=kind, since=run.dt, notified_on=run.dt, notified_by=run.run_id)
    problem = FeedProblem(kind="", since=run.dt, notified_on=run.dt, notified_by="")
    with suppress(ObjectMissingError):
        problem = FeedProblem.model_validate_json(bucket.get(key))
    if problem.kind != kind or (kind and problem.notified_on != run.dt):
        since = problem.since if problem.kind == kind else run.dt
        problem = FeedProblem(kind=kind, since=since, notified_on=run.dt, notified_by=run.run_id)
        bucket.put_json(key, problem.model_dump())
    return problem


def _kind(feed: FeedSummary, run: Run) -> str:
    """Name the problem. A problem with another name is a new one, which is reported even on the same day."""
    if feed.problem is not None:
        return feed.problem.error
    if feed.errors:
        return " ".join(sorted(feed.errors))
    return "warning" if warnings_of(feed, run) else ""
