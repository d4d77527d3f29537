"""Names in the texts of a report: those of an erased author's own feeds, and ids of erased authors and media items."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from imagelake.lake.suppression import SuppressionList, is_plain
from imagelake.run.errors import BadFeedError
from imagelake.run.posts import authors_in
from imagelake.sources import parse_feed

ERASED = "erased"
# A word of a sentence, and the parts of an id; a colon is part of some.
_WORD = re.compile(r"[^\s\"'<>,;()]+")


class ReportedFeed(NamedTuple):
    """A feed as a report has it.

    ``names`` has its name and its account, the longest first, if it is the feed of an erased author. Every message
    about a feed has its name.
    """

    feed_id: str
    source: str
    names: tuple[str, ...]

    @classmethod
    def of(cls, feed: dict[str, Any], listed: SuppressionList) -> ReportedFeed:
        """Read a feed of ``run.json``."""
        source = str(feed["name"]).partition(":")[0]
        names = tuple(sorted(_names(feed), key=len, reverse=True)) if listed.has_feed(feed["feed_id"]) else ()
        return cls(feed["feed_id"], source, names)

    def without_name(self, text: str) -> str:
        """Write the id of the feed in place of its names."""
        if not self.names:
            return text
        words = "|".join(map(re.escape, self.names))
        # A short name can also be a part of a word, or of the id of the feed.
        return re.sub(rf"(?<![\w-])(?:{words})(?![\w-])", self.feed_id, text, flags=re.IGNORECASE)


def without_ids(text: str, sources: set[str], listed: SuppressionList) -> str:
    """Replace the ids of erased authors, posts and media items of some networks."""

    def replaced(match: re.Match[str]) -> str:
        word = match[0].rstrip(".:")
        if is_plain(word):
            return match[0]
        authors = {(one, author) for one in sources for author in authors_in(one, word)}
        if (
            listed.has_media(word)
            or any(listed.has_author(one, word) for one in sources)
            or any(listed.has_post(*one, word) for one in authors)
        ):
            return match[0].replace(word, ERASED)
        named = [author for one, author in authors if listed.has_author(one, author)]
        return match[0].replace(named[0], ERASED, 1) if named else match[0]

    return _WORD.sub(replaced, text)


def _names(feed: dict[str, Any]) -> Iterator[str]:
    yield feed["name"]
    with suppress(BadFeedError):
        account = parse_feed(feed["config"]).account
        if account is not None:
            yield from {account, account.removeprefix("@")}
