"""The objects of one report: the page, the lists of failures, the results of the feeds, and the summary.

The summary comes last: it has the names of the feeds, by which a killed erasure finds them in the other objects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from erase_reports import page
from erase_reports.json_objects import json_change
from erase_reports.names import ReportedFeed, without_ids
from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket, Version
from imagelake.lake.erased_objects import Change, ErasedObjects, Place
from imagelake.lake.suppression import SuppressionList
from imagelake.run.errors import DamagedObjectError, ObjectMissingError
from imagelake.sources import Reject

_JSON = "application/json"
# Fields with messages or ids; all others have names of feeds, of states, of errors or of objects.
_TEXTS = frozenset({"message", "newest_id", "warnings"})


def erase_report(run_id: str, bucket: Bucket, objects: ErasedObjects, listed: SuppressionList) -> Iterator[Change]:
    """Remove images, lines and names; yield each change of an object. Counts stay."""
    feeds = _feeds(run_id, bucket, listed)

    def html(body: bytes, version: Version) -> Change | None:
        before = body.decode("utf-8", "surrogateescape")
        after, erased = page.smaller_page(before, list(feeds.values()), listed)
        return None if after == before else Change(after.encode("utf-8", "surrogateescape"), erased)

    changes = [objects.rewrite(Place.REPORT_PAGES, object_keys.html_report(run_id), "text/html; charset=utf-8", html)]
    for key in bucket.list(object_keys.failures_prefix(run_id)):
        feed_id = _feed_id(key)
        changes.append(objects.rewrite_lines(Place.FAILURE_LISTS, key, _failure(feed_id, listed)))
    for key in bucket.list(object_keys.feed_reconciliations_prefix(run_id)):
        feed = feeds.get(_feed_id(key), ReportedFeed(_feed_id(key), "", ()))
        changes.append(objects.rewrite(Place.SUMMARIES, key, _JSON, json_change(_texts_of(feed, listed))))
    plan = json_change(_plan(listed))
    changes.append(objects.rewrite(Place.SUMMARIES, object_keys.run_plan(run_id), _JSON, plan))
    summary = object_keys.run_summary(run_id)
    changes.append(objects.rewrite(Place.SUMMARIES, summary, _JSON, json_change(_summary(feeds, listed))))
    yield from filter(None, changes)


def _feeds(run_id: str, bucket: Bucket, listed: SuppressionList) -> dict[str, ReportedFeed]:
    """Read the feeds of the run; a run that ended before its report has none."""
    with suppress(ObjectMissingError, DamagedObjectError, LookupError, TypeError):
        summary = bucket.get_json(object_keys.run_summary(run_id))
        return {feed["feed_id"]: ReportedFeed.of(feed, listed) for feed in summary["feeds"]}
    return {}


def _feed_id(key: str) -> str:
    return key.rpartition("/")[2].rpartition(".")[0]


def _failure(feed_id: str, listed: SuppressionList) -> Callable[[Any], Any]:
    """Remove the lines of erased items, and the name of an erased author's feed from all others."""

    def change(line: Any) -> Any:
        if not isinstance(line, dict):
            return line
        source, post_id = str(line.get("feed")).partition(":")[0], line.get("post_id")
        if listed.covers(source, Reject(post_id, "", line)):
            return None
        is_named = listed.has_feed(feed_id) and line.get("feed") != feed_id
        return line | {"feed": feed_id} if is_named else line

    return change


def _summary(feeds: dict[str, ReportedFeed], listed: SuppressionList) -> Callable[[Any], Any]:
    def change(summary: Any) -> Any:
        return summary | {"feeds": [_summarized(feed) for feed in summary["feeds"]]}

    def _summarized(feed: dict[str, Any]) -> Any:
        reported = feeds.get(feed["feed_id"], ReportedFeed(feed["feed_id"], "", ()))
        if reported.names:
            # As a removed feed, it has no definition.
            feed = feed | {"name": reported.feed_id, "config": None}
            if feed.get("plan"):
                # Its newest post is the author's.
                feed["plan"] = feed["plan"] | {"bookmark": {"newest_id": "", "newest_at": ""}}
        return _texts_of(reported, listed)(feed)

    return change


def _plan(listed: SuppressionList) -> Callable[[Any], Any]:
    """Remove names from the estimates of a plan; each of its texts about a feed has the feed's name."""

    def change(plan: Any) -> Any:
        return plan | {"feeds": [_estimated(feed) for feed in plan["feeds"]]}

    def _estimated(feed: dict[str, Any]) -> Any:
        definition = {"feed_id": feed["feed_id"], "name": feed["feed"], "config": feed["feed"]}
        reported = ReportedFeed.of(definition, listed)
        return _texts_of(reported, listed)(feed | {"feed": reported.feed_id} if reported.names else feed)

    return change


def _texts_of(feed: ReportedFeed, listed: SuppressionList) -> Callable[[Any], Any]:
    """Return what removes names from the messages and ids inside a value of JSON."""

    def change(value: Any, key: str = "") -> Any:
        if isinstance(value, str) and key in _TEXTS:
            return without_ids(feed.without_name(value), {feed.source}, listed)
        if isinstance(value, list):
            return [change(part, key) for part in value]
        if isinstance(value, dict):
            return {name: change(part, name) for name, part in value.items()}
        return value

    return change
