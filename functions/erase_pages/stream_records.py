"""Staged windows of a stream, and the records that Lambda gave up."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

from erase_pages.day import Day
from erase_pages.raw_pages import smaller_page
from erase_pages.rejects import covers_record
from imagelake.lake import object_keys
from imagelake.lake.bucket import to_json
from imagelake.lake.erased_objects import Change, Place
from imagelake.sources import Feed
from imagelake.sources.stream import STAGE, decode, to_post
from imagelake.web.messages import Response

_NO_RECORDS = b"[]"
_JSON = "application/json"


def erase_stream_records(day: Day) -> Iterator[Change]:
    """Remove records; yield each change of an object. Other networks have none."""
    if day.source.name != "stream":
        return
    windows = day.bucket.list(object_keys.staged_windows_prefix(day.dt))
    for key in windows:
        change = day.objects.rewrite(Place.STREAM_WINDOWS, key, _JSON, lambda body, _: _smaller_window(body, day))
        if change is not None:
            yield change
    for key in day.bucket.list(object_keys.DISCARDED_RECORDS):
        # The folders of a key have the day on which Lambda gave the records up.
        if f"/{day.dt.replace('-', '/')}/" in key:
            change = day.objects.rewrite(
                Place.DISCARDED_RECORDS, key, _JSON, lambda body, _: _smaller_discard(body, day)
            )
            if change is not None:
                yield change


def _smaller_window(body: bytes, day: Day) -> Change | None:
    """Remove records; a run may still read the window, so it stays a list."""
    feed = Feed(source="stream", account="stream")
    change = smaller_page(Response(200, {}, body, STAGE), feed, day, is_own=False)
    return change and Change(change.response.body or _NO_RECORDS, change.items, reason=change.reason)


def _smaller_discard(body: bytes, day: Day) -> Change | None:
    """Remove records from what Lambda stored: a note with the whole event, as JSON or as a text of JSON."""
    try:
        note = json.loads(body)
        event = json.loads(note["payload"]) if isinstance(note["payload"], str) else note["payload"]
        listed = {
            record["kinesis"]["sequenceNumber"]: _is_listed(base64.b64decode(record["kinesis"]["data"]), day)
            for record in event["Records"]
        }
    except (ValueError, LookupError, TypeError):
        return Change(None, [], reason="it cannot be read") if day.names.are_in(body) else None
    gone = [number for number, is_listed in listed.items() if is_listed]
    if not gone:
        return None
    kept = [record for record in event["Records"] if record["kinesis"]["sequenceNumber"] not in gone]
    event["Records"] = kept
    note["payload"] = json.dumps(event, ensure_ascii=False) if isinstance(note["payload"], str) else event
    return Change(to_json(note) if kept else None, gone)


def _is_listed(data: bytes, day: Day) -> bool:
    try:
        return day.listed.covers(day.source.name, to_post(decode(data)))
    except ValueError:
        return covers_record(data, day)
