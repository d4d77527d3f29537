"""Wrong input is refused with one sentence in our own words that names the field; right input is accepted."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from check_input.app import handler
from imagelake.run.errors import BadFeedError, BadInputError
from imagelake.sources import get_source, parse_feed
from imagelake.sources.stream import to_post
from imagelake.sources.wire import reason
from imagelake.web.messages import Request
from tests.support.factories import Context, event
from tests.support.wrong_inputs import FEEDS, GOOD_FEED, INPUTS, PARAMETERS, RECORDS, RIGHT

pytestmark = pytest.mark.usefixtures("lake")
PARAMETER = "/imagelake/feeds"
# Wording of pydantic, of json, of datetime and of Python; a stack trace; a regular expression; the name of a class.
FOREIGN = re.compile(
    r"Input should|Field required|should (be|have|match)|valid (string|integer|list|dictionary|number|boolean|datetime)"
    r"|not permitted|Value error|Assertion|Traceback|File \"|, line \d+, in|recursion|out of range|codec|surrogates not"
    r"|does not match format|isoformat|Expecting|unpack|Exceeds the limit|NoneType|\bdict\b|\bint\b|\bstr\b|\bfloat\b"
    r"|[A-Z][a-z]+Error\b|RunInput|FrozenModel|_PostRecord|\^\[|\\d|\[\^|\{1,"
)


def check(given: Any, parameter: str | None = None) -> dict[str, Any]:
    loaded = None if parameter is None else {"name": PARAMETER, "value": parameter}
    answer: dict[str, Any] = handler(event("check_input", input=given, feeds_parameter=loaded), Context())
    return answer


def request_of(config: Any) -> Request:
    feed = parse_feed(config)
    return get_source(feed.source).request(feed, None, None)


def reason_of(record: dict[str, Any]) -> str:
    try:
        to_post(record)
    except ValueError as error:
        return reason(error)
    return "accepted"


def name(value: Any) -> str:
    """Return a short id of a case, also of one that is nested too deeply to be written."""
    try:
        return ascii(value)[:60]
    except (RecursionError, ValueError):
        return "deep or huge"


def is_plain(sentence: str) -> bool:
    sentence.encode()
    return FOREIGN.search(sentence) is None and sentence.isprintable() and len(sentence) < 700


@pytest.mark.parametrize(("field", "given"), INPUTS, ids=name)
def test_wrong_input_is_refused_with_a_sentence_that_names_the_field(field: str, given: Any) -> None:
    with pytest.raises(BadInputError) as refused:
        check(given)
    sentence = str(refused.value)
    assert sentence.startswith("execution input: ")
    assert field in sentence.partition(", not ")[0]
    assert is_plain(sentence), sentence


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "parameter", "sentence"),
    [
        ({"feeds": [GOOD_FEED], "x" * 999: 1}, None, f"execution input: {'x' * 60}…: there is no such field;"),
        ({"feeds": [GOOD_FEED], "": 1}, None, 'execution input: "": there is no such field;'),
        ({"feeds": [GOOD_FEED], "retry": {"run_id": "a", "": 1}}, None, 'execution input: retry."": there is no such'),
        (
            {"feeds": [GOOD_FEED], "retry": {"run_id": "a", "日" * 900: 1}},
            None,
            f"execution input: retry.{'日' * 60}…:",
        ),
        ({}, {"": []}, 'no list for the schedule "daily"; it has: ""'),
        ({}, {"": 5}, ': "": it has to be a list of feeds, not 5'),
        ({}, {"k" * 999: []}, f'no list for the schedule "daily"; it has: {"k" * 60}…'),
        ({}, {"k" * 999: 5}, f": {'k' * 60}…: it has to be a list of feeds, not 5"),
        ({}, {f"s{one}": [] for one in range(3_000)}, "it has: s0, s1, s2, s3, s4 and 2,995 more"),
    ],
    ids=range(9),
)
def test_name_of_a_field_is_short_and_never_nothing(given: Any, parameter: Any, sentence: str) -> None:
    with pytest.raises(BadInputError) as refused:
        check(given, json.dumps(parameter)) if parameter else check(given)
    assert sentence in str(refused.value)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize(("field", "value"), PARAMETERS, ids=name)
def test_wrong_parameter_is_refused_with_a_sentence_that_names_it(field: str, value: str) -> None:
    with pytest.raises(BadInputError) as refused:
        check({}, value)
    sentence = str(refused.value)
    assert sentence.startswith(f"SSM parameter {PARAMETER}")
    assert field in sentence
    assert is_plain(sentence), sentence


@pytest.mark.parametrize(("field", "config"), FEEDS, ids=name)
def test_wrong_feed_fails_alone_with_a_sentence_that_names_the_field(field: str, config: Any) -> None:
    accepted = check({"feeds": [GOOD_FEED, config]})["feeds"]
    assert len(accepted) == 2
    with pytest.raises(BadFeedError) as refused:
        request_of(accepted[1]["config"])
    assert field in str(refused.value)
    assert is_plain(str(refused.value)), refused.value


@pytest.mark.parametrize(("field", "record"), RECORDS, ids=name)
def test_wrong_record_is_rejected_with_a_reason_that_names_the_field(field: str, record: dict[str, Any]) -> None:
    sentence = reason_of(record)
    assert sentence.startswith(field)
    assert is_plain(sentence), sentence


def test_there_are_many_wrong_inputs_and_all_are_different() -> None:
    every = [*INPUTS, *PARAMETERS, *FEEDS, *RECORDS]
    assert len({(field, name(given)) for field, given in every}) >= 150
    assert len(RIGHT) >= 40


@pytest.mark.parametrize("given", RIGHT, ids=name)
def test_right_input_is_accepted(given: dict[str, Any]) -> None:
    accepted = check(given)
    assert [parse_feed(entry["config"]) for entry in accepted["feeds"]] == [parse_feed(feed) for feed in given["feeds"]]


@pytest.mark.parametrize("field", ["post_id", "author_name", "text", "permalink", "license", "tags", "alt_text"])
def test_half_of_a_character_in_a_record_is_a_reason_that_names_the_field(field: str) -> None:
    """RFC 8259, section 8.2: a lone surrogate is no character, so no encoding of Unicode can write it."""
    broken = ["a", "b\ud800"] if field == "tags" else "a\udfff"
    post: dict[str, Any] = {"post_id": "1", "author_id": "a", "posted_at": "2026-04-01T05:00:00Z"}
    media = {"media_id": "m/1", "index": 0, "kind": "image", "url": None, "alt_text": broken}
    post |= {"media": [media]} if field == "alt_text" else {field: broken}
    sentence = reason_of({"schema": "imagelake.post/1", "post": post})
    assert re.match(rf"post\.(media\.0\.)?{field}", sentence)
    assert is_plain(sentence), sentence


@pytest.mark.parametrize("cap", [2e307, 1e308, 1.7e308, 10**15])
@pytest.mark.parametrize("form", ["search", "timeline"])
def test_huge_cost_cap_is_none(cap: float, form: str) -> None:
    capped = request_of({"source": "x", "account": "12345", "form": form, "cost_cap_usd": cap})
    assert capped.params == request_of({"source": "x", "account": "12345", "form": form}).params


def test_parameter_may_begin_with_a_byte_order_mark() -> None:
    assert len(check({}, "\ufeff" + json.dumps([GOOD_FEED]))["feeds"]) == 1
