"""The lake at a glance: the images of erased items, and the names of the feeds of erased authors."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html import unescape
from typing import Any

from erase_reports import page
from erase_reports.json_objects import json_change
from imagelake.lake import object_keys
from imagelake.lake.bucket import Version
from imagelake.lake.erased_objects import Change, ErasedObjects, Place
from imagelake.lake.suppression import SuppressionList

_Change = Callable[[bytes, Version], Change | None]
# The first cell of a feed's row has its name.
_FEED = re.compile(r'(<tr data-feed="([^"]*)"><td [^>]*>)[^<]*')


def erase_glance(objects: ErasedObjects, listed: SuppressionList) -> Iterator[Change]:
    """Change the figures first, because Report makes the page from them; yield each change."""
    json_type, html_type = "application/json", "text/html; charset=utf-8"
    figures = objects.rewrite(Place.SUMMARIES, object_keys.GLANCE, json_type, _figures(listed))
    html = objects.rewrite(Place.REPORT_PAGES, object_keys.GLANCE_PAGE, html_type, _page(listed))
    yield from filter(None, (figures, html))


def _figures(listed: SuppressionList) -> _Change:
    def change(glance: Any) -> Any:
        feeds = {
            feed_id: feed | {"name": feed_id} if listed.has_feed(feed_id) else feed
            for feed_id, feed in glance.get("feeds", {}).items()
        }
        newest = [image for image in glance.get("newest", ()) if not listed.has_media(image["media_id"])]
        # A field without a value stays away, as in Report.
        return glance | {name: value for name, value in (("feeds", feeds), ("newest", newest)) if name in glance}

    def items(glance: Any) -> set[str]:
        return {one["media_id"] for one in glance.get("newest", ()) if listed.has_media(one["media_id"])}

    return json_change(change, items)


def _page(listed: SuppressionList) -> _Change:
    def name(match: re.Match[str]) -> str:
        return f"{match[1]}{match[2]}" if listed.has_feed(unescape(match[2])) else match[0]

    def change(body: bytes, version: Version) -> Change | None:
        before = body.decode("utf-8", "surrogateescape")
        after, erased = page.smaller_page(_FEED.sub(name, before), [], listed)
        return None if after == before else Change(after.encode("utf-8", "surrogateescape"), erased)

    return change
