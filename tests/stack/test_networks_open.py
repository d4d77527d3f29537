"""The networks that need no login, each in its wire format over HTTP, through the whole deployed stack."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from local.deploy import deploy
from local.engine import Engine
from local.feed_server import FeedServer
from tests.stack.conftest import ACCOUNT, TEMPLATE, Stack
from tests.stack.wire.commons import CommonsServer
from tests.stack.wire.mastodon import MastodonServer
from tests.stack.wire.rss import Site
from tests.stack.wire.server import UNICODE


@dataclass
class Networks:
    """The stack, the networks it reads, and the feeds of theirs."""

    stack: Stack
    mastodon: MastodonServer
    closed: MastodonServer
    site: Site
    commons: CommonsServer

    @property
    def feeds(self) -> list[Any]:
        return [
            self.stack.feed,
            {"source": "mastodon", "server": self.mastodon.url, "account": "alice"},
            {"source": "rss", "account": f"{self.site.url}/feed.xml"},
            {"source": "rss", "account": f"{self.site.url}/feed.json"},
            {"source": "commons", "server": self.commons.url, "account": "Cats"},
        ]

    def run(self, *feeds: Any) -> dict[str, Any]:
        """The report of a run over ``feeds``, its feeds by name."""
        execution = self.stack.run(feeds=list(feeds), dt="2026-11-23")
        report: dict[str, Any] = json.loads(self.stack.read(f"reports/{execution['name']}/run.json"))
        return report | {"feeds": {feed["name"]: feed for feed in report["feeds"]}}

    def rows(self, source: str) -> list[dict[str, Any]]:
        return [row for row in self.stack.rows() if row["source"] == source]

    def rejects(self, source: str) -> list[str]:
        return [
            json.loads(line)["reason"]
            for key in self.stack.keys(f"rejects/source={source}/")
            if "/run-1-" in key
            for line in self.stack.read(key).splitlines()
        ]


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Networks]:
    with ExitStack() as opened:
        mastodon, closed = MastodonServer(), MastodonServer(closed=True)
        site, commons, bluesky = Site(), CommonsServer(), FeedServer()
        for server in (mastodon, closed, site, commons, bluesky):
            opened.enter_context(server)
        for network in (mastodon, site, commons):
            network.start()
        engine = opened.enter_context(Engine(tmp_path_factory.mktemp("engine")))
        origins = ",".join(server.url for server in (mastodon, closed, site, commons, bluesky))
        outputs = deploy(engine, TEMPLATE, {"ScheduleState": "DISABLED", "TrustedOrigins": origins})
        mailbox = engine.client("sqs").create_queue(QueueName="mailbox")["QueueUrl"]
        yield Networks(Stack(engine, bluesky, outputs, mailbox), mastodon, closed, site, commons)


@pytest.fixture(scope="module")
def first_run(networks: Networks) -> dict[str, Any]:
    return networks.run(*networks.feeds)


def test_first_run_reads_every_network_to_its_end(networks: Networks, first_run: dict[str, Any]) -> None:
    assert {feed["status"] for feed in first_run["feeds"].values()} == {"complete"}
    assert {name.partition(":")[0]: feed["counts"]["ok"] for name, feed in first_run["feeds"].items()} == {
        "bluesky": 31, "mastodon": 3, "rss": 2, "commons": 2,
    }  # fmt: skip
    assert ACCOUNT in next(iter(first_run["feeds"]))


def test_mastodon_rows_hold_what_was_posted(networks: Networks, first_run: dict[str, Any]) -> None:
    rows = {row["media_id"].rpartition("/")[2]: row for row in networks.rows("mastodon")}
    assert set(rows) == {"10000", "10001", "10030"}
    first = rows["10000"]
    assert (first["status"], first["caption"]) == ("ok", f"{UNICODE}\n\n<b> & more")
    assert (first["author_id"], first["author_name"]) == ("alice@127.0.0.1", f"Alice {UNICODE}")
    assert (first["tags"], first["sensitive"], first["license"]) == (["cats"], False, None)
    assert (rows["10001"]["media_index"], rows["10030"]["alt_text"], rows["10030"]["sensitive"]) == (1, UNICODE, True)
    assert sorted(networks.rejects("mastodon")) == ["video is not an image", "visibility: unlisted, not public"]


def test_rss_rows_hold_what_was_posted(networks: Networks, first_run: dict[str, Any]) -> None:
    rows = {row["media_url"].rpartition("/")[2]: row for row in networks.rows("rss")}
    assert set(rows) == {"fig-in-bowl.jpg", "gravel.jpg", "sunset-hills.jpg", "wall-clock.jpg"}
    fig = rows["fig-in-bowl.jpg"]
    assert (fig["status"], fig["caption"], fig["alt_text"]) == ("ok", UNICODE, UNICODE)
    assert (fig["license"], fig["author_id"]) == ("https://cc.example/by", "127.0.0.1")
    assert rows["wall-clock.jpg"]["caption"] == UNICODE
    reasons = networks.rejects("rss")
    assert sorted(reasons) == ["date: not a time in ISO 8601", "video is not an image"]


def test_commons_rows_hold_licence_and_attribution(networks: Networks, first_run: dict[str, Any]) -> None:
    rows = {row["post_id"]: row for row in networks.rows("commons")}
    assert {name: row["license"] for name, row in rows.items()} == {"1": "CC BY-SA 4.0", "2": "Public domain"}
    lamp = rows["1"]
    assert (lamp["status"], lamp["author_name"], lamp["caption"]) == ("ok", UNICODE, UNICODE)
    assert lamp["permalink"] == "https://commons.wikimedia.org/wiki/File:bird-lamp.tif"
    assert sorted(networks.rejects("commons")) == ["userhidden: withdrawn from the public", "video is not an image"]


def test_limits_and_empty_pages_were_passed(networks: Networks, first_run: dict[str, Any]) -> None:
    assert not any(
        fault for server in (networks.mastodon, networks.site, networks.commons) for fault in server.faults.values()
    )
    positions = [asked.query.get("gcmcontinue") for asked in networks.commons.requests if "generator" in asked.query]
    assert positions == [None, "2|empty", "2"]
    assert [asked.query.get("page") for asked in networks.site.requests if asked.path == "/feed.json"] == [
        None,
        "2",
        "3",
    ]


@pytest.fixture(scope="module")
def second_run(networks: Networks, first_run: dict[str, Any]) -> dict[str, Any]:
    networks.mastodon.post("forest-stream")
    networks.site.post(f'<enclosure url="{networks.site.photo("autumn-forest")}" type="image/jpeg"/>')
    networks.commons.add("stream-cascade")
    for server in (networks.mastodon, networks.site, networks.commons):
        server.requests.clear()
    return networks.run(*networks.feeds)


def test_second_run_adds_what_is_new_and_nothing_else(networks: Networks, second_run: dict[str, Any]) -> None:
    assert second_run["totals"] | {"shared": 0} == {
        "planned": 3, "shared": 0, "ok": 3, "duplicate": 0, "rejected": 0, "failed": 0,
    }  # fmt: skip
    photos = [
        asked.path.rpartition("/")[2]
        for server in (networks.mastodon, networks.site, networks.commons)
        for asked in server.requests
        if asked.path.startswith("/photos/")
    ]
    assert photos == ["forest-stream.jpg", "autumn-forest.jpg", "stream-cascade.jpg"]


def test_second_run_asks_from_the_bookmark_on(networks: Networks, second_run: dict[str, Any]) -> None:
    assert "1003" in [asked.query.get("min_id") for asked in networks.mastodon.requests]
    starts = [asked.query["gcmstart"] for asked in networks.commons.requests if "gcmstart" in asked.query]
    assert starts == ["2026-11-14T10:00:00Z"]
    (feed,) = [asked for asked in networks.site.requests if asked.path == "/feed.xml"]
    assert feed.headers["if-none-match"]


def test_third_run_finds_a_feed_that_has_not_changed(networks: Networks, second_run: dict[str, Any]) -> None:
    rows = networks.stack.rows()
    report = networks.run(networks.feeds[2])
    assert {feed["status"] for feed in report["feeds"].values()} == {"up_to_date"}
    assert report["outcome"] == "ok"
    assert networks.stack.rows() == rows


def test_responses_that_are_no_pages_fail_their_feed_and_name_it(networks: Networks, first_run: dict[str, Any]) -> None:
    def mastodon(account: str) -> dict[str, str]:
        return {"source": "mastodon", "server": networks.mastodon.url, "account": account}

    def rss(path: str) -> dict[str, str]:
        return {"source": "rss", "account": f"{networks.site.url}/{path}"}

    def commons(category: str) -> dict[str, str]:
        return {"source": "commons", "server": networks.commons.url, "account": category}

    expected = [
        (mastodon("nobody"), "FeedNotFoundError"),
        (mastodon("behind-a-login"), "SourceChangedError"),
        (mastodon("cut"), "SourceChangedError"),
        ({"source": "mastodon", "server": networks.closed.url, "hashtag": "cats"}, "FeedNotPermittedError"),
        (rss("behind-a-login.xml"), "SourceChangedError"),
        (rss("cut.xml"), "SourceChangedError"),
        (rss("bomb.xml"), "SourceChangedError"),
        (rss("blank.xml"), "SourceChangedError"),
        (rss("moved.xml"), "BadFeedError"),
        (rss("none.xml"), "FeedNotFoundError"),
        (commons("Login"), "SourceChangedError"),
        (commons("Cut"), "SourceChangedError"),
        (commons("Dogs"), "FeedNotFoundError"),
    ]
    open_feed = {"source": "mastodon", "server": f"{networks.mastodon.url},{networks.closed.url}", "hashtag": "cats"}
    report = networks.run(open_feed, *(config for config, _ in expected[:3] + expected[4:]))
    problems = {name: feed["problem"] and feed["problem"]["error"] for name, feed in report["feeds"].items()}
    assert list(problems.values()) == [
        None,
        "FeedNotPermittedError",
        *(error for _, error in expected[:3] + expected[4:]),
    ]
    for name, feed in report["feeds"].items():
        assert feed["problem"] is None or name in feed["problem"]["message"]
