"""Lines of rejected posts, skipped media items and stream records that are no posts."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from erase_pages.day import Day
from imagelake.lake import object_keys
from imagelake.lake.erased_objects import Change, Place
from imagelake.sources import Reject
from imagelake.sources.stream import author_ids


def erase_rejects(day: Day) -> Iterator[Change]:
    """Remove lines; yield each change of an object."""
    for key in day.bucket.list(object_keys.rejects_prefix(day.source.name, day.dt)):
        feed_id = _feed_id(key)
        is_own = feed_id in day.own_feeds or day.listed.has_feed(feed_id)

        def change_line(line: Any, is_own: bool = is_own) -> Any:
            return None if is_own or _is_listed(line, day) else line

        change = day.objects.rewrite_lines(Place.REJECTS, key, change_line)
        if change is not None:
            yield change


def _feed_id(key: str) -> str:
    """Return the id of the feed, which is a network and a hash behind the id of the run."""
    return "-".join(key.removesuffix(".jsonl").rsplit("-", 2)[1:])


def covers_record(data: bytes, day: Day) -> bool:
    """Tell if a stream record that is no post is suppressed."""
    try:
        record = json.loads(data)
    except (ValueError, RecursionError):
        return day.names.are_in(data)
    return day.listed.covers(day.source.name, Reject(None, "", record, author_ids(record)))


def _is_listed(line: Any, day: Day) -> bool:
    match line:
        case {"kind": "record", "raw": {"data_base64": str(data)}}:
            with suppress(ValueError):
                return covers_record(base64.b64decode(data), day)
        case {"post_id": str() | None as post_id, "raw": raw}:
            known = tuple(line.get("author_ids", ()))
            return day.listed.covers(day.source.name, Reject(post_id, "", raw, known))
    return day.names.are_in(json.dumps(line).encode())
