"""URLs: a clean one is sent unchanged, any other is refused, and a redirect leads to the same URL as in a browser."""

from __future__ import annotations

import pytest

from imagelake.web.errors import UrlRefusedError
from imagelake.web.urls import Url, origin, parse_origins

BASE = "https://b.example/a/b/c?q#f"


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        # as they came
        ("https://a.example/a?X-Sig=a%2Fb%3d%3D&x=y+z", "https://a.example/a?X-Sig=a%2Fb%3d%3D&x=y+z"),
        ("https://a.example/a;b=c,d/e:f@g!$&'()*+=~[x]|^", "https://a.example/a;b=c,d/e:f@g!$&'()*+=~[x]|^"),
        ("https://a.example//a//b?c?d&'", "https://a.example//a//b?c?d&'"),
        ("https://a.example/%e4%zz%", "https://a.example/%e4%zz%"),
        ("https://a.example?", "https://a.example/?"),
        # encoded
        ('https://a.example/a b"<>`{}?a b"<>`{}', "https://a.example/a%20b%22%3C%3E%60%7B%7D?a%20b%22%3C%3E`{}"),
        ("https://a.example/ä图?€", "https://a.example/%C3%A4%E5%9B%BE?%E2%82%AC"),
        # spaces and joiners of other scripts, by https://url.spec.whatwg.org/#utf-8-percent-encode
        ("https://a.example/Screenshot 10.41.07\u202fAM.png", "https://a.example/Screenshot%2010.41.07%E2%80%AFAM.png"),
        ("https://a.example/a\u00a0b\u3000c", "https://a.example/a%C2%A0b%E3%80%80c"),
        ("https://a.example/\u0645\u06cc\u200c\u062e?\u200d", "https://a.example/%D9%85%DB%8C%E2%80%8C%D8%AE?%E2%80%8D"),
        ("https://a.example/\u00ad\u2028\u202e\ufeff\ue000", "https://a.example/%C2%AD%E2%80%A8%E2%80%AE%EF%BB%BF%EE%80%80"),
        ("https://a.example/\uffff\U000e0001", "https://a.example/%EF%BF%BF%F3%A0%80%81"),
        # in one form
        ("HTTPS://A.Example:443", "https://a.example/"), ("http://a.example:080/", "http://a.example/"),
        ("http://a.example:/", "http://a.example/"), ("http://a.example:443/", "http://a.example:443/"),
        ("https://a.example/a/./b/../c", "https://a.example/a/c"), ("https://a.example/../..", "https://a.example/"),
        ("https://a.example/%2e%2e/a", "https://a.example/%2e%2e/a"), ("https://a.example/a#b c",
        "https://a.example/a"),
        ("http://[2606:4700::6810:84E5]:8080/", "http://[2606:4700::6810:84e5]:8080/"),
        # names beyond ASCII, by IDNA 2008
        ("https://bücher.example/", "https://xn--bcher-kva.example/"), ("https://BÜCHER.example/",
        "https://xn--bcher-kva.example/"),
        ("https://straße.example/", "https://xn--strae-oqa.example/"), ("https://中国.example/",
        "https://xn--fiqs8s.example/"),
    ],
)  # fmt: skip
def test_url_when_it_is_clean(text: str, asked: str) -> None:
    url = Url.parse(text)
    assert f"{url.scheme}://{url.authority}{url.target}" == asked
    assert Url.parse(str(url)) == url


@pytest.mark.parametrize(
    "text",
    [
        "http://a.example:8_0/", "http://a.example:+80/", "http://a.example: 80/",
        "http://a.example:\u0668\u0660/", "http://a.example:000080/", "http://a.example:65536/", "http:a.example",
        "http:///a.example/", "http:////a.example/", "http://[::1%25lo]/", "http://[::1]a/", "http://[1.2.3.4]/",
        "http://[:::]/",
        "http://127.1/", "http://2130706433/", "http://0177.0.0.1/", "http://1.2.3.256/", "http://1.2.3.4.5/",
        "http://.../",
        "http://\u2603.example/", "http://a\u3002\u3002b/", f"http://{'ä' * 254}/", "http://a.example/" + "a" * 65536,
        "http://a_\u00e4.example/", "http://a\\b/",
        "http://a/\\b",
    ],
)  # fmt: skip
def test_url_when_it_is_not_clean(text: str) -> None:
    for parse in (Url.parse, Url.parse(BASE).join):
        with pytest.raises(UrlRefusedError):
            parse(text)


@pytest.mark.parametrize("character", [*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0)), "\ud800", "\\"])
def test_url_when_it_has_a_control_character_or_half_a_character_is_refused(character: str) -> None:
    for parse in (Url.parse, Url.parse(BASE).join):
        with pytest.raises(UrlRefusedError):
            parse(f"https://a.example/a{character}b")


@pytest.mark.parametrize("host", ["a\u00a0.example", "a\u200b.example", "\u202fa.example", "a\u2028.example"])
def test_host_when_it_has_a_space_of_any_kind_is_refused(host: str) -> None:
    with pytest.raises(UrlRefusedError):
        Url.parse(f"https://{host}/")


def test_url_when_its_scheme_only_looks_like_one() -> None:
    with pytest.raises(UrlRefusedError):
        Url.parse("http\u017f://a.example/")


@pytest.mark.parametrize(
    ("reference", "joined"),
    [
        ("d", "https://b.example/a/b/d"), ("/d#e", "https://b.example/d#e"), ("?d", "https://b.example/a/b/c?d"),
        ("#d", "https://b.example/a/b/c?q#d"), ("../d", "https://b.example/a/d"), ("..", "https://b.example/a/"),
        ("../../../d", "https://b.example/d"), ("//c.example/d", "https://c.example/d"), ("d e?ä",
        "https://b.example/a/b/d%20e?%C3%A4"),
        ("HTTP://C.example", "http://c.example"), ("d//e", "https://b.example/a/b/d/e"), ("@d",
        "https://b.example/a/b/@d"),
        ("/10:30.jpg", "https://b.example/10:30.jpg"), (" d", "https://b.example/a/b/%20d"),
    ],
)  # fmt: skip
def test_join_when_the_reference_is_clean(reference: str, joined: str) -> None:
    assert str(Url.parse(BASE).join(reference)) == joined


@pytest.mark.parametrize(
    "reference",
    ["https:d", "http:/d", "//", "///d", "//u@c.example/", ":d", "a:d", "javascript:d", "//c.example:/\\", "\n/d"],
)
def test_join_when_parsers_disagree_on_the_reference(reference: str) -> None:
    with pytest.raises(UrlRefusedError):
        Url.parse(BASE).join(reference)


@pytest.mark.parametrize(
    ("url", "spelled"),
    [
        ("https://a.example", "https://a.example"), ("HTTPS://A.Example:443/b?c#d", "https://a.example"),
        ("https://a.example:8443/", "https://a.example:8443"), ("http://a.example:443/", "http://a.example:443"),
        ("http://a.example:080/", "http://a.example"), ("https://bücher.example/", "https://xn--bcher-kva.example"),
        ("http://[2606:4700::6810:84E5]:8080/", "http://[2606:4700::6810:84e5]:8080"),
    ],
)  # fmt: skip
def test_origin_has_one_spelling(url: str, spelled: str) -> None:
    assert origin(url) == spelled
    assert parse_origins([spelled, url.removesuffix("/b?c#d")]) == {spelled}


ASCII = "".join(map(chr, range(0x20, 0x7F)))


@pytest.mark.parametrize(
    ("query", "params", "sent"),
    [
        ("", {"b": "2"}, "?b=2"), ("?a=1", {"b": "2"}, "?a=1&b=2"), ("?a=1&b=3&a=2", {"b": "2"}, "?a=1&a=2&b=2"),
        ("?a=%2Cb%20c&d&=e", {}, "?a=%2Cb+c&d=&=e"), ("?", {}, ""), ("", {"a": ""}, "?a="),
        ("", {"a": "ä€"}, "?a=%C3%A4%E2%82%AC"),
        (
            "", {"a": ASCII},
            "?a=+%21%22%23%24%25%26%27%28%29%2A%2B%2C-.%2F0123456789%3A%3B%3C%3D%3E%3F%40ABCDEFGHIJKLMNOPQRSTUVWXYZ"
            "%5B%5C%5D%5E_%60abcdefghijklmnopqrstuvwxyz%7B%7C%7D~",
        ),
    ],
)  # fmt: skip
def test_params_when_merged_into_the_query(query: str, params: dict[str, str], sent: str) -> None:
    assert str(Url.parse(f"https://a.example/p{query}").with_params(params)) == f"https://a.example/p{sent}"


@pytest.mark.parametrize(("host", "under"), [("a.example", True), ("b.a.example", True), ("ba.example", False)])
def test_is_under_when_whole_labels_count(host: str, under: bool) -> None:
    assert Url.parse(f"https://{host}/").is_under(frozenset({"a.example"})) is under
