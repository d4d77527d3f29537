"""Feeds that are odd or hostile: one bad element costs at most its own entry, and every limit of reading is kept."""

from __future__ import annotations

import re

import pytest

from imagelake.run.errors import SourceChangedError
from imagelake.sources import feed_document, xml_feed
from tests.support.feed_bodies import FEED, URL, atom, images, item, only, page, rss


@pytest.mark.parametrize(
    "file",
    [
        '<media:content url="/a.jpg" medium="image" {}/>',
        '<media:thumbnail url="/a.jpg" {}/>',
        '<enclosure url="/a.jpg" type="image/jpeg" {}/>',
        '<atom:link rel="enclosure" href="/a.jpg" type="image/jpeg" {}/>',
    ],
)
@pytest.mark.parametrize("name", ["description", "player", "group"])
def test_file_when_an_attribute_is_named_like_one_of_our_keys_is_read(file: str, name: str) -> None:
    assert images(rss(item(file.format(f'{name}="x"')))) == [("image", "https://site.example/a.jpg")]


def test_date_when_its_element_has_attributes_is_read() -> None:
    post = only(rss(item('<date x="y">2026-01-01</date>', when="")))
    assert post.posted_at.date().isoformat() == "2026-01-01"


def test_date_when_the_feed_has_one_without_text_is_missing() -> None:
    result = page(rss(item(guid="good"), item(guid="bad", when=""), about='<date x="y"/>'))
    assert [post.post_id for post in result.posts] == ["good"]
    assert [reject.post_id for reject in result.rejects] == ["bad"]


def test_entry_when_a_value_has_another_type_is_a_reject_alone() -> None:
    document = feed_document.read_document(rss(item(guid="bad"), item(guid="good")).encode(), URL)
    assert document is not None
    document.entries[0].update(title_detail="x", updated={"x": "y"}, id={"x": "y"})
    (good,), (bad,), _ = xml_feed.read_items(FEED, document)
    assert good.post_id == "good"
    assert "unknown form (AttributeError)" in bad.reason


def test_entry_when_feedparser_raises_a_value_error_is_read_without_that_element() -> None:
    gml = 'xmlns:georss="http://www.georss.org/georss" xmlns:gml="http://www.opengis.net/gml"'
    point = f'<georss:where {gml}><gml:Point srsName="EPSG 4326"><gml:pos>1 2</gml:pos></gml:Point></georss:where>'
    assert [post.post_id for post in page(rss(item(point, "1"), item(guid="2"))).posts] == ["1", "2"]


@pytest.mark.parametrize(
    "bad",
    [
        "<description><details><summary>More</summary>x</details></description>",
        "<description>a<description>s</description>b</description>",
        "<content:encoded><title>x</title>hello</content:encoded>",
        "<summary>a<title>s</title>b</summary>",
    ],
)
def test_entries_after_html_that_is_not_escaped_keep_title_and_text(bad: str) -> None:
    good = [item("<title>good</title><description>text</description>", guid) for guid in "23"]
    first, *others = page(rss(item(f"<title>t</title>{bad}"), *good)).posts
    assert first.text.startswith("t\n\n")
    assert [post.text for post in others] == ["good\n\ntext"] * 2


def test_author_when_its_name_is_long_takes_no_quadratic_time() -> None:
    """With a step that takes quadratic time, neither this test nor the next two would end."""
    author = only(rss(item(f"<author>{'@' * 200_000} x</author>"))).author_id
    assert re.fullmatch(r"site\.example/sha256-[0-9a-f]{40}", author)
    assert only(rss(item(f"<author>{'@' * 100} x</author>"))).author_name == f"{'@' * 100} x"


def test_tags_when_there_are_very_many_are_limited() -> None:
    keywords = ",".join(f"{n:x}" for n in range(100_000))
    assert len(only(rss(item(f"<media:keywords>{keywords}</media:keywords>"))).tags) == 1_000
    assert only(rss(item("<category>a</category><category>b</category><category>a</category>"))).tags == ["a", "b"]


@pytest.mark.slow
@pytest.mark.parametrize("blank", ["&#9;", "<![CDATA[]]>", "<![CDATA[ ]]>", "&#160;"])
def test_text_when_it_begins_with_many_blanks_is_read(blank: str) -> None:
    body = atom(f'<title type="xhtml">{blank * 100_000}x</title>').replace("</feed>", "")
    assert only(body).text == "x"


@pytest.mark.parametrize(
    "name", ["punycode-", "PUNYCODE.", "unicode__escape", "raw-unicode--escape", "utf.16", "idna_"]
)
def test_text_when_the_codec_has_another_spelling_is_read_as_utf_8(name: str) -> None:
    body = rss(item(r"<title>K\u00e4tzchen ä</title>")).replace('"1.0"?', f'"1.0" encoding="{name}"?', 1)
    assert only(body).text == r"K\u00e4tzchen ä"


@pytest.mark.parametrize("end", ["", "&undefined;</x>"])
@pytest.mark.parametrize(
    ("attributes", "inside", "reason"),
    [
        (f'xmlns:x="{"u" * 1_001}"', "", "namespace of more than 1000"),
        (f'xml:lang="{"a" * 65}"', "", "language of more than 64"),
        (f'lang="{"a" * 65}"', "", "language of more than 64"),
        (f'xml:base="http://x/{"a" * 8192}"', "", "too long a base URL"),
        (f'base="http://x/{"a" * 8192}"', "", "too long a base URL"),
        (
            f'xml:base="http://x/{"a" * 8000}/"',
            "".join(f'<a xml:base="{n}"/>' for n in range(700)),
            "too long a base URL",
        ),
    ],
)
def test_feed_when_an_attribute_for_all_elements_is_too_long_is_refused(
    attributes: str, inside: str, reason: str, end: str
) -> None:
    with pytest.raises(SourceChangedError, match=reason):
        page(atom(inside + end, attributes=attributes))


def test_time_limit_when_the_machine_is_busy_counts_cpu_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10**6, 100))
    monkeypatch.setattr("time.monotonic", lambda: float(next(clock)))
    assert only(rss(item())).post_id == "1"


@pytest.mark.parametrize(
    "bad",
    [
        '<source url="a">n',
        "<author>n",
        "<image>",
        "<textInput>",
        "<description>a<svg>b</description>",
        "<description>a<p/text b</description>",
        "<description>unclosed <b>x</b>",
        "<title>cut",
        '<media:content url="/a.jpg">',
    ],
)
def test_entries_after_an_element_that_is_still_open_are_read(bad: str) -> None:
    good = [item("<title>good</title><author>Jane</author><enclosure url='/g.jpg'/>", guid) for guid in "23"]
    result = page(rss(item(bad, "1"), *good).replace("</rss>", ""))
    assert [(post.post_id, post.text, post.author_name, len(post.media)) for post in result.posts[1:]] == [
        ("2", "good", "Jane", 1),
        ("3", "good", "Jane", 1),
    ]
    assert result.rejects == []


def test_entries_when_the_parser_loses_them_are_counted_in_one_reject() -> None:
    text = "<description><![CDATA[<item>]]><!-- <item> --></description>"
    lost = item('<description><a href="x\n</description>', "lost")
    result = page(rss(item(text, "good"), lost, item(guid="2"), item(guid="3")).replace("</rss>", ""))
    assert [post.post_id for post in result.posts] == ["good"]
    assert [(reject.post_id, reject.reason) for reject in result.rejects] == [
        ("lost", "the feed ends inside this entry"),
        (None, "2 entries are not readable, because the feed is not well-formed XML"),
    ]
