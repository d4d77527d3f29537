"""Remove entries from the text of an RSS or Atom feed; all other text stays as it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from html import unescape

from imagelake.run.posts import Post
from imagelake.sources.contract import Feed, IsRemoved, Reject, Source
from imagelake.sources.responses import content_type
from imagelake.sources.wire import keep
from imagelake.sources.xml_text import xml_text
from imagelake.web.messages import Response

# The start or the end of an entry, outside of CDATA and comments. Names may have a prefix, as in <atom:entry>.
_TAG = re.compile(
    r"<!\[CDATA\[.*?(?:\]\]>|\Z)|<!--.*?(?:-->|\Z)"
    r"|(?P<start><(?:[\w.-]{1,64}:)?(?:entry|item)(?=[\s/>]))|(?P<end></(?:[\w.-]{1,64}:)?(?:entry|item)\s*>)",
    re.DOTALL | re.IGNORECASE,
)
# RSS 1.0 lists the URLs of its entries before them.
_LISTED = re.compile(r"""<(?:[\w.-]{1,64}:)?li\s[^<>]*resource\s*=\s*["']([^"'<>]*)["'][^<>]*>""", re.IGNORECASE)


def remove_entries(source: Source, feed: Feed, response: Response, is_removed: IsRemoved) -> bytes:
    """Return the feed without the entries for which ``is_removed`` is true."""
    text = xml_text(response.body, content_type(response))
    spans = list(_spans(text))
    urls: set[str] = set()

    def has_removed(part: list[tuple[int, int]]) -> bool:
        page = source.parse(feed, replace(response, body=_to_bytes(_with_only(text, spans, part))))
        removed = [entry for entry in page.entries if is_removed(entry)]
        urls.update(url for entry in removed for url in (entry.post_id, _permalink(entry)) if url)
        return bool(removed)

    kept = _with_only(text, spans, keep(spans, has_removed))
    return _to_bytes(_LISTED.sub(lambda match: "" if unescape(match[1]) in urls else match[0], kept))


def _permalink(entry: Post | Reject) -> str | None:
    return entry.permalink if isinstance(entry, Post) else None


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield the start and the end of every entry; one without an end tag ends where the next one begins."""
    start: int | None = None
    for match in _TAG.finditer(text):
        if match["start"]:
            if start is not None:
                yield start, match.start()
            start = match.start()
        elif match["end"] and start is not None:
            yield start, match.end()
            start = None
    if start is not None:
        yield start, len(text)


def _with_only(text: str, spans: list[tuple[int, int]], kept: list[tuple[int, int]]) -> str:
    """Return the text without the entries at ``spans`` that are not among those at ``kept``."""
    pieces, place, wanted = [], 0, set(kept)
    for start, end in spans:
        pieces.append(text[place:start])
        place = end
        if (start, end) in wanted:
            pieces.append(text[start:end])
    return "".join([*pieces, text[place:]])


def _to_bytes(text: str) -> bytes:
    # The mark at the start comes before any other encoding that the feed or its server states.
    return text.encode("utf-8-sig")
