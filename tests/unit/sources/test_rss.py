"""RSS, Atom and JSON feeds: requests, bookmarks, pages, and one whole post of each format."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagelake.run.errors import (
    BadFeedError,
    CredentialsError,
    FeedNotFoundError,
    FeedNotPermittedError,
    ImagelakeError,
    RateLimitedError,
    SourceChangedError,
    SourceUnavailableError,
)
from imagelake.run.posts import Media, Post
from imagelake.sources import Bookmark, Feed, Page, parse_feed
from imagelake.web.messages import Response
from tests.support.feed_bodies import (
    ENCLOSURE,
    FEED,
    SOURCE,
    URL,
    WHEN,
    atom,
    item,
    json_feed,
    json_item,
    only,
    page,
    response,
    rss,
)
from tests.support.json_mutations import FIXED
from tests.support.page_properties import PageProperties


def test_request_when_new_is_for_the_url_alone() -> None:
    request = SOURCE.request(FEED, None, None)
    assert (request.url, request.params, list(request.headers)) == (URL, {}, ["accept"])


@pytest.mark.parametrize(
    "feed",
    [
        Feed(source="rss", account="site.example/feed.xml"),
        Feed(source="rss", account="ftp://site.example/feed.xml"),
        Feed(source="rss", account="https://me:secret@site.example/feed.xml"),
        Feed(source="rss", account="https://[site/feed.xml"),
        Feed(source="rss", account="https:///feed.xml"),
        Feed(source="rss", server="site.example", account="feed.xml"),
        Feed(source="rss", hashtag="cats"),
    ],
)
def test_request_when_the_url_is_none_is_refused(feed: Feed) -> None:
    with pytest.raises(BadFeedError, match="URL") as caught:
        SOURCE.request(feed, None, None)
    assert "secret" not in str(caught.value)


def test_bookmark_when_the_server_names_a_version_asks_for_another_one() -> None:
    result = page(rss(item()), etag='W/"v1"', last_modified="Wed, 30 Sep 2026 10:00:00 GMT")
    headers = SOURCE.request(FEED, result.newest, None).headers
    assert headers["if-none-match"] == 'W/"v1"'
    assert headers["if-modified-since"] == "Wed, 30 Sep 2026 10:00:00 GMT"
    assert result.newest is not None
    assert result.newest.newest_at == datetime(2026, 9, 30, 9, tzinfo=UTC)
    assert "if-none-match" not in SOURCE.request(FEED, result.newest, URL + "?page=2").headers


@pytest.mark.parametrize("newest_id", ["", "guid-1", "[]", "7", '{"other": "x"}', "{}"])
def test_bookmark_when_it_holds_no_version_asks_for_the_feed(newest_id: str) -> None:
    bookmark = Bookmark(newest_id=newest_id, newest_at=datetime(2026, 9, 30, tzinfo=UTC))
    assert list(SOURCE.request(FEED, bookmark, None).headers) == ["accept"]


def test_bookmark_when_of_an_older_page_holds_no_version() -> None:
    result = SOURCE.parse(FEED, response(rss(item()), url=f"{URL}?paged=2", etag='"v1"'))
    assert result.newest is not None
    assert result.newest.newest_id == "{}"


def test_bookmark_when_a_version_is_endless_or_odd_leaves_it_out() -> None:
    result = page(rss(item()), etag="x" * 5000, last_modified="ä")
    assert result.newest is not None
    assert result.newest.newest_id == "{}"


@pytest.mark.parametrize("url", ["https://site.example:x/", "https://[x", "x"])
def test_parse_when_the_url_is_none_raises_only_imagelake_errors(url: str) -> None:
    result = SOURCE.parse(
        Feed(source="rss", account=url), response(rss(item(), about='<atom:link rel="next" href="2"/>'))
    )
    assert len(result.posts) + len(result.rejects) == 1


def test_bookmark_when_an_entry_is_of_the_future_stays_in_the_present() -> None:
    late = item(when="<pubDate>Fri, 01 Jan 2100 00:00:00 GMT</pubDate>")
    result = page(rss(late), date="Thu, 01 Oct 2026 12:00:00 GMT")
    assert result.newest is not None
    assert result.newest.newest_at == datetime(2026, 10, 1, 12, tzinfo=UTC)
    assert result.posts[0].posted_at.year == 2100


def test_feed_when_not_changed_is_an_empty_page() -> None:
    assert SOURCE.parse(FEED, response(b"", 304)) == Page([], [], None)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_feed_when_moved_names_the_new_url(status: int) -> None:
    with pytest.raises(BadFeedError, match=rf"has moved \(HTTP {status}\)") as caught:
        SOURCE.parse(FEED, response(b"", status, location="https://new.example/feed?token=x"))
    assert caught.value.__notes__ == ["the new URL is 'https://new.example/feed'"]
    assert "new.example" not in str(caught.value)
    with pytest.raises(BadFeedError, match="moved"):
        SOURCE.parse(FEED, response(b"", status, location="http://[x"))


def test_rss_when_full_is_read_whole() -> None:
    post = only(
        rss(
            item(
                f"{ENCLOSURE}<title>A &amp;amp; B</title><link>/post/1</link>"
                "<description>&lt;p&gt;one&lt;/p&gt;two</description>"
                "<dc:creator>Jane Doe</dc:creator><category>cats</category><category>#dogs</category>"
                "<cc:license>https://creativecommons.org/licenses/by/4.0/</cc:license>"
            )
        )
    )
    (media,) = post.media
    assert post == Post(
        post_id="1",
        author_id="site.example/Jane Doe",
        author_name="Jane Doe",
        permalink="https://site.example/post/1",
        posted_at=datetime(2026, 9, 30, 9, tzinfo=UTC),
        text="A & B\n\none\n\ntwo",
        tags=["cats", "dogs"],
        license="https://creativecommons.org/licenses/by/4.0/",
        media=[media],
    )
    assert re.fullmatch(r"rss/[0-9a-f]{40}", media.media_id)
    assert media == Media(media_id=media.media_id, index=0, kind="image", url="https://site.example/img/1.jpg")


def test_atom_when_full_is_read_whole() -> None:
    post = only(
        atom(
            '<title type="html">A &amp;lt; B</title><link rel="self" href="/self"/><link href="post/1"/>'
            "<published>2026-09-29T09:00:00.5+00:00</published><author><name>Jane</name><uri>/jane</uri></author>"
            '<content type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml"><p>one</p><p>two<br/>three</p></div></content>'
            '<category term="cats" label="Cats"/><link rel="license" href="/license"/>'
            '<link rel="enclosure" type="image/png" href="img/1"/>',
            attributes='xml:base="https://cdn.example/a/"',
        )
    )
    assert post.post_id == "1"
    assert (post.author_id, post.author_name) == ("https://cdn.example/jane", "Jane")
    assert post.permalink == "https://cdn.example/a/post/1"
    assert post.posted_at == datetime(2026, 9, 29, 9, 0, 0, 500000, tzinfo=UTC)
    assert post.text == "A < B\n\none\n\ntwo\nthree"
    assert (post.tags, post.license) == (["cats"], "https://cdn.example/license")
    assert [media.url for media in post.media] == ["https://cdn.example/a/img/1"]


def test_json_feed_when_full_is_read_whole() -> None:
    body = json_feed(
        json_item(
            id=1,
            url="/post/1",
            title="A < B",
            content_html="<p>one</p>two",
            image="img/1.jpg",
            banner_image="banner.jpg",
            tags=["cats"],
            authors=[{"name": "Jane", "url": "/jane"}],
            attachments=[
                {"url": "img/1.jpg", "mime_type": "image/jpeg"},
                {"url": "a.mp3", "mime_type": "audio/mpeg", "size_in_bytes": 9},
            ],
        ),
    )
    post = only(body)
    assert (post.post_id, post.permalink, post.text) == ("1", "https://site.example/post/1", "A < B\n\none\n\ntwo")
    assert (post.author_id, post.author_name) == ("https://site.example/jane", "Jane")
    assert [(media.kind, media.url) for media in post.media] == [
        ("image", "https://site.example/blog/img/1.jpg"),
        ("audio", "https://site.example/blog/a.mp3"),
    ]


def test_rss_1_when_read_gives_its_items() -> None:
    body = (
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/"><channel><title>T</title></channel>'
        "<item><title>A</title><link>https://site.example/1</link><dc:date>2026-09-30</dc:date></item></rdf:RDF>"
    )
    post = only(body)
    assert (post.post_id, post.posted_at) == ("https://site.example/1", datetime(2026, 9, 30, tzinfo=UTC))


def test_media_id_when_read_again_is_the_same_and_differs_by_feed() -> None:
    first, again = only(rss(item())), only(rss(item(), about="<copyright>c</copyright>"))
    other = SOURCE.parse(Feed.of({"source": "rss", "account": URL + "?2"}), response(rss(item()))).posts[0]
    assert first.media[0].media_id == again.media[0].media_id != other.media[0].media_id


# https://www.rfc-editor.org/rfc/rfc4287#section-4.2.7.2
IANA = "http://www.iana.org/assignments/relation/"


def test_relations_of_an_entry_may_be_iris() -> None:
    links = "".join(
        f'<link rel="{IANA}{name}" href="/{name}" type="image/png"/>' for name in ("alternate", "enclosure", "license")
    )
    post = only(atom(links))
    assert (post.permalink, post.license) == ("https://site.example/alternate", "https://site.example/license")
    assert [media.url for media in post.media] == ["https://site.example/enclosure"]


@pytest.mark.parametrize(
    ("body", "following"),
    [
        (json_feed(next_url="/feed?page=2"), "https://site.example/feed?page=2"),
        (atom("", about='<link rel="next" href="feed.xml?page=2"/>'), f"{URL}?page=2"),
        (atom("", '<link rel="next" href="2"/>', 'xml:base="/a/"'), "https://site.example/a/2"),
        (rss(about='<atom:link rel="next" href="https://SITE.example/2"/>'), "https://SITE.example/2"),
        # Archived feeds: https://www.rfc-editor.org/rfc/rfc5005#section-4
        (atom("", '<link rel="prev-archive" href="2025.xml"/>'), "https://site.example/blog/2025.xml"),
        (rss(about='<atom:link rel="prev-archive" href="/2025"/>'), "https://site.example/2025"),
        (
            rss(about='<atom:link rel="prev-archive" href="/a"/><atom:link rel="next" href="/2"/>'),
            "https://site.example/2",
        ),
        (rss(about='<atom:link rel="next-archive" href="/2025"/><atom:link rel="current" href="/3"/>'), None),
        (rss(about='<atom:link rel="previous" href="/2025"/>'), None),
        # A relation is its name or its IRI: https://www.rfc-editor.org/rfc/rfc4287#section-4.2.7.2
        (atom("", f'<link rel="{IANA}next" href="/2"/>'), "https://site.example/2"),
        (rss(about=f'<atom:link rel="{IANA}prev-archive" href="/2"/>'), "https://site.example/2"),
        # https://www.rfc-editor.org/rfc/rfc8288#section-2.1.1
        (rss(about='<atom:link rel="Next" href="/2"/>'), "https://site.example/2"),
        (rss(about='<atom:link rel="http://other.example/next" href="/2"/>'), None),
        (rss(about='<atom:link rel="prev-archive" href="https://evil.example/2"/>'), None),
        (rss(about='<atom:link rel="next" href="https://evil.example/2"/>'), None),
        (rss(about='<atom:link rel="next" href="http://site.example/2"/>'), "https://site.example/2"),
        (rss(about='<atom:link rel="next" href="https://site.example:443/2"/>'), "https://site.example:443/2"),
        (rss(about='<atom:link rel="next" href="http://site.example:443/2?a=1"/>'), "https://site.example/2?a=1"),
        (atom("", about='<link rel="next" href="http://Site.Example:80/2"/>'), "https://site.example/2"),
        (json_feed(next_url="https://site.example:80/2"), "https://site.example/2"),
        (json_feed(next_url="//site.example:443/2"), "https://site.example:443/2"),
        (json_feed(next_url=URL.replace("https:", "http:")), None),
        (json_feed(next_url="https://site.example:8443/2"), None),
        (rss(about=f'<atom:link rel="next" href="{URL}"/>'), None),
        (rss(about='<atom:link rel="next" href="http://[x"/>'), None),
        (rss(about=f'<atom:link rel="next" href="?{"a" * 1_900}"/>'), None),
        (json_feed(next_url="?" + "a" * 1_900), None),
        (json_feed(next_url=7), None),
        (rss(), None),
    ],
)
def test_cursor_when_the_feed_has_pages_stays_on_its_site(body: str, following: str | None) -> None:
    cursor = page(body).cursor
    assert cursor == following
    if cursor is not None:
        assert SOURCE.request(FEED, None, cursor).url == cursor


@pytest.mark.parametrize(
    ("url", "following", "cursor"),
    [
        ("http://site.example/feed", "https://site.example/2", "https://site.example/2"),
        ("http://site.example/feed", "http://site.example:443/2", "http://site.example/2"),
        ("https://site.example:8443/feed", "http://site.example:8443/2", "https://site.example:8443/2"),
        ("https://straße.example/feed", "http://xn--strae-oqa.example/2", "https://xn--strae-oqa.example/2"),
    ],
)
def test_next_page_is_on_the_same_site_if_only_scheme_or_default_port_differ(
    url: str, following: str, cursor: str | None
) -> None:
    """RFC 6454 compares origins by their parts; RFC 9110, section 4.2.3, makes the default port and case equivalent."""
    feed = Feed.of({"source": "rss", "account": url})
    assert SOURCE.parse(feed, replace(response(json_feed(next_url=following)), url=url)).cursor == cursor


@pytest.mark.parametrize(
    ("following", "reason"),
    [
        ("https://evil.example/2", "the next page is on another site, https://evil.example"),
        ("http://site.example:8080/2", "the next page is on another site, http://site.example:8080"),
        ("https://www.site.example/2", "the next page is on another site, https://www.site.example"),
        ("http://[x", "the URL of the next page is not valid"),
        ("ftp://site.example/2", "the URL of the next page is not valid"),
        (f"?{'a' * 1_900}", "the URL of the next page is longer than 1,900 characters"),
    ],
)
def test_next_page_that_is_not_read_is_a_reject(following: str, reason: str) -> None:
    result = page(json_feed(json_item(), next_url=following))
    assert (len(result.posts), result.cursor) == (1, None)
    assert [reject.reason for reject in result.rejects] == [f"older entries are not read: {reason}"]


def test_feed_when_moved_to_another_port_names_it() -> None:
    moved = Response(301, {"location": "https://site.example:8443/feed.xml"}, b"", URL)
    with pytest.raises(BadFeedError, match=r"has moved \(HTTP 301\)") as caught:
        SOURCE.parse(FEED, moved)
    assert caught.value.__notes__ == ["the new URL is 'https://site.example:8443/feed.xml'"]


@pytest.mark.parametrize("content_type", ["text/html", "text/plain; charset=utf-16", "application/octet-stream", ""])
@pytest.mark.parametrize("body", [rss(item()), json_feed(json_item())])
def test_feed_when_called_something_else_is_read(body: str, content_type: str) -> None:
    assert len(page(body, content_type=content_type).posts) == 1


@pytest.mark.slow
def test_functions_when_imported_do_not_load_feedparser() -> None:
    code = "import sys, fetch.app, validate.app; sys.exit('feedparser' in sys.modules)"
    functions = Path(__file__).parents[3] / "functions"
    subprocess.run([sys.executable, "-c", code], cwd=functions, check=True)


@pytest.mark.parametrize(
    "body",
    [
        f'<rss version="0.91"><channel><item><link>/1</link>{WHEN}</item></channel></rss>',
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
        'xmlns="http://my.netscape.com/rdf/simple/0.9/" xmlns:dc="http://purl.org/dc/elements/1.1/"><channel/><item>'
        "<link>/1</link><dc:date>2026-09-30</dc:date></item></rdf:RDF>",
        '<feed version="0.3" xmlns="http://purl.org/atom/ns#"><entry><link rel="alternate" type="text/html" href="/1"/>'
        "<issued>2026-09-30T09:00:00Z</issued></entry></feed>",
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/"><channel/><item rdf:about="https://site.example/1">'
        "<link>https://site.example/1?from=feed</link><dc:date>2026-09-30</dc:date></item></rdf:RDF>",
    ],
)
def test_feed_when_of_an_older_version_is_read(body: str) -> None:
    post = only(body)
    assert (post.post_id, post.posted_at.date().isoformat()) == ("https://site.example/1", "2026-09-30")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, CredentialsError),
        (403, FeedNotPermittedError),
        (404, FeedNotFoundError),
        (410, FeedNotFoundError),
        (418, SourceChangedError),
        (429, RateLimitedError),
        (503, SourceUnavailableError),
    ],
)
def test_response_when_refused_raises_its_error(status: int, kind: type[ImagelakeError]) -> None:
    with pytest.raises(kind) as caught:
        SOURCE.parse(FEED, response(rss(item()), status))
    assert type(caught.value) is kind


FRAGMENTS = st.sampled_from(
    [*"<>&;/\"'= \x00", "<rss>", "<channel>", "<item>", "</", "<![CDATA[", "]]>", "<!DOCTYPE", "<!ENTITY x", "<?xml",
     "&#0;", "&amp;", "xml:base='http://['", "encoding='punycode'",
     '{"version": "https://jsonfeed.org/version/1", "items": [', "{}", "]}"]
)  # fmt: skip


@FIXED
@given(
    st.binary() | st.lists(FRAGMENTS).map(lambda parts: "".join(parts).encode()),
    st.sampled_from([200, 200, 200, 302, 304, 404, 429]),
    st.text(),
)
def test_parse_when_bytes_are_arbitrary_raises_only_imagelake_errors(body: bytes, status: int, head: str) -> None:
    try:
        result = SOURCE.parse(FEED, response(body, status, etag=head, date=head, location=head, retry_after=head))
    except ImagelakeError:
        return
    assert result.posts == []


class TestJsonPage(PageProperties):
    source, feed, url = SOURCE, FEED, URL
    good = [json_item(id="a"), json_item(id="z", image="/z.jpg")]
    full = [
        json_item(
            id="bad",
            url="/1",
            title="t",
            content_html="<p>x</p>",
            image="/1.jpg",
            authors=[{"name": "J", "url": "/j"}],
            tags=["a"],
            attachments=[{"url": "/2.jpg", "mime_type": "image/jpeg"}],
        )
    ]
    required = ["id", "date_published", "attachments"]
    image_fields = ["image", "attachments.*"]
    garbage_can_be_empty = True

    def body(self, entries: list[Any]) -> Any:
        version = "https://jsonfeed.org/version/1.1"
        return {"version": version, "title": "T", "items": entries, "authors": [{"name": "J"}], "next_url": "/2"}


@pytest.mark.parametrize("url", [URL, "https://social.example/@alice.rss", "http://127.0.0.1:8000/feed?tag=a"])
def test_feed_when_in_short_form_keeps_its_url_whole(url: str) -> None:
    feed = parse_feed(f"rss:{url}")
    assert (feed.account, feed.server, feed.hashtag, feed.name) == (url, None, None, f"rss:{url}")


def test_bookmark_holds_the_longest_version() -> None:
    result = SOURCE.parse(FEED, response(rss(item()), etag='"' * 512, last_modified="\\" * 512))
    assert result.newest
    assert SOURCE.request(FEED, result.newest, None).headers["if-none-match"] == '"' * 512


def test_older_entries_behind_a_long_url_are_a_reject_and_the_page_is_read() -> None:
    result = page(rss(item(), about=f'<atom:link rel="next" href="?{"a" * 2_130}"/>'))
    assert ([post.post_id for post in result.posts], result.cursor) == (["1"], None)
    assert [reject.reason for reject in result.rejects] == [
        "older entries are not read: the URL of the next page is longer than 1,900 characters"
    ]
