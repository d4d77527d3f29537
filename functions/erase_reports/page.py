"""The page of a report: images, lines and names of erased items; all other text stays byte for byte.

Report writes the page and escapes every text, so a tag or the end of an element is never part of a text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from html import escape, unescape

from erase_reports.names import ERASED, ReportedFeed, without_ids
from imagelake.lake.suppression import SuppressionList

_FIGURE = re.compile(r'<figure id="(image-\d+)" data-item="([^"]*)">.*?</figure>', re.DOTALL)
_ITEM = re.compile(r'<tr data-item="([^"]*)">.*?</tr>', re.DOTALL)
_CELLS = 4
# A near duplicate names its original.
_ORIGINAL = re.compile(r'(<a class="near"[^>]*) title="([^"]*)"')
_LINE = re.compile(r'<li dir="auto">.*?</li>|<tr[ >].*?</tr>', re.DOTALL)
_TEXT = re.compile(r"(?<=>)[^<>]+(?=<)")


def smaller_page(html: str, feeds: list[ReportedFeed], listed: SuppressionList) -> tuple[str, set[str]]:
    """Return the page without erased items, and their media ids."""
    erased: set[str] = set()

    def is_listed(attribute: str) -> bool:
        media_id = unescape(attribute)
        if listed.has_media(media_id):
            erased.add(media_id)
        return media_id in erased

    def figure(match: re.Match[str]) -> str:
        # The links to the figure stay good.
        return (
            f'<figure id="{match[1]}"><figcaption>{ERASED}</figcaption></figure>' if is_listed(match[2]) else match[0]
        )

    def item(match: re.Match[str]) -> str:
        return f'<tr><td colspan="{_CELLS}">{ERASED}</td></tr>' if is_listed(match[1]) else match[0]

    def original(match: re.Match[str]) -> str:
        return match[1] if is_listed(match[2]) else match[0]

    html = _FIGURE.sub(figure, html)
    html = _ORIGINAL.sub(original, html)
    html = _ITEM.sub(item, html)
    return _LINE.sub(lambda match: _without_names(match[0], feeds, listed), html), erased


def _without_names(line: str, feeds: list[ReportedFeed], listed: SuppressionList) -> str:
    """Remove names from a line or a row; the whole name of a feed says that it is about this feed."""
    named = [feed for feed in feeds if feed.names and escape(feed.names[0]) in line]
    sources = {feed.source for feed in feeds}

    def without(text: str) -> str:
        for feed in named:
            text = feed.without_name(text)
        return without_ids(text, sources, listed)

    return _TEXT.sub(lambda match: _changed(match[0], without), line)


def _changed(html: str, change: Callable[[str], str]) -> str:
    text = unescape(html)
    after = change(text)
    return html if after == text else escape(after)
