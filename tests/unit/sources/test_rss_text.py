"""Feeds in odd encodings and feeds that are not well-formed: what can be read is kept."""

from __future__ import annotations

import base64
import json
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagelake.sources.xml_text import xml_text
from tests.support.feed_bodies import ENCLOSURE, WHEN, atom, images, item, json_feed, json_item, only, page, rss
from tests.support.json_mutations import FIXED


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


# Labels of https://encoding.spec.whatwg.org/#names-and-labels, with a codec of Python for the encoding of each.
LABELS = [
    ("ks_c_5601-1987", "cp949", "고양이 똠"),
    ("korean", "cp949", "뷁"),
    ("TIS-620", "cp874", "แมว €"),
    ("dos-874", "cp874", "“แมว”"),
    ("Windows-31J", "cp932", "猫①㈱"),
    ("x-sjis", "cp932", "髙橋"),
    ("cp1251", "cp1251", "кошка"),
    ("x-cp1251", "cp1251", "«кошка»"),
    ("koi8", "koi8-r", "кошка"),
    ("gb2312", "gb18030", "猫㐀€"),
    ("x-gbk", "gb18030", "貓"),
    ("big5-hkscs", "big5hkscs", "貓㗎"),
    ("iso-8859-1", "cp1252", "“Katze” – 5 €"),
    ("iso_8859-1:1987", "cp1252", "œuvre…"),
    ("latin1", "cp1252", "“Kätzchen”"),
    ("us-ascii", "cp1252", "“Kätzchen”"),
    ("iso-8859-9", "cp1254", "“kedi” ğış"),
    ("logical", "iso8859-8", "חתול"),
    ("x-mac-roman", "mac-roman", "“œ”"),
    ("unicode-1-1-utf-8", "utf-8", "Kätzchen 猫"),
    # No label of browsers, but an encoding of IANA: https://www.iana.org/assignments/character-sets
    ("cp850", "cp850", "Kätzchen"),
    ("iso-2022-kr", "iso2022_kr", "고양이"),
]


@pytest.mark.parametrize(("label", "codec", "text"), LABELS)
def test_text_when_its_label_is_of_browsers_is_read(label: str, codec: str, text: str) -> None:
    """The header of HTTP and the XML declaration have the same labels."""
    declared = rss(item(f"<title>{text}</title>")).replace('"1.0"?', f'"1.0" encoding="{label}"?', 1)
    assert only(declared.encode(codec)).text == text
    plain = rss(item(f"<title>{text}</title>")).encode(codec)
    for content_type in (f"text/xml; charset={label}", f'application/rss+xml;Charset="{label.upper()}";x=y'):
        (post,) = page(plain, content_type=content_type).posts
        assert post.text == text


@pytest.mark.parametrize(
    ("label", "data", "text"),
    [
        # Row 13 of NEC and the characters of IBM are in "index jis0208": https://encoding.spec.whatwg.org/#index-jis0208
        ("euc-jp", b"\xad\xa1\xad\xea\xad\xb5\xa4\xa2", "①㈱Ⅰあ"),
        ("x-euc-jp", b"A\xfc\xe2\xf9\xaeB", "A髙仡B"),
        ("iso-2022-jp", b'\x1b$B-!$"-j\x1b(Bx', "①あ㈱x"),
        ("csiso2022jp", b'\x1b$B-!-"\x1b(B', "①②"),
        # The index has these cells of row 1 and 2 as Windows has them.
        ("euc-jp", b"10\xa1\xc120\xa1\xdd\xa1\xc2\xa1\xf1\xa1\xf2\xa2\xcc", "10～20－∥￠￡￢"),
        ("iso-2022-jp", b"\x1b$B!A!]\x1b(B", "～－"),
        # https://encoding.spec.whatwg.org/#gb18030-decoder: byte 0x80 is the euro sign
        ("gbk", b"\x80 5", "€ 5"),
        ("gb2312", b"5 \x80\xc3\xa8", "5 €猫"),
        ("gb18030", b"\x80", "€"),
        # Bytes that mean nothing stay what they were.
        ("gbk", b"a\xff", "a\ufffd"),
        ("euc-jp", b"a\xff\xffb\xa9\xa1c", "a\ufffd\ufffdb\ufffdc"),
        ("euc-jp", b"a\xad", "a\ufffd"),
    ],
)
def test_text_of_east_asia_is_that_of_browsers(label: str, data: bytes, text: str) -> None:
    decoded = xml_text(b"<t>" + data + b"</t>", f"text/xml; charset={label}")
    assert decoded == f"<t>{text}</t>"


@pytest.mark.parametrize(
    ("encoding", "mark", "header", "declared"),
    [
        # RFC 7303, section 3: the byte order mark, then the header, then the declaration
        ("utf-8", b"\xef\xbb\xbf", "windows-1251", "koi8-r"),
        ("utf-16-le", b"\xff\xfe", "windows-1251", "koi8-r"),
        ("utf-16-be", b"\xfe\xff", "utf-8", None),
        ("windows-1251", b"", "windows-1251", "koi8-r"),
        ("windows-1251", b"", "windows-1251", "utf-8"),
        ("utf-8", b"", "utf-8", "windows-1251"),
        ("koi8-r", b"", None, "koi8-r"),
        ("utf-8", b"", None, None),
        ("utf-16-le", b"", "utf-16le", None),
        ("utf-16-be", b"", "utf-16be", "utf-8"),
        # a label that is none, or that cannot be right, is not there
        ("koi8-r", b"", "no-such-charset", "koi8-r"),
        ("koi8-r", b"", "punycode", "koi8-r"),
        ("koi8-r", b"", "utf-16", "koi8-r"),
        ("koi8-r", b"", "", "koi8-r"),
        ("utf-8", b"", "iso-8859-1", "utf-8"),
    ],
)
def test_text_when_mark_header_and_declaration_differ_is_of_the_first(
    encoding: str, mark: bytes, header: str | None, declared: str | None
) -> None:
    head = f'"1.0" encoding="{declared}"?' if declared else '"1.0"?'
    body = mark + rss(item("<title>кошка ßä</title>")).replace('"1.0"?', head, 1).encode(encoding, "replace")
    content_type = {"content_type": f"text/xml; charset={header}"} if header is not None else {}
    (post,) = page(body, **content_type).posts
    assert post.text.startswith("кошка")


@FIXED
@given(st.binary(), st.sampled_from([*(label for label, *_ in LABELS), "utf-16", "utf-32", "hex", "", "x" * 50, '"']))
def test_text_of_any_bytes_and_any_label_is_text(data: bytes, label: str) -> None:
    """The text is the same each time, and its own text again."""
    text = xml_text(data, f"text/xml; charset={label}")
    assert text == xml_text(data, f"text/xml; charset={label}")
    assert xml_text(b"\xef\xbb\xbf" + text.encode(), "text/xml; charset=koi8-r") == text


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
    hidden = base64.b64encode(b"a\x00\x01\x1bb").decode()
    assert only(atom(f'<title mode="base64" type="text/html">{hidden}</title>')).text == "ab"
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


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (rss(item("<title>Q&A &undefined; &#8217 &copy; AT&T</title>")), "Q&A &undefined; \u2019 \u00a9 AT&T"),
        (rss(item("<title>a&#0;b&#xD800;c&#99999999999;</title>")), "a\ufffdb\ufffdc\ufffd"),
        # A start tag of p begins a paragraph: https://html.spec.whatwg.org/multipage/dom.html#rendered-text-collection-steps
        (rss(item("<description>a<br>b<p>c</description>")), "a\nb\n\nc"),
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
