from __future__ import annotations

import json
import re
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

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
from imagelake.sources import Bookmark, Feed, Page, get_source
from imagelake.web.messages import Response
from tests.support.json_mutations import FIXED, rendered
from tests.support.page_properties import PageProperties

SOURCE = get_source("rss")
URL = "https://site.example/blog/feed.xml"
FEED = Feed(source="rss", account=URL)
NAMESPACES = (
    'xmlns:media="http://search.yahoo.com/mrss/" xmlns:dc="http://purl.org/dc/elements/1.1/" '
    'xmlns:content="http://purl.org/rss/1.0/modules/content/" xmlns:atom="http://www.w3.org/2005/Atom" '
    'xmlns:cc="http://backend.userland.com/creativeCommonsRssModule"'
)
WHEN = "<pubDate>Wed, 30 Sep 2026 11:00:00 +0200</pubDate>"
ENCLOSURE = '<enclosure url="/img/1.jpg" type="image/jpeg" length="9"/>'


def rss(*items: str, about: str = "") -> str:
    channel = f"<channel><title>T</title>{about}{''.join(items)}</channel>"
    return f'<?xml version="1.0"?><rss version="2.0" {NAMESPACES}>{channel}</rss>'


def item(inside: str = ENCLOSURE, guid: str = "1", when: str = WHEN) -> str:
    return f"<item><guid>{guid}</guid>{when}{inside}</item>"


def atom(inside: str, about: str = "", attributes: str = "") -> str:
    entry = f"<entry><id>1</id><updated>2026-09-30T09:00:00Z</updated>{inside}</entry>"
    return f'<feed xmlns="http://www.w3.org/2005/Atom" {attributes}>{about}{entry}</feed>'


def json_item(**more: Any) -> dict[str, Any]:
    return {"id": "1", "date_published": "2026-09-30T11:00:00+02:00", **more}


def json_feed(*items: Any, **more: Any) -> str:
    return rendered({"version": "https://jsonfeed.org/version/1.1", "title": "T", "items": list(items), **more})


def response(body: str | bytes, status: int = 200, url: str = URL, **headers: str) -> Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, names, body if isinstance(body, bytes) else body.encode(), url)


def page(body: str | bytes, **headers: Any) -> Page:
    return SOURCE.parse(FEED, response(body, **headers))


def only(body: str | bytes) -> Post:
    result = page(body)
    assert result.rejects == []
    (post,) = result.posts
    return post


def images(body: str) -> list[tuple[str, str | None]]:
    return [(media.kind, media.url) for media in only(body).media]


def refusal(bad: str) -> str:
    """Return the reason of the reject; the good post beside it is read."""
    result = page(rss(bad, item(guid="good")))
    assert [post.post_id for post in result.posts] == ["good"]
    (reject,) = result.rejects
    json.dumps(reject.raw)
    return reject.reason


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
    with pytest.raises(BadFeedError, match=r"has moved .*'https://new\.example/feed'"):
        SOURCE.parse(FEED, response(b"", status, location="https://new.example/feed?token=x"))
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


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        ('<media:content url="/a" medium="image" width="4" height="3"/>', [("image", "/a")]),
        (
            '<media:content url="/a.webp"/><media:content url="/b" type="video/mp4"/>',
            [("image", "/a.webp"), ("video", "/b")],
        ),
        ('<media:content url="/a.png"/><enclosure url="/a.png" type="image/png"/>', [("image", "/a.png")]),
        (
            '<media:group><media:content url="/s.jpg" width="10" height="10"/><media:content url="/l.jpg" width="20" '
            'height="20"/><media:content url="/v.mp4" width="99" height="99"/></media:group>',
            [("image", "/l.jpg")],
        ),
        (
            '<media:group><media:content url="/s.jpg" isDefault="true"/><media:content url="/l.jpg" width="20"/>'
            "</media:group>",
            [("image", "/s.jpg")],
        ),
        ('<media:thumbnail url="/t.jpg"/><media:content url="/a.jpg"/>', [("image", "/a.jpg")]),
        ('<media:thumbnail url="/t"/><media:thumbnail url="/u" width="9" height="9"/>', [("image", "/u")]),
        ('<media:content url="/v.mp4"><media:thumbnail url="/t.jpg"/></media:content>', [("video", "/v.mp4")]),
        ('<media:content><media:player url="/p"/></media:content>', [("video", None)]),
        ('<enclosure url="" type="image/png"/>', [("image", None)]),
        ('<enclosure url="/file" type="application/octet-stream"/>', [("unknown", "/file")]),
        ('<enclosure url="/a.jpg?x=1" type=""/>', [("image", "/a.jpg?x=1")]),
        ('<enclosure url="//cdn.example/a.jpg" type="image/jpeg"/>', [("image", "https://cdn.example/a.jpg")]),
        ("<description>&lt;img src='/inline.jpg'&gt;</description>", []),
        ("<media:group/>", []),
    ],
)  # fmt: skip
def test_images_when_attached_in_any_way_are_found(inside: str, expected: list[tuple[str, str | None]]) -> None:
    full = [
        (kind, url and (f"https://site.example{url}" if url[:2] != "//" and url[0] == "/" else url))
        for kind, url in expected
    ]
    assert images(rss(item(inside))) == full


def test_images_when_atom_content_is_out_of_line_are_found() -> None:
    assert images(atom('<content type="image/png" src="a"/>')) == [("image", "https://site.example/blog/a")]


def test_image_when_described_has_text_and_size() -> None:
    body = rss(
        item(
            '<media:content url="/a.jpg" width="640" height="100%">'
            '<media:rating scheme="urn:simple">adult</media:rating>'
            '<media:description type="plain">a &lt;b&gt; cat</media:description></media:content>'
        )
    )
    post = only(body)
    (media,) = post.media
    assert (media.alt_text, media.width, media.height) == ("a <b> cat", 640, None)
    assert post.sensitive


def test_base_when_set_on_the_way_down_is_followed() -> None:
    body = rss(
        f'<item xml:base="b/"><guid>1</guid>{WHEN}<enclosure xml:base="c/" url="d.jpg" type="image/jpeg"/></item>'
    ).replace("<channel>", '<channel xml:base="https://base.example/a/">')
    assert images(body) == [("image", "https://base.example/a/b/c/d.jpg")]


def test_file_when_it_has_a_text_and_a_license_keeps_them_to_itself() -> None:
    of_file = "<media:title>no</media:title><media:description>alt</media:description><media:license>no</media:license>"
    post = only(rss(item(f'<media:content url="/a.jpg">{of_file}</media:content>')))
    assert (post.text, post.license, post.media[0].alt_text) == ("", None, "alt")
    of_entry = '<media:description>M</media:description><media:license href="https://cc.example/by">CC</media:license>'
    post = only(rss(item(f'{of_entry}<media:content url="/a.jpg">{of_file}</media:content>')))
    assert (post.text, post.license, post.media[0].alt_text) == ("M", "https://cc.example/by", "alt")


@pytest.mark.parametrize(
    ("inside", "about", "license"),
    [
        ('<media:copyright url="https://j.example/">(c) J</media:copyright>', "", "(c) J"),
        ('<t:rights xmlns:t="http://purl.org/dc/terms/" t:type="x">R</t:rights>', "", "R"),
        ("<dc:rights>CC BY</dc:rights>", "<copyright>(c) Jane</copyright>", "CC BY"),
        ("", "<copyright>(c) Jane</copyright>", "(c) Jane"),
        ("", "<cc:license>https://cc.example/by</cc:license>", "https://cc.example/by"),
        ("", "", None),
    ],
)
def test_license_when_stated_of_the_entry_or_the_feed(inside: str, about: str, license: str | None) -> None:
    assert only(rss(item(inside), about=about)).license == license


@pytest.mark.parametrize(
    ("author", "expected"),
    [
        ("<author>jane@site.example (Jane Doe)</author>", ("site.example/Jane Doe", "Jane Doe")),
        ("<author>jane@site.photography (Jane Doe)</author>", ("site.example/Jane Doe", "Jane Doe")),
        ("<author>jane@site.example</author><dc:creator>Jane</dc:creator>", ("site.example/Jane", "Jane")),
        ("<author>jane@site.example</author>", ("site.example/jane@site.example", "jane@site.example")),
        ("<author>Jane</author>", ("site.example/Jane", "Jane")),
        ("", ("site.example", None)),
    ],
)
def test_author_when_written_in_any_way_is_named(author: str, expected: tuple[str, str | None]) -> None:
    post = only(rss(item(author)))
    assert (post.author_id, post.author_name) == expected


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("Wed, 30 Sep 2026 09:00:00 GMT", "2026-09-30T09:00:00"),
        ("Wed, 30 Sep 2026 09:00:00 UT", "2026-09-30T09:00:00"),
        ("Wed, 30 Sep 2026 05:00:00 EDT", "2026-09-30T09:00:00"),
        ("30 Sep 26 09:00 +0000", "2026-09-30T09:00:00"),
        ("Wed, 30 Sep 2026 09:00:00 XYZ", "2026-09-30T09:00:00"),
        ("2026-09-30T11:00:00+02:00", "2026-09-30T09:00:00"),
        ("2026-09-30T09:00:00.123456789Z", "2026-09-30T09:00:00.123456"),
        ("2026-09-30 09:00:00", "2026-09-30T09:00:00"),
        ("2026-09-30", "2026-09-30T00:00:00"),
        ("Wed, 30 Sep 2026 11:00:00 +02:00", "2026-09-30T09:00:00"),
        ("Wed, 30 Sep 2026 11:00:00 GMT+02:00", "2026-09-30T09:00:00"),
        ("Wed, 30 Sep 2026 11:00:00 MEST", "2026-09-30T09:00:00"),
        ("Wed, 30 Sept 2026 09:00:00 GMT", "2026-09-30T09:00:00"),
        ("Wed,30 Sep 2026 09:00:00 GMT", "2026-09-30T09:00:00"),
        ("Wed, 30 Sep 2026 09:00:00", "2026-09-30T09:00:00"),
        ("Sep 30, 2026 09:00:00 GMT", "2026-09-30T09:00:00"),
        ("30 Sep 2026", "2026-09-30T00:00:00"),
    ],
)
def test_date_when_written_in_any_way_is_read(text: str, utc: str) -> None:
    post = only(rss(item(when=f"<pubDate>{text}</pubDate>")))
    assert post.posted_at == datetime.fromisoformat(utc).replace(tzinfo=UTC)


def test_date_when_missing_is_the_feeds() -> None:
    post = only(rss(item(when=""), about="<lastBuildDate>Wed, 30 Sep 2026 09:00:00 GMT</lastBuildDate>"))
    assert post.posted_at == datetime(2026, 9, 30, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("bad", "start"),
    [
        (item(when=""), "neither the entry nor the feed has a date"),
        (item(when="<pubDate>le 30 septembre</pubDate>"), "date: not a time"),
        (item(when="<pubDate>12:30</pubDate>"), "date: not a time"),
        (item(when="<pubDate>2026/09/30</pubDate>"), "date: not a time"),
        (item(when="<pubDate>Mon, 01 Jan 0001 00:00:00 GMT</pubDate>"), "date: year 1 "),
        (item(when="<pubDate>Mon, 01 Jan 1900 00:00:00 GMT</pubDate>"), "date: year 1900"),
        (item('<enclosure url="https://[x" type="image/png"/>'), "Invalid IPv6"),
        (item(f'<enclosure url="/{"x" * 9000}" type="image/png"/>'), "a URL is longer"),
        (item(guid="good"), "another entry has the same id"),
    ],
)
def test_entry_when_misshapen_is_a_reject_with_a_reason(bad: str, start: str) -> None:
    result = page(rss(item(guid="good"), bad, item(guid="last")))
    assert [post.post_id for post in result.posts] == ["good", "last"]
    (reject,) = result.rejects
    assert reject.reason.startswith(start)
    json.dumps(reject.raw)


def test_entry_when_it_has_no_guid_is_known_by_its_link_or_by_what_it_says() -> None:
    def read(inside: str) -> Post:
        return only(rss(f"<item>{inside}{WHEN}{ENCLOSURE}</item>"))

    assert read('<guid isPermaLink="false">https://a.example/../1?</guid>').post_id == "https://a.example/../1?"
    assert read('<dc:identifier a="b">urn:x:1</dc:identifier>').post_id == "urn:x:1"
    assert read("<guid>/1</guid>").post_id == "/1"
    assert read("<link>/1</link>").post_id == "https://site.example/1"
    assert read("<title>a</title>").post_id == read("<title>a</title>").post_id != read("<title>b</title>").post_id


def test_media_id_when_read_again_is_the_same_and_differs_by_feed() -> None:
    first, again = only(rss(item())), only(rss(item(), about="<copyright>c</copyright>"))
    other = SOURCE.parse(Feed.of({"source": "rss", "account": URL + "?2"}), response(rss(item()))).posts[0]
    assert first.media[0].media_id == again.media[0].media_id != other.media[0].media_id


@pytest.mark.parametrize(
    ("body", "following"),
    [
        (json_feed(next_url="/feed?page=2"), "https://site.example/feed?page=2"),
        (atom("", about='<link rel="next" href="feed.xml?page=2"/>'), f"{URL}?page=2"),
        (atom("", '<link rel="next" href="2"/>', 'xml:base="/a/"'), "https://site.example/a/2"),
        (rss(about='<atom:link rel="next" href="https://SITE.example/2"/>'), "https://SITE.example/2"),
        (rss(about='<atom:link rel="next" href="https://evil.example/2"/>'), None),
        (rss(about='<atom:link rel="next" href="http://site.example/2"/>'), None),
        (rss(about=f'<atom:link rel="next" href="{URL}"/>'), None),
        (rss(about='<atom:link rel="next" href="http://[x"/>'), None),
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
    ("encoding", "declared"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "UTF-8"),
        ("utf-16", "utf-16"),
        ("utf-16-le", "utf-16"),
        ("utf-16-be", "utf-16"),
        ("utf-8", "utf-16"),
        ("iso-8859-1", "ISO-8859-1"),
        ("windows-1252", None),
        ("utf-8", None),
        ("utf-32", "utf-32"),
        ("latin-1", "latin1"),
        ("windows-1252", "cp1252"),
        ("windows-1252", "utf-8"),
        ("windows-1252", "us-ascii"),
        ("utf-8", "iso-8859-1"),
        ("utf-8", "punycode"),
        ("utf-8", "hex"),
        ("utf-8", "no-such-charset"),
    ],
)
def test_text_when_encoded_in_any_way_is_read(encoding: str, declared: str | None) -> None:
    head = f'<?xml version="1.0"{f" encoding={chr(34)}{declared}{chr(34)}" if declared else ""}?>'
    body = rss(item("<title>Kätzchen</title>")).replace('<?xml version="1.0"?>', head)
    assert only(body.encode(encoding)).text == "Kätzchen"


@pytest.mark.parametrize(
    ("encoding", "word"),
    [
        ("windows-1251", "кошка"),
        ("shift_jis", "猫の写真"),
        ("gb2312", "猫"),
        ("big5", "貓"),
        ("tis-620", "แมว"),
        ("euc-kr", "고양이"),
    ],
)
def test_text_when_of_several_bytes_a_character_is_read(encoding: str, word: str) -> None:
    body = rss(item(f"<title>{word}</title>")).replace('"1.0"?', f'"1.0" encoding="{encoding}"?', 1)
    assert only(body.encode(encoding)).text == word


def test_text_when_of_two_encodings_is_read_whole() -> None:
    body = rss(item("<title>Kätzchen @x#, &#150;</title>")).encode().replace(b"@x#", b"\x93x\x94")
    assert only(body).text == "Kätzchen \u201cx\u201d, \u2013"


def test_text_when_it_holds_names_of_html_is_read() -> None:
    body = rss(
        item("<title>caf&eacute;&nbsp;&hellip; &lt;3 &amp;nbsp;x</title><description><![CDATA[&copy;]]></description>")
    )
    assert only(body).text == "caf\u00e9\u00a0\u2026 <3 \u00a0x\n\n\u00a9"


def test_text_when_it_holds_odd_unicode_is_safe_to_store() -> None:
    assert only(rss(item("<title>\x00\x0b👩‍🚀 שלום 𝄞 &amp;#0;</title>"))).text == "👩‍🚀 שלום 𝄞 \ufffd"
    assert only(json_feed(json_item(title="\x00\ud800👩‍🚀"))).text == "\ufffd👩‍🚀"


@pytest.mark.parametrize(
    "body",
    [
        "\n\n" + rss(item()),
        rss(item()).replace('<?xml version="1.0"?>', ""),
        "<?xml version='1.0'?><!-- made by <x> --><?style x?>" + rss(item()).removeprefix('<?xml version="1.0"?>'),
        "\ufeff" + json_feed(json_item()),
    ],
)
def test_feed_when_it_begins_oddly_is_read(body: str) -> None:
    assert only(body).post_id == "1"


@pytest.mark.parametrize("content_type", ["text/html", "text/plain; charset=utf-16", "application/octet-stream", ""])
@pytest.mark.parametrize("body", [rss(item()), json_feed(json_item())])
def test_feed_when_called_something_else_is_read(body: str, content_type: str) -> None:
    assert len(page(body, content_type=content_type).posts) == 1


LAUGHS = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b"<!DOCTYPE html><html><head><title>Log in</title></head></html>",
        b'<html xmlns="http://www.w3.org/1999/xhtml"><body/></html>',
        b"<rss/>",
        b"<opml version='2.0'/>",
        b'{"error": "slow down"}',
        b'{"version": "https://jsonfeed.org/version/1.1"}',
        b'{"version": "https://jsonfeed.org/version/1.1", "items": [{"id"',
        b"[]",
        b"not a feed",
        rss().encode()[:-9],
        rss(item()).encode()[:300],
        b"<a>" * 5000,
        rss(item("<a>" * 200 + "</a>" * 200)).encode(),
        f'<!DOCTYPE rss [<!ENTITY a0 "ha">{LAUGHS}]>{rss(item("<title>&a9;</title>"))[21:]}'.encode(),
        f'<!DOCTYPE rss [<!ENTITY x SYSTEM "file:///etc/passwd">]>{rss(item("<title>&x;</title>"))[21:]}'.encode(),
        f'<!DOCTYPE rss SYSTEM "https://a>b.example/x.dtd" [<!ENTITY x "y">]>{rss(item())[21:]}'.encode(),
        f'<!DOCTYPE rss [<!ATTLIST item a CDATA "{"x" * 99}">]>{rss(item())[21:]}'.encode(),
        ('<?xml version="1.0" encoding="utf-16"?><!DOCTYPE rss [<!ENTITY x "y">]>' + rss(item())[21:]).encode("utf-16"),
    ],
)
def test_feed_when_it_is_something_else_is_a_changed_source_at_once(body: bytes) -> None:
    with pytest.raises(SourceChangedError, match=r"^rss:https://site\.example/blog/feed\.xml: "):
        page(body)


@pytest.mark.parametrize("end", ["", "&undefined;</x>"])
@pytest.mark.parametrize(
    ("inside", "reason"),
    [
        ("<a/>" * 200_001, "too many elements"),
        ("<a>" * 200 + "</a>" * 200, "nested too deeply"),
        ("".join(f"<a xmlns:n{n}='u{n}'/>" for n in range(200)), "too many namespaces"),
    ],
)
def test_xml_when_it_is_beyond_a_limit_is_refused(inside: str, reason: str, end: str) -> None:
    with pytest.raises(SourceChangedError, match=reason):
        page(rss(inside + end))


@pytest.mark.parametrize("start", ["", "<b>"])
def test_xml_when_an_element_has_too_many_attributes_is_refused(start: str) -> None:
    with pytest.raises(SourceChangedError, match="too many attributes"):
        page(start + rss(f"<a {' '.join(f'a{n}={chr(34) * 2}' for n in range(200))}/>"))


def test_xml_when_a_tag_is_too_long_is_refused() -> None:
    with pytest.raises(SourceChangedError, match="longer than 1000000 characters"):
        page(rss(item(f"<a {'b=c ' * 300_000}>")))


def test_xml_when_it_takes_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imagelake.sources.feed_handlers._MAX_SECONDS", 0.0)
    with pytest.raises(SourceChangedError, match="takes longer than 0 seconds"):
        page(rss(item()))


def test_elements_without_an_end_are_no_depth() -> None:
    assert only(rss(item(ENCLOSURE + "<description>" + "a<br>" * 200 + "</description>"))).text.startswith("a\na\n")


@pytest.mark.parametrize(
    "body",
    [
        b"https://evil.example/feed.xml",
        b"file:///etc/passwd",
        b"/etc/passwd",
        f'<!DOCTYPE rss SYSTEM "https://evil.example/x.dtd">{rss(item("<title>a&x;b</title>"))[21:]}'.encode(),
        f'<!DOCTYPE rss SYSTEM "file:///etc/passwd">{rss(item())[21:]}'.encode(),
        f'<!DOCTYPE rss PUBLIC "-//Netscape Communications//DTD RSS 0.91//EN" "http://my.netscape.com/publish/formats/'
        f'rss-0.91.dtd">{rss(item())[21:]}'.encode(),
        rss(item('<x:include xmlns:x="http://www.w3.org/2001/XInclude" href="/etc/passwd" parse="text"/>')).encode(),
        b'<?xml-stylesheet href="https://evil.example/x.xsl"?>' + rss(item())[21:].encode(),
    ],
)
def test_parse_when_the_body_names_something_else_opens_nothing(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    page(rss(item()))  # modules are loaded by now

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("opened")

    for name in ("builtins.open", "io.open", "os.open", "socket.socket", "urllib.request.OpenerDirector.open"):
        monkeypatch.setattr(name, refuse)
    with suppress(SourceChangedError):
        assert [post.post_id for post in page(body).posts] == ["1"]


def test_functions_when_imported_do_not_load_feedparser() -> None:
    code = "import sys, fetch.app, validate.app; sys.exit('feedparser' in sys.modules)"
    functions = Path(__file__).parents[3] / "functions"
    subprocess.run([sys.executable, "-c", code], cwd=functions, check=True)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (rss(item("<title>Q&A &undefined; &#8217 &copy; AT&T</title>")), "Q&A &undefined; \u2019 \u00a9 AT&T"),
        (rss(item("<title>a&#0;b&#xD800;c&#99999999999;</title>")), "a\ufffdb\ufffdc\ufffd"),
        (rss(item("<description>a<br>b<p>c</description>")), "a\nbc"),
        (rss(item("<title>a</title><b>x</c>")), "a"),
        (rss(item("<title>a</title>")) + "<script>x</script>", "a"),
        ("Warning: x in y.php on line 3\n" + rss(item("<title>a</title>")), "a"),
        (rss(item("<title>a</title>"))[:-16], "a"),
        (rss(item("<title>a</title>")).replace("item>", "ITEM>"), "a"),
        (rss(item("<title>a</title>")).replace('version="2.0"', 'version="2.0" version="2.0"'), "a"),
        (f"<!DOCTYPE rss>{rss(item('<title>a</title>'))[21:]}", "a"),
    ],
)
def test_xml_when_not_well_formed_is_read(body: str, text: str) -> None:
    post = only(body)
    assert (post.post_id, post.text) == ("1", text)


def test_media_when_the_prefix_is_not_declared_are_found() -> None:
    body = '<rss><channel><item><guid>1</guid><media:content url="/a.jpg?x=1&y=2" width=9></media:content>'
    assert images(f"{body}{WHEN}</item></channel></rss>") == [("image", "https://site.example/a.jpg?x=1&y=2")]


def test_entry_when_the_feed_ends_inside_it_is_a_reject() -> None:
    result = page(rss(item(guid="whole"), item("<title>cut he", guid="cut"))[:-40])
    assert [post.post_id for post in result.posts] == ["whole"]
    assert [(reject.post_id, reject.reason) for reject in result.rejects] == [
        ("cut", "the feed ends inside this entry")
    ]


@pytest.mark.parametrize(
    "odd",
    [
        '<p:chapters xmlns:p="http://podlove.org/simple-chapters"><p:chapter title="x"/></p:chapters>',
        "<textInput><title>t</title><name>q</name></textInput>",
        '<g:point xmlns:g="http://www.georss.org/georss">x y</g:point>',
        "<updated>Fri, 2026/13/15 08:19:53 EDT</updated>",
        "<media:group><media:thumbnail/></media:group><media:rating/>",
        "<links>x</links><authors>x</authors><adult>no</adult><unfinished/><published_parsed>x</published_parsed>",
        "<links a='x'/><media:description_detail>x</media:description_detail><title_detail a='b'>x</title_detail>",
    ],
)
def test_entry_when_feedparser_fails_on_one_of_its_elements_is_read_without_it(odd: str) -> None:
    inside = f'<item xml:base="https://base.example/"><guid>1</guid>{WHEN}{odd}{ENCLOSURE}</item>'
    first, second = page(rss(inside, item(guid="2"))).posts
    assert (first.author_name, first.sensitive) == (None, False)
    assert [post.media[0].url for post in (first, second)] == [
        "https://base.example/img/1.jpg",
        "https://site.example/img/1.jpg",
    ]


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


FULL = item(
    f"{ENCLOSURE}<title>t</title><link>/1</link><dc:creator>j</dc:creator><category>c</category>"
    '<media:group><media:content url="/a.jpg" width="1" height="1" isDefault="true"/></media:group>'
    '<media:content url="/b.jpg" type="image/jpeg" medium="image"><media:description type="html">d</media:description>'
    "</media:content><atom:link rel='alternate' href='/2'/><content:encoded>x</content:encoded>",
    guid="bad",
)
TOKENS = re.findall(r"<[^<>]*>|[^<>]+", FULL)
ODD = [
    "",
    "<item/>",
    "\x00",
    "9" * 40,
    "-1",
    "http://[x",
    "<title>",
    "x" * 9000,
    "\U0010ffff",
    "<guid>bad</guid>",
    "&lt;",
]


@FIXED
@given(st.integers(1, len(TOKENS) - 2), st.sampled_from(ODD), st.booleans())
def test_xml_when_one_entry_is_damaged_keeps_all_others(place: int, odd: str, attribute: bool) -> None:
    token = TOKENS[place]
    changed = re.sub(r'"[^"]*"', lambda _: f'"{odd.replace("<", "")}"', token) if attribute else odd
    bad = "".join([*TOKENS[:place], changed, *TOKENS[place + 1 :]])
    body = rss(item(guid="a"), bad, item(guid="z"))
    try:
        ElementTree.fromstring(re.sub("\x00", "", body))
    except ElementTree.ParseError:
        kept = {"a"}
    else:
        kept = {"a", "z"}
    result = page(body)
    assert kept <= {post.post_id for post in result.posts}
    for reject in result.rejects:
        assert reject.reason
        json.dumps(reject.raw, ensure_ascii=False).encode()
    for post in result.posts:
        post.model_dump_json().encode()


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
    garbage_can_be_empty = True

    def body(self, entries: list[Any]) -> Any:
        version = "https://jsonfeed.org/version/1.1"
        return {"version": version, "title": "T", "items": entries, "authors": [{"name": "J"}], "next_url": "/2"}


@pytest.mark.parametrize("unit", ["<style>", "<a ", "<p>", "<!--", "<![CDATA[", "<item>", "&amp;"])
def test_parse_when_a_piece_repeats_without_end_comes_to_one(unit: str) -> None:
    """With a step that takes quadratic time, this test would not end."""
    text = unit.replace("&", "&amp;").replace("<", "&lt;") * 100_000
    assert len(page(rss(item(f"<description>{text}</description>"))).posts) == 1
    with pytest.raises(SourceChangedError):
        page(f"<rss><channel>{unit * 100_000}")


@pytest.mark.parametrize("url", [URL, "https://social.example/@alice.rss", "http://127.0.0.1:8000/feed?tag=a"])
def test_feed_when_in_short_form_keeps_its_url_whole(url: str) -> None:
    feed = Feed.of(f"rss:{url}")
    assert (feed.account, feed.server, feed.hashtag, feed.name) == (url, None, None, f"rss:{url}")
