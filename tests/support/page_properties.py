"""Tests that hold for the pages of every network."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any, NamedTuple
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagelake.run.errors import ImagelakeError, SourceChangedError
from imagelake.run.posts import Media, Post
from imagelake.sources import Bookmark, Feed, Page, Reject, Source
from imagelake.web.messages import Request, Response
from tests.support.json_mutations import FIXED, changed, damaged, paths, rendered

# Hypothesis warns of tests that classes share, because their data must not differ; here they are meant to.
PROPERTY = settings(FIXED, suppress_health_check=[HealthCheck.differing_executors])
# Headers that some adapter reads.
HEADERS = [
    "date", "etag", "link", "location", "ratelimit-remaining", "ratelimit-reset", "retry-after", "x-app-usage",
    "x-business-use-case-usage", "x-rate-limit-remaining", "x-rate-limit-reset", "x-ratelimit-remaining",
    "x-ratelimit-reset",
]  # fmt: skip
STATUSES = [200, 200, 200, 200, 302, 304, 400, 401, 402, 403, 404, 410, 429, 500, 503]

# Values that a network may send in place of any other: https://json-schema.org/draft/2020-12/json-schema-core#section-4.2.1
ODD: list[Any] = [None, {}, [], "", "x", 7, 1.5]


class Asked(NamedTuple):
    """A request, by its feed and URL, and the JSON of a good response."""

    feed: Feed
    url: str
    body: Any


class PageProperties:
    """Base of a class ``Test...`` in the test file of a network, which sets the attributes and overrides ``body``."""

    source: Source
    feed: Feed
    # The URL of a page with entries.
    url: str
    # Entries that become posts, from new to old.
    good: list[Any]
    # Entries with every part that the adapter reads; the tests damage one part of them.
    full: list[Any]
    # Fields, as patterns of their paths, of which an odd value rejects the entry: they identify the post, or they say
    # which images it has or if it may be kept.
    required: list[str] = []
    # Fields of which an odd value costs one image, which is then skipped: they identify it.
    image_fields: list[str] = []
    # Responses that have no entries, e.g. of a lookup, or that have them at another URL.
    others: list[Asked] = []
    # Headers of a page, if one of them leads to the next page.
    headers: dict[str, str] = {}
    # The error that a damaged page may raise.
    damage_raises: type[ImagelakeError] = ImagelakeError
    # True if bytes that are no page can be a page without posts, e.g. with the status 304.
    garbage_can_be_empty = False

    def body(self, entries: list[Any]) -> Any:
        """Return the JSON of a page with these entries."""
        raise NotImplementedError

    def answer(self, request: Request) -> Response:
        """Answer as the network does if its feed has the entries ``good``; here, all are on one page, newest first.

        If ``newest_first`` is false, override it: answer as the network's documentation says.
        """
        return self._response(self.good)

    @PROPERTY
    @given(
        data=st.data(),
        body=st.binary(),
        status=st.sampled_from(STATUSES),
        headers=st.dictionaries(st.sampled_from(["content-type", *HEADERS]), st.text()),
    )
    def test_arbitrary_bytes_raise_only_imagelake_errors(
        self, data: st.DataObject, body: bytes, status: int, headers: dict[str, str]
    ) -> None:
        asked = data.draw(st.sampled_from(self._responses))
        try:
            page = self.source.parse(asked.feed, Response(status, headers, body, asked.url))
        except ImagelakeError:
            return
        assert self.garbage_can_be_empty
        assert (page.posts, page.rejects) == ([], [])

    @PROPERTY
    @given(data=st.data())
    def test_damaged_entry_keeps_the_others(self, data: st.DataObject) -> None:
        bad = data.draw(self._damaged_entries)
        place = data.draw(st.integers(0, len(self.good)))
        page = self._page([*self.good[:place], bad, *self.good[place:]])
        assert [post for post in self._good_page.posts if post not in page.posts] == []
        assert len(page.posts) + len(page.rejects) == len(self.good) + 1
        for reject in page.rejects:
            assert reject.reason
            json.dumps(reject.raw, ensure_ascii=False, allow_nan=False).encode()
        for post in page.posts:
            post.model_dump_json().encode()

    @PROPERTY
    @given(data=st.data())
    def test_damaged_page_raises_only_imagelake_errors(self, data: st.DataObject) -> None:
        asked = data.draw(st.sampled_from(self._responses))
        text = rendered(data.draw(damaged(asked.body)))
        headers = {"content-type": "application/json"} | dict.fromkeys(HEADERS, text)
        with suppress(self.damage_raises):
            page = self.source.parse(asked.feed, Response(200, headers, text.encode(), asked.url))
            if page.cursor is not None:
                self.source.request(asked.feed, None, page.cursor)

    @PROPERTY
    @given(data=st.data())
    def test_removed_entries_leave_the_others_as_they_were(self, data: st.DataObject) -> None:
        bad = data.draw(st.lists(self._damaged_entries, max_size=2))
        entries = data.draw(st.permutations([*self.good, *bad]))
        before = self._page(entries)
        gone = data.draw(st.sets(st.sampled_from([entry.post_id for entry in before.entries])))

        def is_removed(entry: Post | Reject) -> bool:
            return entry.post_id in gone

        response = self._response(entries)
        body = self.source.without(self.feed, response, is_removed)
        after = self.source.parse(self.feed, replace(response, body=body))
        assert after.posts == [post for post in before.posts if post.post_id not in gone]
        assert after.rejects == [reject for reject in before.rejects if reject.post_id not in gone]
        assert after.cursor == before.cursor

    def test_odd_optional_field_keeps_the_post_and_its_images(self) -> None:
        for entry in self.full:
            media = [item for post in self._page([entry]).posts for item in post.media]
            for path in paths(entry) if media else ():
                name = ".".join(map(str, path))
                for odd in ODD:
                    page = self._page([changed(entry, path, odd)])
                    self._check_odd(page, media, name, odd)

    def _check_odd(self, page: Page, before: list[Media], name: str, odd: Any) -> None:
        if _matches(name, self.required):
            return
        assert page.rejects == [], (name, odd)
        after = {item.media_id: item for item in page.posts[0].media}
        lost = [item for item in before if item.kind == "image" and not _is_collected(after.get(item.media_id))]
        assert not lost or _matches(name, self.image_fields), (name, odd)
        # Those that are lost are still there, to be skipped.
        assert len(after) >= len(before) or _matches(name, self.image_fields), (name, odd)

    def test_good_entries_become_posts(self) -> None:
        assert (len(self._good_page.posts), self._good_page.rejects) == (len(self.good), [])

    def test_page_of_rejects_leads_to_the_next_page(self) -> None:
        page = self._page([None])
        assert (page.posts, len(page.rejects), page.cursor) == ([], 1, self._good_page.cursor)

    def test_page_with_too_many_entries_is_refused(self) -> None:
        with patch("imagelake.sources.wire.MAX_ENTRIES", 3):
            assert len(self._page([None] * 3).rejects) == 3
            with pytest.raises(SourceChangedError, match="the page has 4 entries, more than 3"):
                self._page([None] * 4)

    def test_run_with_a_bookmark_reads_in_the_direction_of_newest_first(self) -> None:
        """If it reads in the other one and ends at its limit, the bookmark moves past posts that it has not read."""
        *new, known = [self._page([entry]).posts[0].post_id for entry in self.good]
        bookmark = self._page(self.good[-1:]).newest
        read = [post_id for post_id in self._read(bookmark) if post_id != known]
        assert read == (new if self.source.newest_first else new[::-1]), "see newest_first in CONTRIBUTING.md"

    def _read(self, bookmark: Bookmark | None) -> list[str]:
        """Return the ids of the posts that one run reads, page by page, with the smallest pages."""
        feed, cursor, read = self.feed.model_copy(update={"limit": 1}), None, list[str]()
        for _ in range(2 * len(self.good) + 2):
            page = self.source.parse(feed, self.answer(self.source.request(feed, bookmark, cursor)))
            read += [post.post_id for post in page.posts if post.post_id not in read]
            cursor = page.cursor
            if cursor is None:
                break
        return read

    def _page(self, entries: list[Any]) -> Page:
        return self.source.parse(self.feed, self._response(entries))

    def _response(self, entries: list[Any]) -> Response:
        headers = {"content-type": "application/json", **self.headers}
        return Response(200, headers, rendered(self.body(entries)).encode(), self.url)

    @cached_property
    def _good_page(self) -> Page:
        return self._page(self.good)

    @cached_property
    def _damaged_entries(self) -> st.SearchStrategy[Any]:
        return st.one_of(*map(damaged, self.full))

    @cached_property
    def _responses(self) -> list[Asked]:
        return [Asked(self.feed, self.url, self.body(self.good[:1])), *self.others]


def _matches(name: str, patterns: list[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _is_collected(media: Media | None) -> bool:
    return media is not None and media.kind == "image" and media.url is not None and media.skip_reason is None
