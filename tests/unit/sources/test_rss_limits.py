"""Feeds that are too large, hostile or no feeds at all: they are refused, and no file or URL is opened."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import pytest

from imagelake.run.errors import SourceChangedError
from tests.support.feed_bodies import ENCLOSURE, item, json_feed, only, page, rss
from tests.support.sample import full


def test_json_feed_when_it_has_too_many_items_is_refused() -> None:
    with pytest.raises(SourceChangedError, match="more than 50,000"):
        page(json_feed(*[0] * 50_001))


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
        full("<a/>" * 200_001, "too many elements"),
        ("<a>" * 200 + "</a>" * 200, "nested too deeply"),
        ("".join(f"<a xmlns:n{n}='u{n}'/>" for n in range(200)), "too many namespaces"),
    ],
)
def test_xml_when_it_is_beyond_a_limit_is_refused(inside: str, reason: str, end: str) -> None:
    with pytest.raises(SourceChangedError, match=reason):
        page(rss(inside + end))


@pytest.mark.parametrize("end", ["", "&undefined;</x>"])
def test_xml_when_it_has_one_element_too_many_is_refused(monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    # With the real limit, as above, each case takes seconds.
    monkeypatch.setattr("imagelake.sources.feed_handlers._MAX_ELEMENTS", 1_003)
    page(rss("<a/>" * 1_000))
    with pytest.raises(SourceChangedError, match="too many elements"):
        page(rss("<a/>" * 1_001 + end))


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


@pytest.mark.slow
@pytest.mark.parametrize("number", [20_000, full(100_000)])
@pytest.mark.parametrize("unit", ["<style>", "<a ", "<p>", "<!--", "<![CDATA[", "<item>", "&amp;"])
def test_parse_when_a_piece_repeats_without_end_comes_to_one(unit: str, number: int) -> None:
    """With a step that takes quadratic time, this test would not end."""
    text = unit.replace("&", "&amp;").replace("<", "&lt;") * number
    assert len(page(rss(item(f"<description>{text}</description>"))).posts) == 1
    with pytest.raises(SourceChangedError):
        page(f"<rss><channel>{unit * number}")


@pytest.mark.parametrize("unit", ["<", "</a", "<![CDATA[]]>", "&x;", "&#65;"])
def test_loose_text_with_a_flood_of_signs_is_refused(monkeypatch: pytest.MonkeyPatch, unit: str) -> None:
    # With the real limit, each case takes seconds.
    monkeypatch.setattr("imagelake.sources.feed_document._LooseParser.max_pieces", 5_000)
    with pytest.raises(SourceChangedError, match="not well-formed and has more than 5,000 pieces of text"):
        page(f"<rss><channel><item><title>{unit * 5_100}")


def test_text_with_a_flood_of_ampersands_is_refused() -> None:
    with pytest.raises(SourceChangedError, match="more than 2,000,000 ampersands"):
        page(rss(item(f"<title>{'&' * 2_000_001}</title>")))


@pytest.mark.slow
def test_bytes_that_are_not_utf_8_take_little_time() -> None:
    started = time.thread_time()
    with pytest.raises(SourceChangedError):
        page(b"<rss>" + b"\xff" * 9_900_000)
    assert time.thread_time() - started < 5
