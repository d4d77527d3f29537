"""The networks that want credentials, each in its wire format over HTTP, through the whole deployed stack.

Twelve secrets are planted, the networks repeat them wherever they can, and afterwards they are nowhere.
"""

from __future__ import annotations

import gzip
import html
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest

from local.demo import subscribe
from local.deploy import STACK_NAME, deploy
from local.engine import Engine
from local.feed_server import FeedServer
from tests.stack.conftest import TEMPLATE, Stack
from tests.stack.test_events import listen, received
from tests.stack.wire.bluesky import BlueskyServer
from tests.stack.wire.facebook import FacebookServer
from tests.stack.wire.graph import error
from tests.stack.wire.instagram import MY_ID, InstagramServer
from tests.stack.wire.server import UNICODE, WireServer
from tests.stack.wire.x import XServer

# Each has two halves that no other has, around a character that is escaped in some format.
LOGIN, RENEWED, FACEBOOK, PAGE, OTHER_PAGE, APP, BEARER, CONSUMER, PASSWORD, SESSION, REFRESH, SPARE = PLANTED = [
    f"planted{number:02}head{between}planted{number:02}tail"
    for number, between in enumerate(["&", "/", "|", "+", "%2F", '"', "%", "=", "-", ".", "~", "<"])
]
SECRETS = {
    "instagram": {"access_token": LOGIN, "facebook_token": FACEBOOK, "user_id": MY_ID, "app_secret": APP},
    "facebook": {"access_token": SPARE, "CatCafe": PAGE, "DogCafe": OTHER_PAGE},
    "x": {"bearer_token": BEARER, "consumer_secret": CONSUMER},
    "bluesky": {"identifier": "alice.example", "app_password": PASSWORD},
}


@dataclass
class Networks:
    """The stack and the networks it reads."""

    stack: Stack
    instagram: InstagramServer
    facebook: FacebookServer
    x: XServer
    bluesky: BlueskyServer
    events: str  # a queue of all that the stack's bus was told

    def feed(self, text: str, **more: Any) -> dict[str, Any]:
        """A feed of the server on loopback: ``x:CatCafe``, ``instagram:#cats``."""
        source, _, target = text.partition(":")
        named = {"hashtag": target[1:]} if target.startswith("#") else {"account": target}
        server: WireServer = getattr(self, source)
        return {"source": source, "server": server.url, **named, **more}

    def run(self, *feeds: Any) -> dict[str, Any]:
        """The report of a run, its feeds in the order given."""
        execution = self.stack.run(feeds=list(feeds), dt="2026-11-23", failure_tolerance_percent=50)
        report: dict[str, Any] = json.loads(self.stack.read(f"reports/{execution['name']}/run.json"))
        return report | {"message": (execution["notification"] or {}).get("Message", "")}

    def rows(self, source: str) -> dict[str, dict[str, Any]]:
        return {row["media_id"].partition("/")[2]: row for row in self.stack.rows() if row["source"] == source}

    def secret(self, network: str) -> dict[str, str]:
        client = self.stack.engine.client("secretsmanager")
        found: dict[str, str] = json.loads(client.get_secret_value(SecretId=f"{STACK_NAME}/{network}")["SecretString"])
        return found


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Networks]:
    with ExitStack() as opened:
        instagram, facebook = InstagramServer(LOGIN, RENEWED, FACEBOOK), FacebookServer(PAGE)
        x, bluesky, unused = XServer(BEARER), BlueskyServer(PASSWORD, SESSION, REFRESH), FeedServer()
        for server in (instagram, facebook, x, bluesky, unused):
            opened.enter_context(server)
        for network in (instagram, facebook, x):
            network.start()
        # Each function may do what its role allows and nothing else; and the networks' shortest limit is a minute.
        settings = {"AUTH": "true", "SFN_WAIT_SCALE": "0"}
        engine = opened.enter_context(Engine(tmp_path_factory.mktemp("engine"), settings=settings))
        for network_name, secret in SECRETS.items():
            engine.client("secretsmanager").create_secret(
                Name=f"{STACK_NAME}/{network_name}", SecretString=json.dumps(secret)
            )
        origins = ",".join(server.url for server in (instagram, facebook, x, bluesky))
        parameters = {"ScheduleState": "DISABLED", "TrustedOrigins": origins}
        # The engine speaks plain HTTP, which that policy refuses.
        outputs = deploy(engine, TEMPLATE, parameters, without=["BucketPolicy"])
        stack = Stack(engine, unused, outputs, subscribe(engine, outputs["TopicArn"]))
        events = listen(stack, "told-to-the-bus", {"source": ["imagelake"]})
        yield Networks(stack, instagram, facebook, x, bluesky, events)


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
    assert line in networks.stack.read("reports/run-1/index.html").decode()


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
    # Workers remember a secret for minutes; an update of the function ends them.
    _restart(networks.stack.engine)
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
    places = dict(_everything(networks.stack))
    places |= {
        f"event {number}": json.dumps(one).encode()
        for number, one in enumerate(received(networks.stack, networks.events))
    }
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


def _everything(stack: Stack) -> Iterator[tuple[str, bytes]]:
    """All that is stored anywhere, but for the secrets themselves."""
    engine = stack.engine
    s3 = engine.client("s3")
    for key in stack.keys(""):
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
    yield "log of the engine", engine.log.read_bytes()


def _unescaped(text: bytes) -> Iterator[bytes]:
    """The text as it is, and with one layer of URL, JSON and HTML escapes off after another."""
    for _ in range(4):
        yield text
        text = unquote_to_bytes(text)
        text = re.sub(rb"\\+u00([0-9a-fA-F]{2})", lambda found: bytes([int(found[1], 16)]), text)
        text = html.unescape(text.replace(b"\\/", b"/").decode("latin-1")).encode("utf-8")


def _restart(engine: Engine) -> None:
    functions = engine.client("lambda")
    (fetch,) = [
        function for function in functions.list_functions()["Functions"] if function["Handler"] == "fetch.app.handler"
    ]
    name = fetch["FunctionName"]
    functions.update_function_code(FunctionName=name, Architectures=fetch["Architectures"])
    functions.get_waiter("function_updated").wait(FunctionName=name, WaiterConfig={"Delay": 1})
