"""Relay Alert: each service gets text that its readers can use, within its limits, and the URL stays secret."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from imagelake.run.errors import CredentialsError
from imagelake.run.settings import Settings
from relay_alert.alert import Alert
from relay_alert.app import handler
from relay_alert.formats import FORMATS, discord, fit, plain, slack
from relay_alert.notification import Notification
from relay_alert.webhook import TRIES, AlertNotSentError, Webhook
from tests.support.factories import Context, event
from tests.support.web_server import Answer, WebServer

(EXAMPLE,) = event("relay_alert")["Records"]
PATH = "/api/webhooks/1/s3cret"
ALARM = {
    "AlarmName": "imagelake-RunFailedAlarm",
    "AlarmDescription": "A run failed. docs/runbook.md says what to do.",
    "NewStateValue": "ALARM",
    "OldStateValue": "OK",
    "NewStateReason": "Threshold Crossed: 1 datapoint [1.0] was greater than or equal to the threshold (1.0).",
    "StateChangeTime": "2026-04-01T05:41:12.000+0000",
    "AlarmArn": "arn:aws:cloudwatch:us-east-1:123456789012:alarm:imagelake-RunFailedAlarm",
}


@pytest.fixture
def hook(secrets_manager: Any, website: WebServer, monkeypatch: pytest.MonkeyPatch) -> WebServer:
    """A webhook that accepts every alert."""
    monkeypatch.setenv("ALERT_WEBHOOK_SECRET", "alerts")
    Settings.load.cache_clear()
    url = website.put(PATH, Answer(b"", 204))
    secrets_manager.create_secret(Name="alerts", SecretString=json.dumps({"url": url}))
    return website


Change = Callable[..., None]


@pytest.fixture
def change(secrets_manager: Any) -> Change:
    """Replace the secret's fields."""

    def change(**fields: str) -> None:
        secrets_manager.put_secret_value(SecretId="alerts", SecretString=json.dumps(fields))

    return change


def alerts(hook: WebServer) -> list[Any]:
    """The alerts that the webhook has got."""
    return [json.loads(request.body) for request in hook.requests]


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds of each pause between tries."""
    pauses: list[float] = []
    monkeypatch.setattr("imagelake.run.retries.time.sleep", pauses.append)
    return pauses


def notification(message: str | None = None, **changes: Any) -> dict[str, Any]:
    sns = EXAMPLE["Sns"] | ({"Message": message} if message is not None else {}) | changes
    return {name: value for name, value in sns.items() if value is not None}


def published(message: str | None = None, **changes: Any) -> Notification:
    return Notification.model_validate(notification(message, **changes))


def alert(text: str = "All of it", **changes: Any) -> Alert:
    values = {"title": "What", "severity": "warning", "link": None, "at": "2026-04-01T05:41:12.000Z"}
    return Alert(**({"text": text} | values | changes))


def relay(**changes: Any) -> Any:
    return handler({"Records": [EXAMPLE | {"Sns": notification(**changes)}]}, Context())


def test_example_event_reaches_any_webhook_as_flat_json(hook: WebServer) -> None:
    assert relay() == {"relayed": 1}
    assert [request.headers["content-type"] for request in hook.requests] == ["application/json"]
    (got,) = alerts(hook)
    assert got == {
        "version": "1",
        "title": EXAMPLE["Sns"]["Subject"],
        "text": EXAMPLE["Sns"]["Message"],
        "severity": "warning",
        "link": "https://us-east-1.console.aws.amazon.com/states/home?region=us-east-1#/v2/executions/details/"
        "arn:aws:states:us-east-1:123456789012:execution:ImagePipeline:daily-2026-04-01",
        "at": "2026-04-01T05:41:12.000Z",
    }


@pytest.mark.parametrize("wanted", FORMATS)
def test_format_that_the_secret_names_goes_before_that_of_the_host(
    hook: WebServer, change: Change, wanted: str
) -> None:
    change(url=hook.origin + PATH, format=wanted)
    relay()
    assert alerts(hook) == [FORMATS[wanted](Alert.of(published()))]


@pytest.mark.parametrize(
    ("url", "chosen"),
    [
        ("https://discord.com/api/webhooks/1/x", "discord"),
        ("https://hooks.slack.com/services/T/B/x", "slack"),
        ("https://hooks.airtable.com/workflows/v1/x", "json"),
        ("https://discord.com.evil.example/x", "json"),
    ],
)
def test_format_follows_the_host(url: str, chosen: str) -> None:
    webhook = Webhook.of(url)
    assert webhook.format == chosen
    assert url not in repr(webhook)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "has no field url"),
        ({"url": "http://127.0.0.2/s3cret"}, "not https"),
        ({"url": "https://[s3cret"}, "no valid URL"),
        ({"url": "https://hooks.example/s3cret", "format": "teams"}, "not one of discord, slack, json"),
    ],
)
def test_wrong_secret_is_named_without_its_values(
    hook: WebServer, change: Change, fields: dict[str, str], message: str
) -> None:
    change(**fields)
    with pytest.raises(CredentialsError, match=message) as caught:
        relay()
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("fields", [{}, {"url": "https://[s3cret"}, {"url": "http://hooks.example/x"}])
def test_corrected_secret_is_used_at_once(hook: WebServer, change: Change, fields: dict[str, str]) -> None:
    change(**fields)
    with pytest.raises(CredentialsError):
        relay()
    change(url=hook.origin + PATH)
    assert relay() == {"relayed": 1}


def test_private_address_is_refused(hook: WebServer, change: Change) -> None:
    change(url="https://127.0.0.1/s3cret")
    with pytest.raises(AlertNotSentError, match="not a public IP address"):
        relay()


@pytest.mark.parametrize("status", [429, 500, 503])
def test_webhook_that_recovers_gets_the_alert(hook: WebServer, pauses: list[float], status: int) -> None:
    hook.put(PATH, Answer(b"", status, {"Retry-After": "3.5"}), Answer(b"", 204))
    assert relay() == {"relayed": 1}
    assert len(hook.requests) == 2
    assert pauses == [3.5]


@pytest.mark.parametrize(
    ("answer", "posts"),
    [
        (Answer(b"", 400), 1),
        (Answer(b"", 404), 1),
        (Answer(b"", 302, {"Location": "https://elsewhere.example/"}), 1),
        (Answer(b"", 500), TRIES),
        (Answer(b"", 429, {"Retry-After": "3600"}), 1),
    ],
)
def test_webhook_that_refuses_is_an_error_that_lambda_keeps(
    hook: WebServer, caplog: pytest.LogCaptureFixture, answer: Answer, posts: int
) -> None:
    caplog.set_level(logging.DEBUG)
    # It writes down whole answers, secrets too, at a level that is never on.
    caplog.set_level(logging.INFO, "botocore")
    hook.put(PATH, answer)
    with pytest.raises(AlertNotSentError, match=f"127.0.0.1 answered {answer.status}") as caught:
        relay()
    assert len(hook.requests) == posts
    output = "".join(traceback.format_exception(caught.value)) + caplog.text
    assert "s3cret" not in output


def test_webhook_that_is_down_is_an_error_that_lambda_keeps(hook: WebServer, pauses: list[float]) -> None:
    hook.close()
    with pytest.raises(AlertNotSentError, match="no connection to") as caught:
        relay()
    assert len(pauses) == TRIES - 1
    assert sum(pauses) < 10
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


def test_alarm_is_put_into_words() -> None:
    got = Alert.of(published(json.dumps(ALARM), Subject='ALARM: "imagelake-RunFailedAlarm"'))
    assert got.title == "ALARM: imagelake-RunFailedAlarm"
    assert got.severity == "failure"
    assert got.link is not None
    assert got.text.splitlines() == [
        "What: imagelake-RunFailedAlarm is in state ALARM, after OK.",
        "Since: 2026-04-01T05:41:12.000+0000",
        f"Why: {ALARM['NewStateReason']}",
        "What to do: A run failed. docs/runbook.md says what to do.",
        f"Where: {got.link}",
    ]
    assert Alert.of(published(json.dumps(ALARM | {"NewStateValue": "OK"}))).severity == "ok"


@pytest.mark.parametrize(
    ("message", "subject", "severity", "title"),
    [
        ("Imagelake run x was stopped", None, "failure", "Imagelake run x was stopped"),
        ("all", "Imagelake: FAILED before its report", "failure", "Imagelake: FAILED before its report"),
        (
            '{"not": "an alarm"}',
            "Imagelake 2026-04-01 partial: 2 warnings",
            "warning",
            "Imagelake 2026-04-01 partial: 2 warnings",
        ),
        # The number of failed feeds is no outcome.
        ("all", "Imagelake x partial: 1 of 2 feeds failed", "warning", "Imagelake x partial: 1 of 2 feeds failed"),
        ("all", "Imagelake x FAILED: 2 of 3 feeds failed", "failure", "Imagelake x FAILED: 2 of 3 feeds failed"),
        ("all", "Imagelake x ok: 3 new images (ok: x)", "ok", "Imagelake x ok: 3 new images (ok: x)"),
        ("[1]", None, "failure", "[1]"),
    ],
)
def test_other_messages_keep_their_words(message: str, subject: str | None, severity: str, title: str) -> None:
    got = Alert.of(published(message, Subject=subject))
    assert (got.text, got.title, got.severity) == (message, title, severity)


def test_text_of_a_rule_has_no_quotes_around_its_lines() -> None:
    """EventBridge demands them if a text has several lines."""
    link = "https://cn-north-1.console.amazonaws.cn/states/home?region=cn-north-1#/v2/executions/details/arn:x"
    got = Alert.of(published(f'"Imagelake run x FAILED: it timed out."\n"  Execution: {link}"', Subject=None))
    assert got.text == f"Imagelake run x FAILED: it timed out.\n  Execution: {link}"
    assert (got.title, got.link) == ("Imagelake run x FAILED: it timed out.", link)


LONG = "first: what\n" + "🐈<&>``` @everyone\n" * 5_000 + "last: what to do next"
LINK = "https://us-east-1.console.aws.amazon.com/x?a=1&b=2"


def test_discord_gets_one_embed_within_its_limits_and_nobody_is_mentioned() -> None:
    got = discord(alert(LONG, title="t" * 500, link=LINK))
    assert got["allowed_mentions"] == {"parse": []}
    (embed,) = got["embeds"]
    assert len(embed["title"]) <= 256
    description = embed["description"]
    assert 4000 < len(description.encode("utf-16-le")) // 2 <= 4096
    assert description.startswith("```\nfirst: what")
    assert description.endswith("last: what to do next\n```")
    assert description.count("```") == 2
    assert embed["url"] == LINK


def test_slack_gets_blocks_within_its_limits_and_escaped() -> None:
    got = slack(alert(LONG, title="<!channel> & " + "t" * 500, link=LINK))
    header, section, link = got["blocks"]
    assert len(header["text"]["text"]) <= 150
    text = section["text"]["text"]
    assert 2900 < len(text) <= 3000
    assert text.startswith("```\nfirst: what")
    assert text.endswith("last: what to do next\n```")
    assert "<" not in text
    assert text.count("&") == text.count("&amp;") + text.count("&lt;") + text.count("&gt;")
    assert link["text"]["text"] == "<https://us-east-1.console.aws.amazon.com/x?a=1&amp;b=2|Open in the AWS console>"
    assert "<" not in got["text"]


def test_plain_json_has_no_nesting_and_a_bounded_text() -> None:
    got = plain(alert(LONG))
    assert all(isinstance(value, str) for value in got.values())
    assert len(got["text"]) <= 10_000
    assert got["link"] == ""


@pytest.mark.parametrize("length", [0, 1, 99, 100, 101, 1000])
def test_text_is_cut_in_the_middle_only_when_it_is_too_long(length: int) -> None:
    text = "".join(str(number % 10) for number in range(length))
    got = fit(text, 100)
    assert len(got) <= 100
    assert (got == text) == (length <= 100)
    assert got[:50] == text[:50]
    assert got[-20:] == text[-20:]
