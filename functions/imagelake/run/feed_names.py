"""Names of feeds in messages. A name can be that of a person, so logs and traces, which nobody can rewrite, have ids.

Lambda writes the message of an error that a function raises to the function's log and to its trace. Step Functions
hands the same message to Report, which puts the name back: notifications and reports name feeds as people write them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from imagelake.run.masking import mask, mask_feed
from imagelake.run.models import FeedEntry
from imagelake.run.sentences import show

# Ids of feeds of sites, and of feeds whose network nobody knows.
_OF_SITES = ("rss-", "bad-")
_HOST = re.compile(r"[^/?#@:\s]+\.[^/?#@:\s]+")


def title(value: Any) -> str:
    """Name a feed's definition in a message, without credentials; it can be wrong in any way."""
    if isinstance(value, str):
        return f"feed {mask(mask_feed(value))[:120]!r}"
    return f"feed {mask(json.dumps(mask_feed(value), default=str))[:120]}"


@contextmanager
def errors_with_id(feed: FeedEntry) -> Iterator[None]:
    """Write the id of a feed in place of its name, account, hashtag or server into the message of each error."""
    try:
        yield
    except Exception as error:
        error.args = tuple(with_id(text, feed) if isinstance(text, str) else text for text in error.args)
        raise


def with_name(message: str, feed: FeedEntry) -> str:
    """Write the name of a feed in place of its id into a message."""
    return message.replace(feed.feed_id, mask(feed.name))


def with_id(message: str, feed: FeedEntry) -> str:
    """Write the id of a feed in place of each of its names into a message."""
    names = sorted({name for name in _names(feed) if name}, key=len, reverse=True)
    # The end of a longer host name is no name of an account, such as that of public.api.bsky.app. A site can be that of
    # a person under each of its host names.
    longer = "" if feed.feed_id.startswith(_OF_SITES) else r"(?<![^\W_]\.)"
    # A short name can also be a part of a word.
    pattern = "|".join(rf"(?<![^\W_]){longer}{re.escape(name)}(?![^\W_])" for name in names)
    return re.sub(pattern, feed.feed_id, message, flags=re.IGNORECASE)


def _names(feed: FeedEntry) -> Iterator[str]:
    """Return everything that can name the feed: its definition as messages show it, and each part of it."""
    yield title(feed.config)
    wholes = [text for text in (feed.name, feed.config) if isinstance(text, str)]
    fields = feed.config if isinstance(feed.config, dict) else {}
    # Other fields are settings, and their values help. A wrong field of the three can be a number.
    parts = [str(fields[field]) for field in ("account", "hashtag", "server") if field in fields]
    for text in (*wholes, *(whole.partition(":")[2] for whole in wholes), *parts):
        # A message about a wrong value shows its beginning.
        yield from (text, mask(text), show(text).strip('"…'), *_HOST.findall(text), *re.split("[#@]", text))
