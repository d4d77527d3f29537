"""The networks that want credentials, each in its wire format over HTTP, through the whole deployed stack.

Twelve secrets are planted, the networks repeat them wherever they can, and afterwards they are nowhere.
"""

from __future__ import annotations

import gzip
import html
import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest

from local.deploy import STACK_NAME
from tests.support.deployed_stack import Stack
from tests.support.servers import Servers
from tests.support.wire.bluesky import BlueskyServer
from tests.support.wire.facebook import FacebookServer
from tests.support.wire.graph import error
from tests.support.wire.instagram import InstagramServer
from tests.support.wire.planted_secrets import LOGIN, RENEWED, SECRETS
from tests.support.wire.server import UNICODE, WireServer
from tests.support.wire.x import XServer


@dataclass
class Networks:
    """The stack and the networks it reads."""

    stack: Stack
    instagram: InstagramServer
    facebook: FacebookServer
    x: XServer
    bluesky: BlueskyServer
    events: Callable[[], list[dict[str, Any]]]  # returns all events on the stack's bus
    others: frozenset[str]  # keys of objects that were there before
    log_start: int  # where the engine's log ended before

    def feed(self, text: str, **more: Any) -> dict[str, Any]:
        """A feed of the server on loopback: ``x:CatCafe``, ``instagram:#cats``."""
        source, _, target = text.partition(":")
        named = {"hashtag": target[1:]} if target.startswith("#") else {"account": target}
        server: WireServer = getattr(self, source)
        return {"source": source, "server": server.url, **named, **more}

    def run(self, *feeds: Any) -> dict[str, Any]:
        """The report of a run, its feeds in the order given."""
        execution = self.stack.run(feeds=list(feeds), dt="2026-11-23", failure_tolerance_percent=50)
        report = self.stack.report(execution["name"])
        return report | {"message": (execution["notification"] or {}).get("Message", "")}

    def rows(self, source: str) -> dict[str, dict[str, Any]]:
        server: WireServer = getattr(self, source)
        return {row["media_id"].partition("/")[2]: row for row in self.stack.rows(server.url)}

    def secret(self, network: str) -> dict[str, str]:
        client = self.stack.engine.client("secretsmanager")
        found: dict[str, str] = json.loads(client.get_secret_value(SecretId=f"{STACK_NAME}/{network}")["SecretString"])
        return found


@pytest.fixture(scope="module")
def networks(stack: Stack, servers: Servers) -> Iterator[Networks]:
    before = frozenset(stack.keys(""))
    log_start = stack.engine.log.stat().st_size
    with stack.listen("told-to-the-bus", {"source": ["imagelake"]}) as events:
        yield Networks(
            stack, servers.instagram, servers.facebook, servers.x, servers.bluesky, events, before, log_start
        )


FEEDS = (
    "instagram:me", "instagram:@alice.cats", "instagram:#cats", "facebook:CatCafe", "x:CatCafe", "bluesky:#cats",
)  # fmt: skip


@pytest.fixture(scope="module")
def first_run(networks: Networks) -> dict[str, Any]:
    return networks.run(*map(networks.feed, FEEDS))


def test_first_run_reads_every_network_to_its_end(first_run: dict[str, Any]) -> None:
    assert [(feed["status"], feed["problem"], feed["counts"]["ok"]) for feed in first_run["feeds"]] == [
        ("complete", None, 2),
        ("complete", None, 2),
        ("complete", None, 2),
        ("complete", None, 3),
        ("complete", None, 3),
        ("complete", None, 1),
    ]


def test_instagram_rows_hold_what_was_posted(networks: Networks, first_run: dict[str, Any]) -> None:
    rows = networks.rows("instagram")
    assert set(rows) == {"31", "60", "65", "80", "81", "90", "91"}
    assert (rows["31"]["caption"], rows["31"]["alt_text"], rows["31"]["media_index"]) == (UNICODE, UNICODE, 0)
    assert (rows["80"]["author_id"], rows["90"]["author_id"]) == ("1784", "unknown")
    assert first_run["feeds"][0]["plan"]["skipped_media"] == {
        "video is not an image": 2,
        "instagram gives only the id of this carousel item": 1,
        "instagram gives no URL for this media item, as for copyrighted material": 1,
    }
    assert first_run["feeds"][0]["plan"]["rejected_posts"] == 1


def test_lapsed_address_is_asked_for_again_once(networks: Networks, first_run: dict[str, Any]) -> None:
    rows, requests = networks.rows("instagram"), networks.instagram.requests
    assert [rows[name]["status"] for name in ("60", "65")] == ["ok", "failed"]
    assert (rows["65"]["error_code"], first_run["errors"]) == ("url_expired", {"url_expired": 1})
    spans = [(asked.query["since"], asked.query["until"]) for asked in requests if "since" in asked.query]
    assert len(set(spans)) == len(spans) == 2
    photos = [asked.path for asked in requests if "wall-clock" in asked.path or "paint-brushes" in asked.path]
    assert photos == ["/photos/wall-clock.jpg"], "no address that has lapsed"


def test_instagram_token_is_renewed_once_and_written_back(networks: Networks, first_run: dict[str, Any]) -> None:
    kept = networks.secret("instagram")
    assert kept["access_token"] == RENEWED
    assert datetime.fromisoformat(kept.pop("access_token_expires_at")) - datetime.now(UTC) > timedelta(days=59)
    assert kept | {"access_token": LOGIN} == SECRETS["instagram"]
    assert [asked.path for asked in networks.instagram.requests].count("/refresh_access_token") == 1


def test_hashtag_ends_where_the_one_cursor_brings_nothing_new(networks: Networks, first_run: dict[str, Any]) -> None:
    listed = [asked.query.get("after") for asked in networks.instagram.requests if "recent_media" in asked.path]
    assert listed == [None, "same", "same"]


def test_facebook_rows_hold_what_was_posted(networks: Networks, first_run: dict[str, Any]) -> None:
    rows = networks.rows("facebook")
    assert set(rows) == {"11", "12", "100_4/0"}
    assert {row["status"] for row in rows.values()} == {"ok"}
    assert (rows["11"]["caption"], rows["11"]["author_name"]) == (UNICODE, f"Cat Café {UNICODE}")
    assert first_run["feeds"][3]["plan"]["rejected_posts"] == 1


def test_x_rows_hold_what_was_posted_and_the_report_says_what_it_cost(
    networks: Networks, first_run: dict[str, Any]
) -> None:
    rows = networks.rows("x")
    assert {row["caption"] for row in rows.values()} == {f"post {number} & {UNICODE}" for number in (12, 13, 14)}
    assert [row["sensitive"] for row in rows.values()].count(True) == 1
    plan = first_run["feeds"][4]["plan"]
    assert plan["skipped_media"] == {"video is not an image": 1, "x did not deliver this media item": 10}
    assert plan["cost_usd"] == pytest.approx(0.07)
    line = "14 posts read, 0.070 USD"
    assert line in first_run["message"]
    page = networks.stack.read(f"reports/{first_run['run']['run_id']}/index.html").decode()
    assert line in page


def test_bluesky_logs_in_for_the_search(networks: Networks, first_run: dict[str, Any]) -> None:
    (row,) = networks.rows("bluesky").values()
    assert (row["status"], row["alt_text"], row["caption"]) == ("ok", UNICODE, f"{UNICODE} REDACTED")


def test_limits_were_passed_and_every_page_was_asked_for(networks: Networks, first_run: dict[str, Any]) -> None:
    servers = (networks.instagram, networks.facebook, networks.x)
    assert not any(fault for server in servers for fault in server.faults.values())
    asked = [one.query.get("after") for one in networks.facebook.requests if "published_posts" in one.path]
    assert asked == [None, None, "A1", "A2"]


@pytest.fixture(scope="module")
def second_run(networks: Networks, first_run: dict[str, Any]) -> dict[str, Any]:
    networks.x.requests.clear()
    capped = networks.feed("x:CatCafe", form="timeline", vocabulary="tweet", cost_cap_usd=0.07)
    return networks.run(
        networks.feed("x:CatCafe"),
        networks.feed("x:#cats", cost_cap_usd=0.06),
        capped | {"account": "783214"},
        networks.feed("x:broke"),
        networks.feed("instagram:@nobody"),
        networks.feed("instagram:@throttled"),
        networks.feed("instagram:#none"),
        networks.feed("facebook:DogCafe"),
        networks.feed("bluesky:#dogs"),
        networks.feed("instagram:me"),
    )


def test_second_run_pays_for_nothing_it_has_seen(networks: Networks, second_run: dict[str, Any]) -> None:
    assert second_run["feeds"][0]["status"] == "up_to_date"
    assert second_run["feeds"][0]["plan"]["cost_usd"] == 0


def test_cap_ends_the_reading_cleanly_and_says_so(networks: Networks, second_run: dict[str, Any]) -> None:
    hashtag, timeline = second_run["feeds"][1:3]
    for feed, cost in ((hashtag, 0.06), (timeline, 0.07)):
        assert feed["problem"] is None
        assert feed["plan"]["cost_usd"] == pytest.approx(cost)
    assert (hashtag["plan"]["stopped_by"], timeline["plan"]["stopped_by"]) == ("cost", None)
    assert "reading stopped at its cost limit after 0.060 USD" in second_run["message"]


def test_responses_that_are_no_pages_fail_their_feed_and_name_it(second_run: dict[str, Any]) -> None:
    problems = [feed["problem"] and feed["problem"]["error"] for feed in second_run["feeds"]]
    assert problems[3:] == [
        "RateLimitedError",
        "FeedNotFoundError",
        "SourceChangedError",
        "FeedNotFoundError",
        "CredentialsError",
        "SourceChangedError",
        None,
    ]
    for feed in second_run["feeds"][3:9]:
        assert feed["name"] in feed["problem"]["message"]
    page = second_run["feeds"][7]["problem"]["message"]
    assert f"aws secretsmanager put-secret-value --secret-id {STACK_NAME}/facebook" in page


@pytest.fixture(scope="module")
def third_run(networks: Networks, second_run: dict[str, Any]) -> dict[str, Any]:
    """The token of Instagram lapses soon and cannot be renewed; that of X has been withdrawn."""
    client = networks.stack.engine.client("secretsmanager")
    soon = (datetime.now(UTC) + timedelta(days=5)).isoformat(timespec="seconds")
    login = networks.secret("instagram") | {"access_token_expires_at": soon}
    client.put_secret_value(SecretId=f"{STACK_NAME}/instagram", SecretString=json.dumps(login))
    client.delete_secret(SecretId=f"{STACK_NAME}/x", ForceDeleteWithoutRecovery=True)
    networks.instagram.faults["/refresh_access_token"] = [error(10, f"no permission for {RENEWED}")]
    # Workers remember a secret for minutes.
    networks.stack.restart("fetch.app.handler")
    return networks.run(networks.feed("instagram:me"), networks.feed("x:CatCafe"))


def test_token_that_cannot_be_renewed_alerts_before_it_expires(third_run: dict[str, Any]) -> None:
    mine, other = third_run["feeds"]
    assert mine["problem"] is None
    (renewal, ending) = mine["plan"]["warnings"]
    assert "instagram:" in renewal
    assert "could not be renewed" in renewal
    assert f"access_token of the secret {STACK_NAME}/instagram expires at" in ending
    assert renewal in third_run["message"]
    assert other["problem"]["error"] == "CredentialsError"
    assert f"there is no secret {STACK_NAME}/x" in other["problem"]["message"]
    assert f"aws secretsmanager create-secret --name {STACK_NAME}/x" in other["problem"]["message"]


def test_planted_secrets_are_nowhere(networks: Networks, third_run: dict[str, Any]) -> None:
    places = dict(_everything(networks))
    places |= {f"event {number}": json.dumps(one).encode() for number, one in enumerate(networks.events())}
    kinds = {"object", "row", "table", "history", "log", "report", "mail", "event"}
    assert {kind.partition(" ")[0] for kind in places} >= kinds
    # The search itself: the networks said them, and the places were read.
    assert any(b"REDACTED" in text for place, text in places.items() if place.startswith("object raw/posts/"))
    assert any(b"Feed" in text for place, text in places.items() if place.startswith("event "))
    assert any(UNICODE.encode() in text for place, text in places.items() if place.startswith("row "))
    assert any(b"pages fetched" in text for place, text in places.items() if place.startswith("log "))
    found = [
        (place, half)
        for place, text in places.items()
        for form in _unescaped(text)
        for half in re.findall(rb"planted\d\d(?:head|tail)", form)
    ]
    assert found == []


def _everything(networks: Networks) -> Iterator[tuple[str, bytes]]:
    """All that these runs stored anywhere, but for the secrets themselves."""
    stack, engine = networks.stack, networks.stack.engine
    s3 = engine.client("s3")
    for key in sorted({*stack.keys("")} - networks.others):
        answer = s3.get_object(Bucket=stack.bucket, Key=key)
        body = answer["Body"].read()
        yield f"{'report' if key.startswith('reports/') else 'object'} {key}", body
        yield f"metadata {key}", json.dumps([key, answer["Metadata"]]).encode()
        if key.endswith(".gz"):
            yield f"object {key} inflated", gzip.decompress(body)
    # A Parquet file is packed: what it holds shows only when it is read.
    for row in stack.rows():
        yield f"row {row['media_id']}", repr(row | {"caption": None}).encode() + (row["caption"] or "").encode()
    dynamodb = engine.client("dynamodb")
    for table in dynamodb.list_tables()["TableNames"]:
        yield f"table {table}", repr(dynamodb.scan(TableName=table)["Items"]).encode()
    states = engine.client("stepfunctions")
    for execution in stack.runs:
        pages = states.get_paginator("get_execution_history").paginate(executionArn=execution["executionArn"])
        events = [event for page in pages for event in page["events"]]
        yield f"history {execution['name']}", json.dumps([execution, events], default=str).encode()
        yield f"mail {execution['name']}", json.dumps(execution["notification"]).encode()
    logs = engine.client("logs")
    for group in logs.describe_log_groups()["logGroups"]:
        with suppress(logs.exceptions.ResourceNotFoundException):
            pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group["logGroupName"])
            events = [event for page in pages for event in page["events"]]
            yield f"log {group['logGroupName']}", "\n".join(event["message"] for event in events).encode()
    yield "log of the engine", engine.log.read_bytes()[networks.log_start :]


def _unescaped(text: bytes) -> Iterator[bytes]:
    """The text as it is, and with one layer of URL, JSON and HTML escapes off after another."""
    for _ in range(4):
        yield text
        text = unquote_to_bytes(text)
        text = re.sub(rb"\\+u00([0-9a-fA-F]{2})", lambda found: bytes([int(found[1], 16)]), text)
        text = html.unescape(text.replace(b"\\/", b"/").decode("latin-1")).encode("utf-8")
