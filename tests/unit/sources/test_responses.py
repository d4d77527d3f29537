from __future__ import annotations

import gzip
import json
import time
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagelake.run.errors import (
    CredentialsError,
    FeedNotFoundError,
    FeedNotPermittedError,
    ImagelakeError,
    RateLimitedError,
    SourceChangedError,
    SourceUnavailableError,
)
from imagelake.sources import Feed, RateLimit
from imagelake.sources.responses import (
    Dialect,
    check,
    described,
    excerpt,
    header,
    iso_time,
    rate_limit,
    read_json,
    refusal,
    responded_at,
    unix_time,
)
from imagelake.web.messages import Response
from tests.support.json_mutations import FIXED

FEED = Feed(source="bluesky", account="alice.example")
DIALECT = Dialect(
    rate=lambda response: rate_limit(response, "ratelimit", unix_time),
    code=lambda body: body.get("code"),
    errors={"throttled": RateLimitedError, "old token": CredentialsError},
)


def response(body: bytes | str = b"{}", status: int = 200, **headers: str) -> Response:
    raw = body.encode() if isinstance(body, str) else body
    return Response(
        status, {name.replace("_", "-"): value for name, value in headers.items()}, raw, "https://a.example/"
    )


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (101, SourceChangedError),
        (302, SourceChangedError),
        (400, SourceChangedError),
        (401, CredentialsError),
        (403, FeedNotPermittedError),
        (404, FeedNotFoundError),
        (408, SourceUnavailableError),
        (410, FeedNotFoundError),
        (418, SourceChangedError),
        (429, RateLimitedError),
        (451, FeedNotPermittedError),
        (500, SourceUnavailableError),
        (503, SourceUnavailableError),
        (599, SourceUnavailableError),
    ],
)
def test_check_when_refused_raises_the_error_and_names_feed_and_status(status: int, kind: type[ImagelakeError]) -> None:
    with pytest.raises(kind, match=rf"^bluesky:alice\.example: .+ \(HTTP {status}, ") as caught:
        check(FEED, response("<html>no</html>", status, content_type="text/html"), DIALECT)
    assert type(caught.value) is kind


@pytest.mark.parametrize("status", [200, 201, 204])
def test_check_when_success_returns(status: int) -> None:
    check(FEED, response(b"anything", status), DIALECT)


@pytest.mark.parametrize("status", [400, 401, 403, 500])
def test_check_when_the_body_has_a_code_prefers_it_to_the_status(status: int) -> None:
    with pytest.raises(RateLimitedError):
        check(FEED, response('{"code": "throttled"}', status), DIALECT)
    with pytest.raises(CredentialsError):
        check(FEED, response('{"code": "old token"}', status), DIALECT)


@pytest.mark.parametrize("body", ['{"code": ["throttled"]}', '{"code": 4}', '["code"]', '{"code"', "", "[" * 5000])
def test_check_when_the_code_is_unreadable_goes_by_the_status(body: str) -> None:
    with pytest.raises(FeedNotPermittedError):
        check(FEED, response(body, 403), DIALECT)


DATE = "Thu, 01 Oct 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "reset_at"),
    [
        ({"ratelimit_reset": "1790856000"}, datetime(2026, 10, 1, 12, tzinfo=UTC)),
        ({"RateLimit_Reset": "1790856000"}, datetime(2026, 10, 1, 12, tzinfo=UTC)),
        ({"retry_after": "90", "date": DATE}, datetime(2026, 10, 1, 12, 1, 30, tzinfo=UTC)),
        ({"retry_after": "90"}, None),
        ({"retry_after": "Thu, 01 Oct 2026 13:00:00 GMT"}, datetime(2026, 10, 1, 13, tzinfo=UTC)),
        (
            {"retry_after": "90", "date": DATE, "ratelimit_reset": "1790856000"},
            datetime(2026, 10, 1, 12, 1, 30, tzinfo=UTC),
        ),
        ({}, None),
        ({"ratelimit_reset": "soon", "retry_after": "later"}, None),
        ({"ratelimit_reset": "1790856000000000"}, None),
        ({"ratelimit_reset": "nan", "retry_after": "9" * 30, "date": DATE}, None),
        ({"retry_after": "-5", "date": DATE}, None),
    ],
)
def test_limit_when_reached_carries_an_aware_end(headers: dict[str, str], reset_at: datetime | None) -> None:
    with pytest.raises(RateLimitedError) as caught:
        check(FEED, response(b"{}", 429, **headers), DIALECT)
    assert caught.value.reset_at == reset_at
    assert reset_at is None or caught.value.reset_at.tzinfo is not None  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("remaining", "reset", "rate"),
    [
        ("2999", "1790856000", RateLimit(2999, datetime(2026, 10, 1, 12, tzinfo=UTC))),
        ("599.0", "x", RateLimit(599, None)),
        ("inf", "1790856000", RateLimit(None, datetime(2026, 10, 1, 12, tzinfo=UTC))),
        ("nan", "inf", None),
        ("", "", None),
    ],
)
def test_rate_limit_when_headers_are_partly_readable(remaining: str, reset: str, rate: RateLimit | None) -> None:
    assert rate_limit(response(ratelimit_remaining=remaining, ratelimit_reset=reset), "ratelimit", unix_time) == rate


@pytest.mark.parametrize("text", ["2026-10-01T12:05:00.123456Z", "2026-10-01T14:05:00.123456+02:00"])
def test_iso_time_when_it_has_an_offset_is_utc(text: str) -> None:
    assert iso_time(text) == datetime(2026, 10, 1, 12, 5, 0, 123456, tzinfo=UTC)
    assert iso_time("2026-10-01T12:05:00").tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    ["2026-10-01P12:05", "2026-10-01+12:05:00", "2026-10-01912:05", "2026-W40-4+02:00", "2026-10-01T12:05:00 Z", ""],
)
def test_iso_time_with_another_sign_between_date_and_time_is_refused(text: str) -> None:
    """https://www.rfc-editor.org/rfc/rfc3339#section-5.6"""
    with pytest.raises(ValueError, match="not a time in ISO 8601"):
        iso_time(text)


def test_iso_time_of_a_day_with_a_zone_is_its_start_there() -> None:
    """https://www.w3.org/TR/xmlschema11-2/#date"""
    assert iso_time("2026-10-01+02:00") == datetime(2026, 9, 30, 22, tzinfo=UTC)
    assert iso_time("2026-10-01") == datetime(2026, 10, 1, tzinfo=UTC)


@pytest.mark.parametrize("name", ["Date", "DATE", "date"])
def test_header_when_in_another_case_is_found(name: str) -> None:
    answer = Response(200, {name: DATE}, b"", "https://a.example/")
    assert header(answer, "date") == DATE
    assert responded_at(answer) == datetime(2026, 10, 1, 12, tzinfo=UTC)


@FIXED
@given(st.text(), st.text(), st.text(), st.integers(100, 999), st.binary())
def test_check_when_headers_are_arbitrary_raises_only_imagelake_errors(
    date: str, reset: str, retry_after: str, status: int, body: bytes
) -> None:
    answer = response(
        body, status, date=date, ratelimit_reset=reset, ratelimit_remaining=reset, retry_after=retry_after
    )
    rate_limit(answer, "ratelimit", iso_time)
    with suppress(ImagelakeError):
        check(FEED, answer, DIALECT)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<!DOCTYPE html><html><title>Just a moment...</title>",
        b"Rate Limit Exceeded",
        b'{"feed": [{"post": {"uri": "at:',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        gzip.compress(b"{}", mtime=0),
        b"\xff\xfe\x00\x00",
        b"{}{}",
    ],
)
def test_json_when_it_is_none_says_what_came_instead(body: bytes) -> None:
    with pytest.raises(SourceChangedError, match=rf"got application/json, {len(body):,} bytes") as caught:
        read_json(FEED, response(body, content_type="application/json; charset=utf-8"))
    assert str(caught.value).startswith("bluesky:alice.example: expected JSON, ")
    assert caught.value.__notes__ == [excerpt(response(body))]


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b'["caf\xe9"]', ["caf\ufffd"]),
        (rb'["a\u0000b", "\ud83d\ude00", "\ud83d", "\ude00x"]', ["ab", "\U0001f600", "\ufffd", "\ufffdx"]),
        (rb'{"k\u0000": {"\ud800": 1}}', {"k": {"\ufffd": 1}}),
        (b"[NaN, Infinity, -Infinity, 1e999, 1.5]", [None, None, None, None, 1.5]),
        (b"[" + b"9" * 5000 + b", 7]", [None, 7]),
        (b'{"a": 1, "a": 2}', {"a": 2}),
        ('["\u200d\u202e\u05d0"]'.encode(), ["\u200d\u202e\u05d0"]),
    ],
)
def test_json_when_it_is_odd_is_made_safe_to_store(body: bytes, value: object) -> None:
    assert read_json(FEED, response(body, content_type="text/plain")) == value


def test_json_when_nested_deeply_is_cut_off() -> None:
    value = read_json(FEED, response(b"[" * 400 + b"]" * 400))
    assert json.dumps(value) == "[" * 65 + "null" + "]" * 65


def test_description_has_no_text_of_the_body() -> None:
    assert described(response('{"message": "No profile of Planted Name"}')) == "no content type, 41 bytes"


@pytest.mark.parametrize(("code", "is_shown"), [("InvalidRequest", True), ("100.33", True), ("No user alice", False)])
def test_refusal_has_the_error_code_of_the_network_but_no_sentence(code: str, is_shown: bool) -> None:
    dialect = Dialect(rate=lambda _: None, code=lambda body: body["error"])
    error = refusal(FEED, response(json.dumps({"error": code}), 400), dialect)
    assert (f"(HTTP 400, error {code}, " in str(error)) == is_shown
    assert (code in str(error)) == is_shown
    assert code in error.__notes__[0]


def test_excerpt_when_the_body_holds_a_token_masks_it() -> None:
    token = "EAAB" + "x9Y-z_" * 20
    said = excerpt(response(f'{{"error": "bad", "access_token": "{token}"}} ' + "word " * 500))
    assert token[:20] not in said
    assert "bad" in said
    assert len(said) < 160


@FIXED
@given(st.binary() | st.text().map(str.encode) | st.text().map(lambda text: json.dumps(text).encode()))
def test_json_when_bytes_are_arbitrary_raises_only_imagelake_errors(body: bytes) -> None:
    try:
        value = read_json(FEED, response(body))
    except SourceChangedError:
        return
    json.dumps(value, ensure_ascii=False, allow_nan=False).encode()


@pytest.mark.parametrize("body", [b"[" + b"{}," * 3_300_000 + b"{}]", b"[" + b"0," * 4_900_000 + b"0]"])
def test_json_when_it_has_too_many_values_is_refused_within_a_second_of_cpu(body: bytes) -> None:
    started = time.thread_time()
    with pytest.raises(SourceChangedError, match=r"the response has more than 250,000 JSON values$"):
        read_json(FEED, Response(200, {}, body, ""))
    assert time.thread_time() - started < 1


@pytest.mark.parametrize("text", ["," * 600_000, '\\"{,' * 300_000, "\\" * 600_000 + ","])
def test_json_when_a_text_has_many_signs_is_read(text: str) -> None:
    assert read_json(FEED, Response(200, {}, json.dumps([text, 1]).encode(), "")) == [text, 1]


def test_json_when_a_text_has_no_end_is_refused_at_once() -> None:
    with pytest.raises(SourceChangedError):
        read_json(FEED, Response(200, {}, b'["' + b'\\",' * 3_000_000, ""))
