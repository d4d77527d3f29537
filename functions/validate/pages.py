"""The raw pages of a run, read from the bucket and parsed into posts and rejects."""

from __future__ import annotations

import gzip

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket, named_if_damaged
from imagelake.run.models import Run
from imagelake.run.posts import Post
from imagelake.sources import Feed, Reject, Source
from imagelake.web.messages import Response


def read_pages(
    source: Source, feed: Feed, feed_id: str, run: Run, pages: int, bucket: Bucket
) -> tuple[list[Post], list[Reject]]:
    """Read all posts of the run's pages, each post once and in the order of the listing, and all rejects."""
    posts: dict[tuple[str, str], Post] = {}
    rejects: list[Reject] = []
    for number in range(pages):
        key = object_keys.raw_page(run, source.name, feed_id, number)
        body, version = bucket.get_with_version(key)
        with named_if_damaged(key):
            text = gzip.decompress(body)
            if not body:
                raise ValueError("it is empty")
        status, url = int(version.metadata["status"]), version.metadata["url"]
        page = source.parse(feed, Response(status, {}, text, url))
        for post in page.posts:
            # A stream has posts of many networks, and two networks may use the same post id.
            posts.setdefault((post.author_id, post.post_id), post)
        rejects += page.rejects
    return list(posts.values()), rejects
