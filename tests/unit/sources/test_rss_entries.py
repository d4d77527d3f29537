"""Entries of feeds: images, licenses, authors, dates and ids in all the ways that sites write them."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from imagelake.run.posts import Post
from tests.support.feed_bodies import ENCLOSURE, WHEN, atom, images, item, only, page, rss


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
        ('<enclosure url="/file" type="application/octet-stream"/>', [("image", "/file")]),
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
        (item(when="<pubDate>T12:30</pubDate>"), "date: not a time"),
        (item(when="<pubDate>2026/09/30</pubDate>"), "date: not a time"),
        (item(when="<pubDate>Mon, 01 Jan 0001 00:00:00 GMT</pubDate>"), "date: year 1 "),
        (item(when="<pubDate>Mon, 01 Jan 1900 00:00:00 GMT</pubDate>"), "date: year 1900"),
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
