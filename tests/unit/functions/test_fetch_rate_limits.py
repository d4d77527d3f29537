"""Fetch: rate limits that are waited for, and those that end the reading."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from imagelake.run.errors import RateLimitedError
from tests.support.factories import ENTRY, event, post
from tests.support.fake_lake import Lake
from tests.support.fake_network import Network, page
from tests.support.fetching import read, until
from tests.support.web_server import Answer, WebServer

pytestmark = pytest.mark.usefixtures("pauses")


def test_bookmark_stays_if_a_rate_limit_ends_a_reading_that_was_billed(lake: Lake, network: Network) -> None:
    lake.put_bookmark(ENTRY.feed_id, "seen", "2026-01-01T12:00:00.000000Z")
    last = until(datetime.now(UTC) + timedelta(hours=7))
    network.put_pages(page(post("new"), cursor="1", cost_usd=0.005), Answer(b"", 429, last))
    answer = read()
    assert (answer["stopped_by"], answer["newest_id"], answer["newest_at"]) == ("rate_limit", "", "")


def test_limit_that_is_used_up_is_waited_for_before_it_refuses(
    lake: Lake, network: Network, website: WebServer
) -> None:
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=5)
    network.put_pages(Answer(page(post("one"), cursor="1"), headers={"left": "0", **until(end)}), page(post("two")))
    answer = read()
    assert (answer["status"], answer["pages"], answer["cursor"], len(website.asked)) == ("rate_limited", 1, "1", 1)
    assert answer["retry_at"] == (end + timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert read(progress=answer)["status"] == "done"


@pytest.mark.parametrize(("left", "names_end"), [("1", True), ("0", False)])
def test_limit_that_is_not_used_up_or_names_no_end_is_not_waited_for(
    lake: Lake, network: Network, left: str, names_end: bool
) -> None:
    end = until(datetime.now(UTC) + timedelta(minutes=5)) if names_end else {}
    network.put_pages(Answer(page(post("one"), cursor="1"), headers={"left": left, **end}), page(post("two")))
    answer = read()
    assert (answer["status"], answer["pages"], answer["waits"]) == ("done", 2, 0)


def test_limit_that_is_used_up_on_the_last_page_does_not_matter(lake: Lake, network: Network) -> None:
    end = until(datetime.now(UTC) + timedelta(minutes=5))
    network.put_pages(Answer(page(post("one")), headers={"left": "0", **end}))
    assert read()["status"] == "done"


def test_rate_limit_when_its_end_is_known(lake: Lake, network: Network) -> None:
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=5)
    network.put_pages(page(post("one"), cursor="1"), Answer(b"", 429, until(end)))
    answer = read()
    assert (answer["status"], answer["pages"], answer["cursor"], answer["waits"]) == ("rate_limited", 1, "1", 1)
    assert answer["retry_at"] == (end + timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    network.put_pages(b"", page(post("two")))
    again = read(progress=answer)
    assert (again["status"], again["pages"], again["retry_at"], again["stopped_by"]) == ("done", 2, None, None)


def test_rate_limit_when_its_end_is_not_known(lake: Lake, network: Network) -> None:
    network.put_pages(Answer(b"", 429))
    retry_at = datetime.fromisoformat(read()["retry_at"])
    assert timedelta(minutes=4.5) < retry_at - datetime.now(UTC) < timedelta(minutes=6)


def test_rate_limit_when_its_end_is_in_another_time_zone(
    lake: Lake, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=5)

    def limited(*_: Any) -> None:
        raise RateLimitedError("slow down", end.astimezone(timezone(timedelta(hours=2))))

    monkeypatch.setattr(network, "parse", limited)
    assert read()["retry_at"] == (end + timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_rate_limit_is_not_tried_again_at_once(lake: Lake, network: Network, website: WebServer) -> None:
    network.put_pages(Answer(b"", 429))
    read()
    assert len(website.asked) == 1


def test_rate_limit_just_short_and_rare_enough_is_waited_for(lake: Lake, network: Network) -> None:
    network.put_pages(Answer(b"", 429, until(datetime.now(UTC) + timedelta(hours=5, minutes=59))))
    answer = read(progress=event("fetch")["progress"] | {"waits": 2})
    assert (answer["status"], answer["waits"], answer["stopped_by"]) == ("rate_limited", 3, None)


@pytest.mark.parametrize(("waits", "hours"), [(3, 1), (0, 6.1)])
def test_rate_limit_that_is_too_long_or_too_frequent(lake: Lake, network: Network, waits: int, hours: float) -> None:
    network.put_pages(Answer(b"", 429, until(datetime.now(UTC) + timedelta(hours=hours))))
    before = event("fetch")["progress"] | {"waits": waits}
    with pytest.raises(RateLimitedError, match="slow down"):
        read(progress=before)
    some = read(progress=before | {"pages": 1, "posts": 4, "newest_id": "one", "newest_at": "2026-04-01"})
    assert (some["status"], some["stopped_by"], some["posts"], some["waits"]) == ("done", "rate_limit", 4, waits)


@pytest.mark.parametrize("newest_first", [True, False])
def test_first_run_that_a_rate_limit_ends_leaves_no_bookmark(lake: Lake, network: Network, newest_first: bool) -> None:
    network.newest_first = newest_first
    network.put_pages(Answer(b"", 429, until(datetime.now(UTC) + timedelta(hours=7))))
    read_so_far = {"pages": 1, "posts": 1, "cursor": "0", "newest_id": "one", "newest_at": "2026-04-01"}
    answer = read(progress=event("fetch")["progress"] | read_so_far)
    assert (answer["status"], answer["stopped_by"], answer["newest_at"]) == ("done", "rate_limit", "")
