from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagelake.sources.plain_text import plain_text
from tests.support.json_mutations import FIXED


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


@pytest.mark.parametrize("unit", ["<a ", "<!--", "<a b='", "<![x[", "<!-->", "<a/", "<"])
def test_text_when_markup_never_closes_is_read_in_one_pass(unit: str) -> None:
    assert plain_text(unit * 100_000) is not None
