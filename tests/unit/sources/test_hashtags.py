"""Hashtags by the grammar of twitter-text and UAX #31, section 6: https://www.unicode.org/reports/tr31/#hashtag_identifiers

Texts marked "conformance" are forms of https://github.com/twitter/twitter-text/blob/master/conformance/extract.yml
"""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagelake.run.errors import BadFeedError
from imagelake.sources import get_source, parse_feed
from imagelake.sources.hashtags import hashtags, is_hashtag, without_sign
from tests.support.json_mutations import FIXED
from tests.support.sample import full

# Words with vowel signs, viramas or tone marks (general category M), in ten scripts.
MARKED = ["हिन्दी", "अनुभव", "อนิเมะ", "ผู้เริ่ม", "বাংলা", "தமிழ்", "తెలుగు", "മലയാളം", "မြင့်မြတ်", "סֵפֶר", "cafe\u0301"]


@pytest.mark.parametrize("word", MARKED)
def test_tag_when_its_letters_have_marks_is_whole(word: str) -> None:
    assert hashtags(f"see #{word}, now") == [word]
    assert hashtags(f"＃{word}") == [word]


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        # conformance: letters, digits, underscores, and signs inside of words
        ("#1hashtag #hashtag1 #a_b #_a", ["1hashtag", "hashtag1", "a_b", "_a"]),
        ("#il·lusió #メ～テレ #サッカー #学問のすゝめ", ["il·lusió", "メ～テレ", "サッカー", "学問のすゝめ"]),
        ("#میخواهم #می\u200cخواهم", ["میخواهم", "می\u200cخواهم"]),
        ("#۳۴۵هشتگ #ＡＢＣ１２３", ["۳۴۵هشتگ", "ＡＢＣ１２３"]),
        ("#\U00020021 #\U00016f04\U00016f51", ["\U00020021", "\U00016f04\U00016f51"]),
        # conformance: no letter, no tag
        ("#16 #_ #1_2 #१२३४ # cats", []),
        # conformance: what ends a tag
        ("#a: #b; #c. (#d) [#e] ’#f’\n#g。#h！＃i", ["a", "b", "c", "d", "e", "f", "g", "h", "i"]),
        ("#cats😀 #don't #a-b #a.b", ["cats", "don", "a"]),
        # conformance: a sign inside of a word, or of an entity of HTML, is none
        ("日本語#タグ a#b 1#c _#d &#39;", []),
        # A tag that another one follows without a space is none: endHashtagMatch.js
        ("#a#b #c＃d #http://a.example", []),
        # hashtagBoundary.js and validHashtag.js: emoji before the sign, and the emoji "number sign"
        ("❤️#love #️⃣a #1️⃣", ["love"]),
        ("#Cats #cats #cats", ["Cats", "cats"]),
        ("", []),
        ("#", []),
    ],
)
def test_tags_when_text_is_of_twitter_texts_grammar(text: str, tags: list[str]) -> None:
    assert hashtags(text) == tags


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("https://example.org/page#photos", []),
        ("https://example.org/#photos http://a.example?x=1#top", []),
        ("www.example.org/#a example.org/#b Example.co.uk/x/-#c", []),
        ("https://a.example/x,#a http://例え.jp/#b https://a.example:8443/#c", []),
        # texts after a URL
        ("https://a.example/x #cats", ["cats"]),
        ("(https://a.example/x)#cats", ["cats"]),
        ("https://t.example/abc。#猫", ["猫"]),
        ("#a/#b and/#or", ["a", "b", "or"]),
        ("https:// #cats e.g. #dogs", ["cats", "dogs"]),
    ],
)
def test_tags_when_text_has_urls_are_not_their_fragments(text: str, tags: list[str]) -> None:
    assert hashtags(text) == tags


@FIXED
@given(st.text(st.sampled_from("#＃a1_é\u0301ह्猫\u200d\ufe0f&/:.h tps😀\n")))
def test_tags_of_any_text_are_tags_again(text: str) -> None:
    """Each tag, after a sign and alone, is the same tag, and a feed may name it."""
    for tag in hashtags(text):
        assert hashtags(f"#{tag}") == [tag]
        assert is_hashtag(tag)
        assert without_sign(f"＃{tag}") == without_sign(f"#{tag}") == tag


@pytest.mark.slow
@pytest.mark.parametrize("size", [200_000, full(1_000_000)])
@pytest.mark.parametrize(
    "unit", ["#", "#a", "#1", "#_", "a.", "a-", "https://a", "a.b/", "#a/", "\u0301", "﹟＃", "www."]
)
def test_tags_of_a_long_text_take_linear_time(unit: str, size: int) -> None:
    """A megabyte takes a second at most on our machines; quadratic time would be hours."""
    started = time.process_time()
    hashtags(unit * (size // len(unit)))
    assert time.process_time() - started < size / 50_000


@pytest.mark.parametrize("word", [*MARKED, "猫", "cats", "1a"])
@pytest.mark.parametrize("sign", ["#", "＃"])
def test_feed_when_it_names_a_tag_of_any_script_is_accepted(word: str, sign: str) -> None:
    for form in (f"x:{sign}{word}", {"source": "x", "hashtag": f"{sign}{word}"}):
        request = get_source("x").request(parse_feed(form), None, None)
        assert request.params["query"] == f"#{word} has:images -is:retweet"
    lookup = get_source("instagram").request(parse_feed(f"instagram:{sign}{word}"), None, None)
    assert lookup.params["q"] == word


@pytest.mark.parametrize("tag", ["a b", "a,b", "😀", "a-b", "a" * 101, "a:b", "#a#b"])
def test_feed_when_its_tag_is_none_is_refused(tag: str) -> None:
    for name in ("x", "instagram"):
        with pytest.raises(BadFeedError):
            get_source(name).request(parse_feed({"source": name, "hashtag": tag}), None, None)
