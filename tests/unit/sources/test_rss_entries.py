"""Entries of feeds: images, licenses, authors, dates and ids in all the ways that sites write them."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import pytest

from imagelake.run.posts import Post
from tests.support.feed_bodies import (
    ENCLOSURE,
    NAMESPACES,
    WHEN,
    atom,
    images,
    item,
    json_feed,
    json_item,
    only,
    page,
    rss,
)
from tests.support.sample import pairs


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


# https://github.com/simplepie/simplepie has a list of them, which lacks https.
@pytest.mark.parametrize("scheme", ["http", "https", "HTTP"])
@pytest.mark.parametrize(
    "name",
    [
        "search.yahoo.com/mrss",
        "video.search.yahoo.com/mrss",
        "tools.search.yahoo.com/mrss",
        "www.rssboard.org/media-rss",
    ],
)
@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("prefix", ["media", "m"])
def test_media_rss_is_known_by_all_its_names(scheme: str, name: str, slash: str, prefix: str) -> None:
    namespace = f'xmlns:{prefix}="{scheme}://{name}{slash}"'
    body = rss(item(f'<{prefix}:content url="/a.jpg" {namespace}/>'))
    assert images(body) == [("image", "https://site.example/a.jpg")]


def test_namespaces_with_https_are_those_with_http() -> None:
    body = rss(item(f"{ENCLOSURE}<dc:creator>Jane</dc:creator>")).replace("http://purl.org", "https://purl.org")
    assert only(body).author_name == "Jane"
    assert images(atom('<link rel="enclosure" href="/a.jpg"/>').replace("http:", "https:")) == [
        ("image", "https://site.example/a.jpg")
    ]


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [
        ('url="/media/G1?format=jpg&amp;name=large"', "image"),
        ('url="/a" type="jpg"', "image"),
        ('url="/a" type="mp3"', "audio"),
        ('url="/a.JFIF"', "image"),
        ('url="/image.php?id=3"', "image"),
        ('url="/a.jxl" type=""', "image"),
        ('url="/a" type="application/octet-stream"', "image"),
        ('url="/a" type="*/*"', "image"),
        ('url="/a.mp4" type="application/octet-stream"', "video"),
        ('url="/a" type="IMAGE/JPEG; x=y"', "image"),
        ('url="/a" type="application/pdf"', "unknown"),
        ('url="/a" type="text/html"', "unknown"),
        ('url="/a.pdf"', "unknown"),
        ('url="/a.zip" type="application/octet-stream"', "unknown"),
        ('url="/a" medium="document"', "unknown"),
        ('url="/a" medium="video"', "video"),
    ],
)
def test_file_without_a_type_is_an_image_until_its_bytes_say_another_thing(attributes: str, kind: str) -> None:
    """Such a file is of an unknown type: https://mimesniff.spec.whatwg.org/#determining-the-computed-mime-type-of-a-resource."""
    assert [found for found, _ in images(rss(item(f"<media:content {attributes}/>")))] == [kind]


# https://docs.imgix.com/en-US/getting-started/setup/securing-assets: an MD5 is the signature.
GUARDIAN = "quality=85&amp;auto=format&amp;fit=max&amp;s="


@pytest.mark.parametrize(
    ("files", "kept"),
    [
        # The Guardian's feeds.
        (
            [f"/a.jpg?width=140&amp;{GUARDIAN}{'a1' * 16}", f"/a.jpg?width=460&amp;{GUARDIAN}{'b2' * 16}", "/b.jpg"],
            [f"/a.jpg?width=460&{GUARDIAN.replace('amp;', '')}{'b2' * 16}", "/b.jpg"],
        ),
        (["/a-300x200.jpg", "/a-150x150.jpg", "/a-1024x683.jpg"], ["/a-1024x683.jpg"]),
        # A URL without a size is usually the original: WordPress.
        (["/a-300x200.jpg", "/a.jpg"], ["/a.jpg"]),
        (["/a.jpg?resize=300,200", "/a.jpg?resize=600,400"], ["/a.jpg?resize=600,400"]),
        (["/300x200/a.jpg", "/600x400/a.jpg"], ["/600x400/a.jpg"]),
        (["/a.jpg?w=900", "/a.jpg?w=100"], ["/a.jpg?w=900"]),
        # Different images.
        (["/i.php?id=1&amp;w=5", "/i.php?id=2&amp;w=9"], ["/i.php?id=1&w=5", "/i.php?id=2&w=9"]),
        (["/a.jpg?s=1", "/a.jpg?s=2"], ["/a.jpg?s=1", "/a.jpg?s=2"]),
        (["/a-300x200.jpg", "/b-300x200.jpg"], ["/a-300x200.jpg", "/b-300x200.jpg"]),
        (["/a.jpg?q=cats", "/a.jpg?q=dogs"], ["/a.jpg?q=cats", "/a.jpg?q=dogs"]),
        (["/a.jpg?size=large", "/a.jpg?size=small"], ["/a.jpg?size=large", "/a.jpg?size=small"]),
        (["/a-2024.jpg", "/a-2025.jpg"], ["/a-2024.jpg", "/a-2025.jpg"]),
        # A signature may differ if the sizes differ.
        (["/a.jpg?w=300&amp;sig=1", "/a.jpg?w=600&amp;sig=2"], ["/a.jpg?w=600&sig=2"]),
        (["/a.jpg?h=300", "/a.jpg?h=600"], ["/a.jpg?h=600"]),
        (["/a.jpg?resize=300%2C200", "/a.jpg?resize=600%2C200"], ["/a.jpg?resize=600%2C200"]),
        (["/b.jpg", "/a.jpg?w=300", "/c.jpg", "/a.jpg?w=600"], ["/b.jpg", "/a.jpg?w=600", "/c.jpg"]),
    ],
)
def test_image_in_several_sizes_is_one_image(files: list[str], kept: list[str]) -> None:
    inside = "".join(f'<media:content url="{url}" medium="image"/>' for url in files)
    assert [url for _, url in images(rss(item(inside)))] == [f"https://site.example{url}" for url in kept]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("/th?q=Cats&w=300&h=200", "/th?q=Dogs&w=300&h=200"),
        ("/th?q=Cats&w=300", "/th?q=Dogs&w=600"),
        ("/i.php?s=17&w=300", "/i.php?s=18&w=300"),
        ("/i.php?s=17&w=300", "/i.php?s=18&w=600"),
        ("/a.jpg?crop=0,0,9,9&w=300", "/a.jpg?crop=9,9,9,9&w=300"),
        ("/a.jpg?crop=0,0,9,9&w=300", "/a.jpg?crop=9,9,9,9&w=600"),
        ("/a.jpg?fit=1&w=300", "/a.jpg?fit=2&w=300"),
        ("/i?sig=cat&w=300", "/i?sig=dog&w=300"),
        ("/i?token=1&w=300&h=200", "/i?token=2&h=200&w=300"),
        (f"/i?s={'a1' * 16}", f"/i?s={'b2' * 16}"),
        # Bytes that are not UTF-8 differ too: https://url.spec.whatwg.org/#percent-encoded-bytes
        ("/i?f=caf%E9&w=300", "/i?f=caf%E8&w=300"),
        ("/i?f=caf%E9&w=300", "/i?f=caf%E8&w=600"),
        ("/i?f=%ff&size=99", "/i?f=%fe&size=98"),
        ("/i?url=https%3A%2F%2Fa%2F%E9%3Fsig=1&w=30", "/i?url=https%3A%2F%2Fa%2F%E8%3Fsig=1&w=60"),
        ("/i?a=1+2&w=300", "/i?a=1%2B2&w=600"),
        ("/i?a&w=300", "/i?a=&w=600"),
        ("/a-300x200.jpg?v=1", "/a-600x400.jpg?v=2"),
        ("/i?a=b%26c=d&w=300", "/i?a=b&c=d&w=600"),
    ],
)
def test_two_images_that_differ_in_more_than_a_size_stay_two(one: str, other: str) -> None:
    files = [{"url": f"https://site.example{path}", "mime_type": "image/png"} for path in (one, other)]
    assert [url for _, url in images(json_feed(json_item(attachments=files)))] == [file["url"] for file in files]


def test_two_images_of_one_size_stay_two_beside_a_third_size() -> None:
    """A signature can also be the name of a file, and nothing says to which of the two the third one belongs."""
    urls = [f"https://site.example/i?token={number}&w={width}" for number, width in ((1, 300), (2, 300), (3, 600))]
    assert [url for _, url in images(json_feed(json_item(attachments=[{"url": url} for url in urls])))] == urls


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # https://www.rfc-editor.org/rfc/rfc3986#section-6.2.2 and 6.2.3; the client sends the same bytes for both.
        ("https://a.example/a b.jpg", "https://a.example/a%20b.jpg"),
        ("https://a.example/caf\u00e9.jpg", "https://a.example/caf%C3%A9.jpg"),
        ("https://a.example/caf%c3%a9.jpg", "https://a.example/caf%C3%A9.jpg"),
        ("https://a.example/%7Eann/a.jpg", "https://a.example/~ann/a.jpg"),
        ("https://A.Example/a.jpg", "https://a.example/a.jpg"),
        ("https://b\u00fccher.example/a.jpg", "https://xn--bcher-kva.example/a.jpg"),
        ("https://a.example:443/a.jpg", "https://a.example/a.jpg"),
        ("http://a.example/a.jpg", "https://a.example/a.jpg"),
        ("https://a.example/a.jpg#x", "https://a.example/a.jpg"),
    ],
)
def test_file_in_two_spellings_is_one_file(one: str, other: str) -> None:
    for first, second in ((one, other), (other, one)):
        inside = f'<media:content url="{second}" medium="image"/><enclosure url="{first}" type="image/png"/>'
        assert images(rss(item(inside))) == [("image", second)]


@pytest.mark.parametrize(
    "query",
    [
        "X-Amz-Date={0}&X-Amz-Expires=9&X-Amz-Signature=beef{0}",
        "Expires={0}&Signature=aa{0}~&Key-Pair-Id=K1",
        "sv=2022-11-02&se={0}&sig=aa{0}%3D",
        "_nc_cat=1{0}&oh=00_Af{0}&oe={0}",
    ],
)
def test_image_that_two_elements_sign_at_different_times_is_one(query: str) -> None:
    """See signatures.py for the parameters of each service."""
    first, second = (f"https://site.example/a.jpg?id=1&{query.format(at)}" for at in (1, 2))
    escaped = [url.replace("&", "&amp;") for url in (first, second)]
    inside = f'<enclosure url="{escaped[1]}" type="image/png"/><media:content url="{escaped[0]}" medium="image"/>'
    assert images(rss(item(inside))) == [("image", first)]
    assert images(json_feed(json_item(image=first, attachments=[{"url": second}]))) == [("image", first)]


@pytest.mark.parametrize(
    ("media", "enclosures"),
    [
        # A parameter that only looks like a signature can name a file.
        (["/i?token=a"], ["/i?token=b"]),
        (["/i?X-Amz-Signature=1&id=1"], ["/i?X-Amz-Signature=2&id=2"]),
        (["/i"], ["/i?X-Amz-Signature=2"]),
        # Nothing says which of them are the same.
        (["/i?X-Amz-Signature=1", "/i?X-Amz-Signature=2"], ["/i?X-Amz-Signature=3"]),
        (["/i?X-Amz-Signature=1"], ["/i?X-Amz-Signature=2", "/i?X-Amz-Signature=3"]),
    ],
)
def test_images_of_two_elements_stay_apart_if_they_can_be_different(media: list[str], enclosures: list[str]) -> None:
    inside = "".join(f'<media:content url="{url.replace("&", "&amp;")}" medium="image"/>' for url in media)
    inside += "".join(f'<enclosure url="{url.replace("&", "&amp;")}" type="image/png"/>' for url in enclosures)
    assert [url for _, url in images(rss(item(inside)))] == [f"https://site.example{url}" for url in media + enclosures]


@pytest.mark.parametrize("small", ["/s.jpg", "/s.jpg#a", "HTTP://Site.Example:80/s.jpg", "/%73.jpg"])
@pytest.mark.parametrize("element", ['<enclosure url="{}" type="image/jpeg"/>', '<media:content url="{}"/>'])
def test_small_size_in_a_group_is_no_second_image_beside_it(small: str, element: str) -> None:
    """https://www.rssboard.org/media-rss#media-group: the files of a group are representations of the same content."""
    group = (
        '<media:group><media:content url="/s.jpg" width="10" height="10"/>'
        '<media:content url="/l.jpg" width="20" height="20"/></media:group>'
    )
    for inside in (element.format(small) + group, group + element.format(small)):
        assert images(rss(item(inside))) == [("image", "https://site.example/l.jpg")]


@pytest.mark.parametrize(
    "group",
    [
        f'<media:content url="/s.jpg"/><media:content url="/{"x" * 9_000}.jpg" width="20" height="20"/>',
        '<media:content url="/s.jpg" type="application/pdf"/><media:content url="/v.mp4" width="20" height="20"/>',
    ],
)
def test_image_beside_a_group_whose_choice_cannot_be_collected_is_kept(group: str) -> None:
    inside = f'<media:group>{group}</media:group><enclosure url="/s.jpg" type="image/jpeg"/>'
    assert ("image", "https://site.example/s.jpg") in images(rss(item(inside)))


def test_video_in_a_group_that_is_also_the_enclosure_stays_a_skipped_media_item() -> None:
    group = '<media:group><media:content url="/a.jpg"/><media:content url="/v.mp4"/></media:group>'
    assert images(rss(item(f'{group}<enclosure url="/v.mp4" type="video/mp4"/>'))) == [
        ("image", "https://site.example/a.jpg"),
        ("video", "https://site.example/v.mp4"),
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://a.example/A.jpg", "https://a.example/a.jpg"),
        ("https://a.example:8443/a.jpg", "https://a.example/a.jpg"),
        ("https://a.example/a%2Fb.jpg", "https://a.example/a/b.jpg"),
        ("https://a.example/?a=%26", "https://a.example/?a=&"),
        ("https://a.example/caf%E9.jpg", "https://a.example/caf%E8.jpg"),
    ],
)
def test_files_with_other_bytes_in_their_paths_are_two(one: str, other: str) -> None:
    files = [{"url": url, "mime_type": "image/png"} for url in (one, other)]
    assert [url for _, url in images(json_feed(json_item(attachments=files)))] == [one, other]


@pytest.mark.parametrize("kind", ["image/png", "video/mp4", "application/pdf"])
def test_file_when_stated_twice_is_one_file_with_all_that_the_first_says(kind: str) -> None:
    first = f'<media:content url="/a" type="{kind}" width="7"><media:description>A</media:description></media:content>'
    (media,) = only(rss(item(f'{first}<enclosure url="/a" type="{kind}"/>'))).media
    assert (media.alt_text, media.width) == ("A", 7)


def test_image_when_sizes_are_stated_is_the_largest() -> None:
    inside = '<media:content url="/a.jpg?w=30" width="900"/><media:content url="/a.jpg?w=60" width="300"/>'
    assert images(rss(item(inside))) == [("image", "https://site.example/a.jpg?w=30")]


DATA = f"data:image/png;base64,{'A' * 9_000}"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (DATA, "its URL is a data: URL"),
        (" Data:image/gif;base64,AA", "its URL is a data: URL"),
        (f"/{'x' * 9_000}", "its URL is longer than 8,192 characters"),
        ("https://[x", "its URL is not a valid one"),
        ("http://a.example／", "its URL is not a valid one"),
    ],
)
def test_file_whose_url_cannot_be_used_is_skipped_alone(url: str, reason: str) -> None:
    inside = f'<enclosure url="{url}" type="image/png"/><media:content url="/b.png"/>'
    media = only(rss(item(inside))).media
    assert {(part.kind, part.url, part.skip_reason) for part in media} == {
        ("image", "https://site.example/b.png", None),
        ("image", None, reason),
    }
    post = only(json_feed(json_item(image=url, attachments=[{"url": "/b.png", "mime_type": "image/png"}])))
    assert [(part.url, part.skip_reason) for part in post.media] == [
        (None, reason),
        ("https://site.example/b.png", None),
    ]


def test_link_and_author_whose_url_cannot_be_used_have_none() -> None:
    post = only(rss(item(f"{ENCLOSURE}<link>{DATA}</link><author>Jane</author>")))
    assert (post.permalink, len(post.media)) == (None, 1)
    post = only(json_feed(json_item(url=DATA, author={"name": "Jane", "url": "https://[x"})))
    assert (post.permalink, post.author_id) == (None, "site.example/Jane")


@pytest.mark.parametrize("space", [" ", "\n\t"])
def test_url_keeps_spaces_of_other_scripts_at_its_ends(space: str) -> None:
    """Only C0 controls and spaces are dropped: https://url.spec.whatwg.org/#concept-basic-url-parser."""
    post = only(json_feed(json_item(image=f"{space}/a\u3000{space}")))
    assert post.media[0].url == "https://site.example/a\u3000"


def test_items_of_json_feed_keep_their_images_whatever_else_is_odd() -> None:
    odd = {"authors": {}, "author": "Jane", "tags": "a,b", "title": 7, "content_html": [], "url": {}}
    post = only(json_feed(json_item(image="/a.jpg", **odd), authors="x", author=7))
    assert (post.author_name, post.tags, post.text, len(post.media)) == (None, [], "", 1)
    assert only(json_feed(json_item(tags=["a", 7, None, "b"]))).tags == ["a", "b"]


def test_attachment_of_json_feed_without_a_url_or_of_another_type_is_skipped_alone() -> None:
    files = [
        {"url": "", "mime_type": "image/png"},
        {"mime_type": "video/mp4"},
        7,
        {"url": 7},
        {"url": "/b", "mime_type": {}},
    ]
    media = only(json_feed(json_item(attachments=files))).media
    assert [(part.kind, part.url, part.skip_reason) for part in media] == [
        ("image", None, None),
        ("video", None, None),
        ("unknown", None, "not readable: entry: it has to be an object"),
        ("unknown", None, "not readable: url: it has to be text"),
        ("image", "https://site.example/b", None),
    ]


def test_attachments_of_json_feed_with_one_title_are_one_file() -> None:
    """https://www.jsonfeed.org/version/1.1/#attachments: such attachments are representations of the same thing."""
    files = [
        {"url": "/s", "mime_type": "image/png", "title": "A", "size_in_bytes": 10},
        {"url": "/v", "mime_type": "video/mp4", "title": "A", "size_in_bytes": 999},
        {"url": "/l", "mime_type": "image/png", "title": "A", "size_in_bytes": 20.0},
        {"url": "/b", "mime_type": "image/png", "title": "B"},
        {"url": "/c", "mime_type": "image/png", "title": ""},
        {"url": "/d", "mime_type": "image/png", "title": ""},
    ]
    assert [url for _, url in images(json_feed(json_item(attachments=files)))] == [
        f"https://site.example/{name}" for name in "lbcd"
    ]


# Every element that the adapter reads and an entry can do without, and names that feedparser uses for its results.
OPTIONAL = [
    "title", "link", "description", "summary", "content", "content:encoded", "author", "dc:creator", "dc:date",
    "pubDate", "updated", "published", "category", "media:title", "media:description", "media:rating",
    "media:license", "media:group", "media:copyright", "media:player", "media:credit", "media:thumbnail",
    "media:keywords", "cc:license", "dc:rights", "source", "comments", "contributor", "rights", "x:unknown", "authors",
    "links", "tags", "image", "enclosures",
]  # fmt: skip
ODD_TEXTS = ["", " ", "7", "1.5", "<x>7</x>", "<name/>", "&lt;b", "{}", "null", "x" * 9_000, DATA]
ODD_ATTRIBUTES = ["", ' type="x" href="y"', ' type="text/html" rel="enclosure"', f' url="{DATA}"']


@pytest.mark.parametrize(("element", "text"), pairs(OPTIONAL, ODD_TEXTS))
def test_odd_optional_element_keeps_the_entry_and_its_image(element: str, text: str) -> None:
    image, about = '<media:content url="https://site.example/a.jpg"/>', "<updated>2026-09-30T09:00:00Z</updated>"
    bodies = [
        rss(item(f"<{element}{attributes}>{text}</{element}>{image}"), about=about.replace("updated", "lastBuildDate"))
        for attributes in ODD_ATTRIBUTES
    ]
    bodies.append(atom(f"{image}<{element}>{text}</{element}>", about=about, attributes=NAMESPACES))
    for body in bodies:
        assert "https://site.example/a.jpg" in [media.url for media in only(body).media]


def test_author_when_the_name_is_long_has_a_digest_as_id() -> None:
    post = only(rss(item(f"<author>{'x' * 600}</author>")))
    assert (post.author_name, re.sub("[0-9a-f]{40}", "HEX", post.author_id)) == ("x" * 600, "site.example/sha256-HEX")


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


@pytest.mark.parametrize("text", ["soon", "2026/09/30", "32 Foo 2026", "Mon, 01 Jan 0001 00:00:00 GMT"])
def test_date_when_not_readable_is_the_feeds_and_a_warning_says_so(text: str) -> None:
    result = page(
        rss(
            item(guid="bad", when=f"<pubDate>{text}</pubDate>"),
            item(guid="good"),
            about="<lastBuildDate>Thu, 01 Oct 2026 09:00:00 GMT</lastBuildDate>",
        )
    )
    assert [post.posted_at.isoformat() for post in result.posts] == [
        "2026-10-01T09:00:00+00:00",
        "2026-09-30T09:00:00+00:00",
    ]
    assert result.warnings == (
        "rss:https://site.example/blog/feed.xml: some dates cannot be read; such an entry has its other date, or the "
        "date of the feed, or is rejected",
    )
    assert page(rss(item())).warnings == ()


def test_date_when_one_of_two_is_not_readable_is_the_other_one() -> None:
    dates = {"date_published": "soon", "date_modified": "2026-09-30T09:00:00Z"}
    result = page(json_feed(json_item(**dates)))
    assert (result.posts[0].posted_at, len(result.warnings)) == (datetime(2026, 9, 30, 9, tzinfo=UTC), 1)
    result = page(json_feed(json_item(date_published="soon")))
    assert ([reject.reason[:5] for reject in result.rejects], len(result.warnings)) == (["date:"], 1)


RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
IMAGE = '<media:content url="/a.jpg" xmlns:media="http://search.yahoo.com/mrss/"/>'
DATED = '<dc:date xmlns:dc="http://purl.org/dc/elements/1.1/">2026-09-30T09:00:00Z</dc:date>'
ONE = f"<item><title>One</title><link>https://site.example/1</link>{DATED}{IMAGE}</item>"
OLDER = [
    *(
        f'<rdf:RDF xmlns:rdf="{RDF}" xmlns="{version}"><channel><title>T</title></channel>{ONE}</rdf:RDF>'
        for version in ("http://my.netscape.com/rdf/simple/0.9/", "http://purl.org/rss/1.0/")
    ),
    *(f'<rss version="{version}"><channel>{ONE}</channel></rss>' for version in ("0.91", "0.92", "0.94", "2.0.1")),
    *(
        '<feed version="0.3" xmlns="http://purl.org/atom/ns#"><entry><id>https://site.example/1</id><title>One</title>'
        f"<{name}>2026-09-30T09:00:00Z</{name}>{IMAGE}</entry></feed>"
        for name in ("issued", "modified", "created")
    ),
    '<!DOCTYPE rss PUBLIC "-//Netscape Communications//DTD RSS 0.91//EN" '
    f'"http://my.netscape.com/publish/formats/rss-0.91.dtd"><rss version="0.91"><channel>{ONE}</channel></rss>',
    f'<!DOCTYPE rss [<!ELEMENT rss ANY>]><rss version="2.0"><channel>{ONE}</channel></rss>',
]  # fmt: skip


@pytest.mark.parametrize("body", OLDER)
def test_feed_of_an_older_version_or_with_a_document_type_is_read(body: str) -> None:
    """The older versions are at https://www.rssboard.org/rss-history and https://www.ietf.org/archive/id/draft-ietf-atompub-format-00.txt."""
    post = only(body)
    assert (post.post_id, post.text, post.posted_at) == (
        "https://site.example/1",
        "One",
        datetime(2026, 9, 30, 9, tzinfo=UTC),
    )
    assert [media.url for media in post.media] == ["https://site.example/a.jpg"]


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
