"""The networks that need no login, each in its wire format over HTTP, through the whole deployed stack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.deployed_stack import Stack
from tests.support.servers import Servers
from tests.support.wire.commons import CommonsServer
from tests.support.wire.mastodon import MastodonServer
from tests.support.wire.rss import Site
from tests.support.wire.sample import SampleServer
from tests.support.wire.server import UNICODE


@dataclass
class Networks:
    """The stack, the networks it reads, and the feeds of theirs."""

    stack: Stack
    sample: SampleServer
    mastodon: MastodonServer
    closed: MastodonServer
    site: Site
    commons: CommonsServer

    @property
    def feeds(self) -> list[Any]:
        return [
            self.sample.account,
            {"source": "mastodon", "server": self.mastodon.url, "account": "alice"},
            {"source": "rss", "account": f"{self.site.url}/feed.xml"},
            {"source": "rss", "account": f"{self.site.url}/feed.json"},
            {"source": "commons", "server": self.commons.url, "account": "Cats"},
        ]

    def run(self, *feeds: Any) -> dict[str, Any]:
        """The report of a run over ``feeds``, its feeds by name."""
        execution = self.stack.run(feeds=list(feeds), dt="2026-11-23")
        report = self.stack.report(execution["name"])
        return report | {"feeds": {feed["name"]: feed for feed in report["feeds"]}}

    def rows(self, source: str) -> list[dict[str, Any]]:
        return [row for row in self.stack.rows() if row["source"] == source]


@pytest.fixture(scope="module")
def networks(stack: Stack, servers: Servers) -> Networks:
    return Networks(
        stack, servers.sample_of_networks, servers.mastodon, servers.closed_mastodon, servers.site, servers.commons
    )


@pytest.fixture(scope="module")
def first_run(networks: Networks) -> dict[str, Any]:
    return networks.run(*networks.feeds)


def reasons(networks: Networks, report: dict[str, Any], source: str) -> list[str]:
    """Why a run has left out posts and media items of a network."""
    return sorted(reject["reason"] for reject in networks.stack.rejects(report["run"]["run_id"], source))


def test_first_run_reads_every_network_to_its_end(networks: Networks, first_run: dict[str, Any]) -> None:
    assert {feed["status"] for feed in first_run["feeds"].values()} == {"complete"}
    assert {name.partition(":")[0]: feed["counts"]["ok"] for name, feed in first_run["feeds"].items()} == {
        "bluesky": 31, "mastodon": 3, "rss": 2, "commons": 2,
    }  # fmt: skip
    assert networks.sample.account["account"] in next(iter(first_run["feeds"]))


def test_mastodon_rows_hold_what_was_posted(networks: Networks, first_run: dict[str, Any]) -> None:
    rows = {row["media_id"].rpartition("/")[2]: row for row in networks.rows("mastodon")}
    assert set(rows) == {"10000", "10001", "10030"}
    first = rows["10000"]
    assert (first["status"], first["caption"]) == ("ok", f"{UNICODE}\n\n<b> & more")
    assert (first["author_id"], first["author_name"]) == ("alice@127.0.0.1", f"Alice {UNICODE}")
    assert (first["tags"], first["sensitive"], first["license"]) == (["cats"], False, None)
    assert (rows["10001"]["media_index"], rows["10030"]["alt_text"], rows["10030"]["sensitive"]) == (1, UNICODE, True)
    assert reasons(networks, first_run, "mastodon") == ["video is not an image", "visibility: unlisted, not public"]


def test_rss_rows_hold_what_was_posted(networks: Networks, first_run: dict[str, Any]) -> None:
    posted = [row for row in networks.rows("rss") if networks.site.url in row["feed"]]
    rows = {row["media_url"].rpartition("/")[2]: row for row in posted}
    assert set(rows) == {"fig-in-bowl.jpg", "gravel.jpg", "sunset-hills.jpg", "wall-clock.jpg"}
    fig = rows["fig-in-bowl.jpg"]
    assert (fig["status"], fig["caption"], fig["alt_text"]) == ("ok", UNICODE, UNICODE)
    assert (fig["license"], fig["author_id"]) == ("https://cc.example/by", "127.0.0.1")
    assert rows["wall-clock.jpg"]["caption"] == UNICODE
    assert reasons(networks, first_run, "rss") == ["date: not a time in ISO 8601", "video is not an image"]


def test_commons_rows_hold_licence_and_attribution(networks: Networks, first_run: dict[str, Any]) -> None:
    rows = {row["post_id"]: row for row in networks.rows("commons")}
    assert {name: row["license"] for name, row in rows.items()} == {"1": "CC BY-SA 4.0", "2": "Public domain"}
    lamp = rows["1"]
    assert (lamp["status"], lamp["author_name"], lamp["caption"]) == ("ok", UNICODE, UNICODE)
    assert lamp["permalink"] == "https://commons.wikimedia.org/wiki/File:bird-lamp.tif"
    assert reasons(networks, first_run, "commons") == ["userhidden: withdrawn from the public", "video is not an image"]


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
        "planned": 3, "shared": 0, "ok": 3, "duplicate": 0, "rejected": 0, "failed": 0, "erased": 0,
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
    assert starts == ["2026-11-14T09:59:59Z", "2026-11-14T10:00:00Z"]
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


def test_no_log_line_names_a_feed_a_post_or_an_author(networks: Networks, first_run: dict[str, Any]) -> None:
    names = {*first_run["feeds"], *(feed["account"] for feed in networks.feeds)} - {"Cats"}
    for row in networks.stack.rows():
        names |= {
            row[column] for column in ("feed", "author_id", "author_name", "permalink", "media_url") if row[column]
        }
        # A number of a post can also be another number.
        names |= {row["post_id"]} if not row["post_id"].isdigit() else set()
    # The host of the webhook is on loopback too, and is no name.
    lines = [line for line in networks.stack.log_lines("") if "AlertNotSentError" not in line]
    assert len(names) > 20
    assert any(first_run["feeds"][name]["feed_id"] in line for line in lines for name in first_run["feeds"])
    assert [(name, line[:300]) for line in lines for name in names if name in line] == []
