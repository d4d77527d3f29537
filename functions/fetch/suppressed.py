"""Remove the posts on the suppression list from a page before it is stored."""

from __future__ import annotations

from dataclasses import replace

from imagelake.lake.suppression import SuppressionList
from imagelake.run.errors import SourceChangedError
from imagelake.run.posts import Post
from imagelake.sources import Feed, Page, Reject, Source
from imagelake.web.messages import Response


def remove_suppressed(
    source: Source, feed: Feed, response: Response, page: Page, listed: SuppressionList
) -> tuple[Response, int]:
    """Return the response without the posts on the list, and their number.

    A page of which nothing is left has neither a body nor a URL, which can name an author too. If other posts would
    change, raises ``SourceChangedError``, and nothing is stored.
    """

    def is_removed(entry: Post | Reject) -> bool:
        return listed.covers(source.name, entry)

    if not listed.hashes:
        return response, 0
    removed = sum(map(is_removed, page.entries))
    if removed == len(page.entries):
        # Without any entry, this is the page of a lookup, and it describes the account.
        return Response(response.status, {}, b"", ""), removed
    if not removed:
        return response, 0
    smaller = replace(response, body=source.without(feed, response, is_removed))
    after = source.parse(feed, smaller)
    kept = [post for post in page.posts if not is_removed(post)]
    if any(map(is_removed, after.entries)) or [post for post in kept if post not in after.posts]:
        raise SourceChangedError(f"{feed.name}: posts on the suppression list cannot be removed from a page")
    return smaller, removed
