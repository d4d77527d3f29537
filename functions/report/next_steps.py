"""The next steps after a run: the cause to fix first, and the command that can succeed after that."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from typing import Any

from imagelake.run.errors import (
    RETRYABLE_CODES,
    BadFeedError,
    BadInputError,
    CredentialsError,
    DamagedObjectError,
    FeedNotFoundError,
    FeedNotPermittedError,
    RateLimitedError,
    ReconciliationError,
    StorageDeniedError,
)
from imagelake.run.masking import mask
from report.summary import TOO_MANY_FAILURES, FeedSummary, Summary, count

_MAX_NAMES = 20
# No run can read these feeds as they are defined.
_WRONG_FEEDS = frozenset(error.__name__ for error in (BadFeedError, FeedNotFoundError, BadInputError))
# Another run fails in the same way before this is done. Other errors may be gone in the next run.
_FIXES = {
    CredentialsError.__name__: "put a valid token into the secret; the message above has the command",
    FeedNotPermittedError.__name__: "get the rights that the message above names from the network, or remove the feed",
    StorageDeniedError.__name__: "undo the change of the role, bucket or table that the message above names, or deploy",
    DamagedObjectError.__name__: "restore the last good version of the object that the message above names",
    ReconciliationError.__name__: "compare the two sides that the message above names, and delete nothing",
    RateLimitedError.__name__: "wait until the time that the message above names",
}


def how_to_resume(summary: Summary) -> list[str]:
    """Say what to do about the feeds that did not finish; empty if the run is ``ok``."""
    unfinished = [feed for feed in summary.feeds if _is_unfinished(feed)]
    wrong = [feed for feed in unfinished if _error(feed) in _WRONG_FEEDS]
    if unfinished:
        return [*_resume([feed for feed in unfinished if feed not in wrong], summary), *_correct(wrong)]
    if any(feed.is_busy for feed in summary.feeds):
        return ["Nothing to do: another run is already processing the busy feeds."]
    if summary.warnings:
        return ["Look at the warnings above; no run has to be repeated for them."]
    if summary.errors:
        return ["Nothing to do: the failed items are in the dataset, with their error codes."]
    return []


def how_to_retry(summary: Summary) -> list[str]:
    """Say how to request the images again that failed for a reason that may be gone."""
    codes = [code for code in RETRYABLE_CODES if code in summary.errors]
    feeds = [feed for feed in summary.feeds if not feed.errors.keys().isdisjoint(codes)]
    if not _configs(feeds):
        return []
    retry = {"feeds": _configs(feeds), "retry": {"run_id": summary.run.run_id, "error_codes": codes}}
    return [
        "This works for 14 days. It requests the failed images again and reads no new posts:",
        _start_command(summary, retry),
    ]


def _is_unfinished(feed: FeedSummary) -> bool:
    if feed.problem is None or feed.is_busy:
        return False
    # The failed items have their rows, so another run would not make them again. How to retry them is said below.
    return _error(feed) != TOO_MANY_FAILURES or bool(feed.open)


def _resume(feeds: list[FeedSummary], summary: Summary) -> list[str]:
    if not feeds:
        return []
    run_input: dict[str, Any] = {}
    # A removed feed has no definition. Every run that takes its feeds from the parameter resumes it.
    if configs := _configs(feeds):
        run_input["feeds"] = configs
        if summary.run.retry is not None:
            run_input["retry"] = summary.run.retry.model_dump(mode="json")
    errors = Counter(map(_error, feeds))
    fixes = [
        f"First, for {count(number, 'feed', 'feeds')} with {error}: {_FIXES[error]}."
        for error, number in errors.items()
        if error in _FIXES
    ]
    start = "Then" if fixes else "Nothing is lost:"
    if "retry" in run_input:
        then = f"{start} this run retries the same items:"
    else:
        then = f"{start} the next run, scheduled or started by hand, resumes open batches and reads unread posts:"
    return [*fixes, then, _start_command(summary, run_input)]


def _correct(feeds: list[FeedSummary]) -> list[str]:
    if not feeds:
        return []
    names = [feed.name for feed in feeds]
    rest = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return [
        "No run can succeed for these feeds before you correct what their message above names, or remove them:"
        f" {', '.join(names[:_MAX_NAMES])}{rest}"
    ]


def _error(feed: FeedSummary) -> str:
    return feed.problem.error if feed.problem is not None else ""


def _configs(feeds: list[FeedSummary]) -> list[Any]:
    return [feed.config for feed in feeds if feed.config is not None]


def _start_command(summary: Summary, run_input: dict[str, Any]) -> str:
    machine = summary.run.execution_arn.replace(":execution:", ":stateMachine:").rsplit(":", 1)[0]
    text = json.dumps(run_input)
    masked = mask(text)
    hint = "" if masked == text else " (first put the values back in place of REDACTED)"
    return f"aws stepfunctions start-execution --state-machine-arn {machine} --input {shlex.quote(masked)}{hint}"
