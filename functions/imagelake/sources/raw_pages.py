"""Raw pages: a response as it is stored, and a response without the posts on the suppression list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from imagelake.lake.suppression import SuppressionList
from imagelake.run.errors import SourceChangedError
from imagelake.run.posts import Post
from imagelake.sources.contract import Feed, Page, Reject, Source
from imagelake.web.messages import Response


def stored_response(body: bytes, metadata: Mapping[str, str]) -> Response | None:
    """Return the response of a raw page from its body and metadata; ``None`` if nothing of it is stored.

    Nothing is stored of a page if all its posts are on the suppression list.
    """
    if not body:
        return None
    # Pages of earlier versions have no type.
    headers = {name: metadata[name] for name in ("content-type",) if name in metadata}
    return Response(int(metadata["status"]), headers, body, metadata["url"])


def remove_suppressed(
    source: Source, feed: Feed, response: Response, page: Page, listed: SuppressionList
) -> tuple[Response, list[Post | Reject]]:
    """Return the response without the posts on the list, and these posts.

    A page of which nothing is left has neither a body nor a URL, which can name an author too. If other posts would
    change, raises ``SourceChangedError``.
    """

    def is_removed(entry: Post | Reject) -> bool:
        return listed.covers(source.name, entry)

    if not listed.hashes:
        return response, []
    removed = [entry for entry in page.entries if is_removed(entry)]
    if len(removed) == len(page.entries):
        # Without any entry, this is the page of a lookup, and it describes the account.
        return emptied(response), removed
    if not removed:
        return response, []
    smaller = replace(response, body=source.without(feed, response, is_removed))
    after = source.parse(feed, smaller)
    kept = [post for post in page.posts if not is_removed(post)]
    if any(map(is_removed, after.entries)) or [post for post in kept if post not in after.posts]:
        raise SourceChangedError(f"{feed.name}: posts on the suppression list cannot be removed from a page")
    return smaller, removed


def emptied(response: Response) -> Response:
    """Return a response of which nothing is left but its status."""
    return Response(response.status, {}, b"", "")
