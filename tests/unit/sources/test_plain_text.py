"""Text of HTML, as a browser's ``innerText`` gives it.

https://html.spec.whatwg.org/multipage/dom.html#the-innertext-idl-attribute says where lines end, and
https://html.spec.whatwg.org/multipage/parsing.html#tokenization what is a tag, a comment or a reference.
"""

from __future__ import annotations

import html
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagelake.sources.plain_text import plain_text
from tests.support.json_mutations import FIXED
from tests.support.sample import full


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<p>one<br>two<br/>three<br />four</p><p>five</p>", "one\ntwo\nthree\nfour\n\nfive"),
        ('<p>see <a href="https://a.example/b"><span class="invisible">https://</span>a.example/b</a></p>',
         "see https://a.example/b"),
        ("<ul><li>a</li><li>b</li></ul>", "a\nb"),
        ("<p>1 &lt; 2 &amp;&amp; 3 &gt; 2 &#128512;</p>", "1 < 2 && 3 > 2 \U0001f600"),
        ("<!-- note --><p>left</p>", "left"),
        ("I <3 cats, a<b", "I <3 cats, a<b"),
        ("&#0;&#xD800;", "\ufffd\ufffd"),
        ("", ""),
    ],
)  # fmt: skip
def test_text_when_markup_is_known(markup: str, text: str) -> None:
    assert plain_text(markup) == text


@FIXED
@given(st.text(st.sampled_from("<>/!?[]-ap'\"&#;x0 \n")))
def test_text_when_markup_is_broken_is_still_text(markup: str) -> None:
    plain_text(markup).encode()


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["<a ", "<!--", "<a b='", "<![x[", "<!-->", "<a/", "<"])
def test_text_when_markup_never_closes_is_read_in_one_pass(unit: str) -> None:
    assert plain_text(unit * 100_000) is not None


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        # The end tags of p, li, dd, dt, tr and td may be left out: "optional tags" of the standard.
        ("First.<p>Second.", "First.\n\nSecond."),
        ("<p>one<p>two<p>three", "one\n\ntwo\n\nthree"),
        ("<ul><li>one<li>two", "one\ntwo"),
        ("<ul>\n <li>one</li>\n <li>two</li>\n</ul>\n<p>end</p>", "one\ntwo\n\nend"),
        ("<dl><dt>one<dd>two<dt>three</dl>four", "one\ntwo\nthree\nfour"),
        ("<table><tr><td>a<td>b<tr><th>c<th>d</table>", "a\tb\nc\td"),
        # Each block has lines of its own; blocks side by side share a line break.
        ("one<div>two</div>three", "one\ntwo\nthree"),
        ("<div><div><p>one</p></div></div><section>two</section>", "one\n\ntwo"),
        ("<h1>one</h1>two<blockquote>three</blockquote>", "one\ntwo\nthree"),
        ("one<hr>two", "one\ntwo"),
        ("one<br><br>two<br>", "one\n\ntwo"),
        ("<div>one<br></div><div>two</div>", "one\ntwo"),
        ("one</p>two", "one\n\ntwo"),
        ("one</br>two", "one\ntwo"),
        # White space is one space, except in pre: https://drafts.csswg.org/css-text/#white-space-rules
        ("<p>one\n  two\t<b> three</b> </p>", "one two three"),
        ("<b>one</b> <i>two</i>", "one two"),
        ("<pre>one\n  two</pre>", "one\n  two"),
        ("one\n  two", "one\n  two"),
        ("<p>one&nbsp;&nbsp;two</p>", "one\u00a0\u00a0two"),
    ],
)
def test_text_when_markup_has_blocks_has_their_lines(markup: str, text: str) -> None:
    assert plain_text(markup) == text


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ('<a title="x>y">t</a>', "t"),
        ("<a title='<b>' href=x>t</a>", "t"),
        ("<img alt=\"a>b\" src='c>d'>t", "t"),
        ("a<!-- b > c <p> -->d", "ad"),
        ("a<!-->b<!--->c<!--x--!>d", "abcd"),
        ("a<![CDATA[b]]>c", "ac"),
        ("a<?xml version='1'?>b<!DOCTYPE html>c", "abc"),
        ("a</ b>c</>d", "acd"),
        ("a<script>if (b<c && d>e) '</p>'</script>f", "af"),
        ("a<STYLE type=x>b { content: '<p>' }</sTyLe >c", "ac"),
        ("a<textarea>b<p>c</textarea>d", "ab<p>cd"),
        ("1 < 2 <3 a<b", "1 < 2 <3 a<b"),
        # A reference counts once, with or without its semicolon.
        ("&amp;lt;b&amp;gt; &amp;amp;", "&lt;b&gt; &amp;"),
        ("AT&T &copy &notit; &hellip; &#8217 &#x1F600; &unknown;", "AT&T © ¬it; … ’ 😀 &unknown;"),
        ('<a href="?a=1&copy=2">&lt;p&gt;</a>', "<p>"),
        # Its number has ASCII digits only.
        ("&#³9; &#٩; &#65٩; &#65é &#²", "&#³9; &#٩; A٩; Aé &#²"),
        ("<a title='&#³'>&#65</a>", "A"),
        (f"&#{'9' * 5_000}; &#x{'f' * 5_000}; &#{'0' * 5_000}65;", "\ufffd \ufffd A"),
    ],
)
def test_text_when_markup_has_all_kinds_of_tags_is_that_between_them(markup: str, text: str) -> None:
    assert plain_text(markup) == text


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        # Labels of Wikimedia Commons: https://commons.wikimedia.org/wiki/Template:Title
        ('<div style="display: none;">label QS:Len,"Cat"</div><b>Cat</b>', "Cat"),
        ("<span style='display:none'>one<b>two</b></span>three", "three"),
        ("<span style='color:red; DISPLAY : none !important'>one</span>two", "two"),
        ("<span style='display:none;display:inline'>one</span>two", "onetwo"),
        ("<span style='x-display:none'>one</span>two", "onetwo"),
        ("<p hidden>one</p><p>two", "two"),
        # An element ends with its parent, or where its end tag may be left out.
        ("<div>one<span style='display:none'>two</div>three", "one\nthree"),
        ("<p style='display:none'>one<p>two", "two"),
        ("<ul><li hidden>one<li>two</ul>three", "two\nthree"),
        ("<table><tr><td hidden>one<td>two</table>", "two"),
        ("<span hidden>one<span>two</span>three</span>four", "four"),
        ("<span hidden>one<br><p>two</p></span>three<img hidden>four", "threefour"),
        # https://html.spec.whatwg.org/multipage/rendering.html#hidden-elements
        ("<title>one</title><head><style>two</style></head>three<template>four</template>", "three"),
        ("<ruby>漢<rp>(</rp><rt>kan</rt><rp>)</rp></ruby>", "漢kan"),
        ("<noscript><img src=x>one</noscript><video>two</video><iframe>three</iframe>four", "four"),
    ],
)
def test_text_when_markup_is_hidden_is_left_out(markup: str, text: str) -> None:
    assert plain_text(markup) == text


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        # https://html.spec.whatwg.org/multipage/parsing.html#parsing-main-inhead says what can be in the head.
        ("<html><head><title>T</title><style>a{}</style><body><p>Hello</p></body></html>", "Hello"),
        ("<head><meta name=x><link rel=y><div>Hi</div>", "Hi"),
        ("<head><title>T</title><p>one</p>two", "one\n\ntwo"),
        ("<head>\n<script>a</script>\nHi", "Hi"),
        ("<head><title>T</title><noscript>a</noscript><template><p>b</p></template><base><b>Hi</b>", "Hi"),
        ("one<head>two", "onetwo"),
        # "The rp element's end tag can be omitted if it is followed by an rt or rp element", and the same for rt.
        ("<ruby>漢<rp>(<rt>kan<rp>)</ruby>", "漢kan"),
        ("<ruby>漢<rp>(<rt>kan<rp>)<rt>ji</ruby>z", "漢kanjiz"),
        # An element of SVG or MathML ends with "/>": "self-closing flag".
        ("<svg hidden/>Hi", "Hi"),
        ('<svg width="1" hidden />Hi', "Hi"),
        ("<math hidden/>one<svg hidden>two</svg>three", "onethree"),
    ],
)
def test_text_when_end_tags_are_left_out_is_whole(markup: str, text: str) -> None:
    assert plain_text(markup) == text


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        # https://www.w3.org/TR/CSS22/visufx.html#visibility: its children inherit it.
        ('<div style="visibility:hidden">one<b>two</b></div>three', "three"),
        ('<span style="visibility: collapse;font-size:0">one</span>two', "two"),
        ('<div style="visibility:hidden">one<b style="visibility:visible">two</b>three</div>four', "two\nfour"),
        # https://www.w3.org/TR/css-cascade-4/#importance and https://www.w3.org/TR/css-syntax-3/#consume-comment
        ('<div style="display:none!important;display:block">one</div>two', "two"),
        ('<div style="display:block ! IMPORTANT;display:none">one</div>two', "one\ntwo"),
        ('<div style="/*x*/display:none">one</div>two', "two"),
        ('<div style="color:red;/* a;b */display/**/:/**/none">one</div>two', "two"),
        ("<div style='background:url(\"a;display:block\");display:none'>one</div>two", "two"),
        ("<div style='background:url(data:a;display:none;b)'>one</div>two", "one\ntwo"),
        ('<div style="display:none;display:nonsense">one</div>two', "two"),
        ('<p hidden style="display:block">one</p>two', "one\n\ntwo"),
        # https://html.spec.whatwg.org/multipage/rendering.html: dialog:not([open]), and the contents of details
        ("<dialog>one</dialog>two", "two"),
        ("<dialog open>one</dialog>two", "one\ntwo"),
        ("<details><summary>one</summary>two<p>three</p></details>four", "one\nfour"),
        ("<details open><summary>one</summary>two</details>three", "one\ntwo\nthree"),
        ("<div hidden><details><summary>one</summary></details></div>two", "two"),
        ("<details open hidden><summary>one</summary></details>two", "two"),
        ("<details style='display:none'><summary>one</summary></details>two", "two"),
        ("<details><details><summary>one</summary></details></details>two", "two"),
        # Lines are those of the display of an element, rather than of its name.
        ('<span style="display:block">one</span><span style="display:block">two</span>', "one\ntwo"),
        ('one<a style="display:flex">two</a><a style="display:table">three</a>four', "one\ntwo\nthree\nfour"),
        ('<div style="display:inline">one</div><div style="display:inline-block">two</div>', "onetwo"),
        # https://www.w3.org/TR/css-text-3/#white-space-property
        ('<div style="white-space:pre-wrap">one\n  two</div>three\nfour', "one\n  two\nthree four"),
        ('<div style="white-space:pre">one\ntwo</div>', "one\ntwo"),
        ('<div style="white-space:nowrap">one\n two</div>', "one two"),
        # Only Outlook hides these. Authors write it at buttons, which all other readers see.
        ('<a style="mso-hide:all">one</a>', "one"),
    ],
)
def test_text_when_an_element_has_a_style_is_that_of_a_browser(markup: str, text: str) -> None:
    assert plain_text(markup) == text


@FIXED
@given(st.text(st.sampled_from("<>&;/!-'\"ap#x1³٩ \u00a0é猫\u0301\n")))
def test_text_when_it_is_escaped_is_the_same_text(text: str) -> None:
    """Escaping and reading are inverse; text without markup is itself, without spaces and empty lines around it."""
    once = plain_text(html.escape(text))
    assert once == plain_text(html.escape(once))
    assert once.split() == text.split()
    assert plain_text(f"<p>{html.escape(text)}</p>").split() == text.split()


PIECES = [
    "<p>",
    "</p>",
    "<b>",
    "</b>",
    "<li>",
    "<ul>",
    "</ul>",
    "<br>",
    "<td>",
    "<table>",
    "</table>",
    "<div>",
    "</div>",
]
HIDING = [
    "<p hidden>",
    "<span style='display:none'>",
    "</span>",
    "<script>",
    "</script>",
    "<!--",
    "-->",
    "<pre>",
    "</pre>",
]


@FIXED
@given(st.lists(st.sampled_from([*PIECES, *HIDING, "one", " ", "\n", "&amp;lt;", "<", ">"])))
def test_text_when_elements_are_in_any_order_is_clean(pieces: list[str]) -> None:
    text = plain_text("".join(pieces))
    assert text == text.strip()
    assert "\n\n\n" not in text


@FIXED
@given(st.lists(st.sampled_from([*PIECES, "one", "two "])))
def test_text_when_nothing_is_hidden_is_whole(pieces: list[str]) -> None:
    words = [piece.strip() for piece in pieces if piece.strip() in ("one", "two")]
    assert "".join(plain_text("".join(pieces)).split()) == "".join(words)


UNITS = [
    "<a ", "<!--", "<a b='", "<p>", "<b>", "<b><p>", "<div><a>", "<", "&", "&amp", "</", "<ul><li>", "<table><td>",
    "<dl><dd>", "<p hidden></p>", "<button><p>", "<script>", "<textarea>", "<br>", "<svg>", "<a x=1 y>", "x ", "<a>x",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("size", [50_000, full(1_000_000)])
@pytest.mark.parametrize("unit", UNITS)
def test_text_of_a_megabyte_takes_linear_time(unit: str, size: int) -> None:
    """A megabyte takes 2 seconds at most on our machines; a tree of nested elements takes a minute."""
    started = time.process_time()
    plain_text(unit * (size // len(unit)))
    assert time.process_time() - started < size / 40_000


def test_text_when_it_has_very_many_tags_is_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imagelake.sources.plain_text.MAX_TAGS_OF_PART", 1_000)
    assert plain_text("<b>x" * 2_500) == "x" * 2_500
    assert plain_text(f"<p hidden>{'<b>' * 999}one") == ""


@pytest.mark.slow
def test_text_of_other_networks_loads_no_parser() -> None:
    code = "import sys, fetch.app, validate.app; sys.exit('justhtml' in sys.modules)"
    folder = Path(__file__).parents[3] / "functions"
    assert subprocess.run([sys.executable, "-c", code], cwd=folder, check=False).returncode == 0
