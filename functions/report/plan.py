"""The report of a run that plans: an estimate for each feed. Nothing else is stored, and no metric or event is sent."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.run import prices
from imagelake.run.console import Console
from imagelake.run.contracts import FeedResult, ReportRequest, ReportResult
from imagelake.run.errors import ObjectMissingError, SourceUnavailableError
from imagelake.run.failures import Failure
from imagelake.run.feed_names import with_name
from imagelake.run.masking import mask
from report.estimates import Estimate, estimate
from report.summary import count
from report.timeline import Timeline

_MAX_LINES = 50
# The state machine reads so many feeds at once.
_FEEDS_AT_ONCE = 4


def report_plan(request: ReportRequest, bucket: Bucket, is_erased: Callable[[str], bool]) -> ReportResult:
    """Store the estimates, and make the notification; it does not name feeds whose author is erased."""
    run = request.run
    named = request.nameless(is_erased)
    feeds = [_feed(*both, request, bucket) for both in zip(request.results, named, strict=True)]
    estimates = [feed["estimate"] for feed in feeds if feed["estimate"] is not None]
    totals = _totals(estimates)
    asked = sum(result.outlook.usd for result in request.results if result.outlook)
    key = object_keys.run_plan(run.run_id)
    shown = [{**feed, "estimate": feed["estimate"] and feed["estimate"].model_dump()} for feed in feeds]
    bucket.put_json(key, {"run": run.model_dump(mode="json"), "totals": totals, "asked_usd": asked, "feeds": shown})
    failed = len(feeds) - len(estimates)
    summary = (
        f"{count(totals['posts'], 'new post', 'new posts')}, {count(totals['images'], 'image', 'images')},"
        f" {totals['network_usd'] + totals['aws_usd']:.2f} USD"
    )
    lines = [
        f"Imagelake plan {run.run_id} for {run.dt}: nothing was fetched.",
        "\n".join(["A run would read:", *(f"  {_line(feed)}" for feed in feeds[:_MAX_LINES])]),
        f"In all: about {summary}: {totals['network_usd']:.2f} to the networks and {totals['aws_usd']:.2f} to AWS;"
        f" {totals['minutes']:.0f} minutes",
        f"The questions to the networks cost {asked:.3f} USD." if asked else "",
        "The numbers of images and minutes are estimates. Budgets are not subtracted.",
        f"Where to look:\n  Report: {Console.of(run.execution_arn).object(bucket.name, key)}",
    ]
    return ReportResult(
        outcome="partial" if failed else "ok",
        notify=run.by_hand or bool(failed),
        error=None,
        subject=f"Imagelake {run.dt} plan: {summary}" + (f", {failed} failed" if failed else ""),
        message="\n\n".join(filter(None, lines)) + "\n",
        report_key=key,
    )


def _feed(result: FeedResult, named: FeedResult, request: ReportRequest, bucket: Bucket) -> dict[str, Any]:
    failure = Failure.of(named.error) if named.error else None
    if failure is None and named.outlook and named.outlook.problem:
        failure = Failure(error=SourceUnavailableError.__name__, message=named.outlook.problem)
    problem = failure and {"error": failure.error, "message": mask(with_name(failure.message, named.feed))}
    before = _timeline(result.feed.feed_id, bucket)
    found = None if problem else estimate(result, request.run, before)
    return {"feed_id": result.feed.feed_id, "feed": mask(named.feed.name), "problem": problem, "estimate": found}


def _timeline(feed_id: str, bucket: Bucket) -> Timeline:
    """Read what earlier runs found."""
    with suppress(ObjectMissingError):
        return bucket.get_model(object_keys.timeline(feed_id), Timeline)
    return Timeline()


def _totals(estimates: list[Estimate]) -> dict[str, Any]:
    totals: dict[str, Any] = {
        name: sum(getattr(one, name) for one in estimates)
        for name in ("posts", "known_posts", "pages", "images", "batches", "network_usd")
    }
    aws = prices.usd_of_run(len(estimates), totals["batches"], totals["images"])
    minutes = max(
        sum(one.minutes for one in estimates) / _FEEDS_AT_ONCE, max((one.minutes for one in estimates), default=0.0)
    )
    return {
        **totals,
        "network_usd": round(totals["network_usd"], 6),
        "aws_usd": round(aws, 6),
        "minutes": round(minutes, 1),
    }


def _line(feed: dict[str, Any]) -> str:
    found: Estimate | None = feed["estimate"]
    if found is None:
        return f"{feed['feed']}: it cannot be read: {feed['problem']['error']}: {feed['problem']['message']}"
    network = f"{found.network_usd:.2f} USD to the network, " if found.network_usd else ""
    posts = count(found.posts, "new post", "new posts")
    if found.known_posts:
        posts += f" and {count(found.known_posts, 'known one', 'known ones')}"
    return (
        f"{feed['feed']}: {posts} on {count(found.pages, 'page', 'pages')},"
        f" {count(found.images, 'image', 'images')}; {network}{found.aws_usd:.4f} USD to AWS; {found.minutes:g} minutes"
        f" ({found.basis})"
    )
