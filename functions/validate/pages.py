"""The raw pages of a run, read from the bucket and parsed into posts and rejects."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from typing import NamedTuple

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket, named_if_damaged
from imagelake.lake.suppression import SuppressionList
from imagelake.run.models import Run
from imagelake.run.posts import Media, Post
from imagelake.sources import Feed, Reject, Source
from imagelake.sources.raw_pages import stored_response
from imagelake.sources.signatures import without_signature

# The memory holds the rejects of all pages of a feed.
MAX_REJECT_BYTES = 20_000_000


class Entries(NamedTuple):
    """The posts and the rejects of a feed's pages, and the number of those on the suppression list."""

    posts: list[Post]
    rejects: list[Reject]
    suppressed: int


def read_pages(
    source: Source, feed: Feed, feed_id: str, run: Run, pages: int, bucket: Bucket, listed: SuppressionList
) -> Entries:
    """Read all posts of the run's pages, each post once and in the order of the listing, and all rejects.

    A post that comes again, because it was edited or its images were not ready, adds its new media items. When the
    entries of the rejects have too many bytes, further rejects have only their reason. Posts and rejects on the
    suppression list are left out.
    """
    posts: dict[tuple[str, str], Post] = {}
    rejects: list[Reject] = []
    reject_bytes = suppressed = 0
    for number in range(pages):
        key = object_keys.raw_page(run, source.name, feed_id, number)
        body, version = bucket.get_with_version(key)
        with named_if_damaged(key):
            text = gzip.decompress(body)
            if not body:
                raise ValueError("it is empty")
        response = stored_response(text, version.metadata)
        if response is None:
            continue
        page = source.parse(feed, response)
        suppressed += sum(listed.covers(source.name, entry) for entry in page.entries)
        for post in page.posts:
            if listed.covers(source.name, post):
                continue
            # A stream has posts of many networks, and two networks may use the same post id.
            name = (post.author_id, post.post_id)
            posts[name] = _merged(posts[name], post) if name in posts else post
        for reject in page.rejects:
            if listed.covers(source.name, reject):
                continue
            reject_bytes += len(json.dumps(reject.raw)) if reject_bytes <= MAX_REJECT_BYTES else 0
            rejects.append(reject if reject_bytes <= MAX_REJECT_BYTES else replace(reject, raw=None))
    return Entries(list(posts.values()), rejects, suppressed)


def _merged(first: Post, again: Post) -> Post:
    """Add the media items of ``again`` that ``first`` has not, or has without a usable URL.

    An item at another place with another URL is another one, even if it has the same id.
    """
    media = list(first.media)
    places = {item.media_id: place for place, item in reversed(list(enumerate(media)))}
    known = {_name(item) for item in media}
    for item in again.media:
        place = places.setdefault(item.media_id, len(media))
        if place == len(media):
            media.append(item)
        elif _is_usable(item) and not _is_usable(media[place]):
            media[place] = item
        elif _is_usable(item) and item.index != media[place].index and _name(item) not in known:
            media.append(item)
    return first if media == first.media else first.model_copy(update={"media": media})


def _name(media: Media) -> tuple[str, str]:
    return media.media_id, without_signature(media.url or "")


def _is_usable(media: Media) -> bool:
    return media.url is not None and media.skip_reason is None
