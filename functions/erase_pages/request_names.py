"""The ids of a request, to look for them in what cannot be parsed: the suppression list has only hashes."""

from __future__ import annotations

import json
import re

from imagelake.run.erasure_models import Selection


class RequestNames:
    """The ids of authors, posts and media items that a request names of one network."""

    def __init__(self, selection: Selection, source: str) -> None:
        self.authors = {author.author_id for author in selection.authors if author.source == source}
        ids = self.authors | {post.post_id for post in selection.posts if post.source == source}
        # A media id begins with its network, and the page has the rest.
        ids |= {media_id.partition("/")[2] or media_id for media_id in selection.media_ids}
        words = "|".join(map(re.escape, sorted(ids, key=len, reverse=True)))
        self._pattern = re.compile(rf"(?<!\w)(?:{words})(?!\w)") if ids else None

    def are_in(self, data: bytes) -> bool:
        """Tell if one of the ids is a word of a text in any encoding, also behind the escapes of JSON."""
        return self._pattern is not None and self._pattern.search(_text(data)) is not None


def _text(data: bytes) -> str:
    try:
        return json.dumps(json.loads(data), ensure_ascii=False)
    except (ValueError, RecursionError):
        # UTF-16 has a NUL beside each letter of ASCII.
        return data.replace(b"\0", b"").decode("utf-8", "replace").replace("\\/", "/")
