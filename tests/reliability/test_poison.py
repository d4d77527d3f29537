"""A feed with 50 bad posts among its good ones: exactly those end as bad, each with its reason."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from imagelake.run.settings import Settings
from tests.reliability.audit import problems, rows, unbalanced
from tests.reliability.pipeline import execute, notified
from tests.reliability.poison import PICTURES, POSTS, Poison, media_id
from tests.reliability.world import DAY, new_lake
from tests.support.fake_lake import Lake
from tests.support.sample import full
from tests.support.web_server import WebServer


@pytest.fixture(autouse=True)
def pauses(clients: None, website: WebServer, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds of each pause between tries."""
    pauses: list[float] = []
    monkeypatch.setattr("imagelake.run.retries.time.sleep", pauses.append)
    Settings.load.cache_clear()
    return pauses


def rejects(lake: Lake) -> list[dict[str, Any]]:
    (key,) = lake.bucket.list("rejects/")
    return [json.loads(line) for line in lake.bucket.get(key).splitlines()]


@pytest.mark.parametrize("posts", [200, full(1000)])
def test_exactly_the_bad_ones_end_as_bad_with_their_reason_and_one_warning(website: WebServer, posts: int) -> None:
    poison = Poison(website, posts)
    assert len(poison.bad) == 50
    assert len({*PICTURES, *POSTS}) >= 20
    with new_lake() as lake:
        report = execute(lake, "run-1", [poison.feed], dt=DAY)
        found = {row["media_id"]: row for row in rows(lake)}
        pictures = {media_id(key): PICTURES[kind] for key, kind in poison.bad.items() if kind in PICTURES}
        expected = {media_id(key): "ok" for key in poison.good}
        expected |= {one: status for one, (_, status, _) in pictures.items()}

        assert [*problems(lake, expected), *unbalanced(lake, "run-1")] == []
        assert {one: found[one]["error_code"] for one in pictures} == {
            one: code for one, (_, _, code) in pictures.items()
        }
        assert all(found[one]["error_message"] for one in pictures)
        assert {row["error_code"] for one, row in found.items() if one not in pictures} == {None}

        left_out = rejects(lake)
        wanted = Counter((kind, reason) for _, kind, reason in POSTS.values())
        for kind, reason in wanted:
            assert sum(one["kind"] == kind and reason in one["reason"] for one in left_out) == 2, (kind, reason)
        assert len(left_out) == 2 * len(POSTS)
    assert report["outcome"] == "partial"
    assert notified(report) == ["Notify Warning"]


def test_run_with_more_bad_ones_than_are_tolerated_fails_with_one_alert(website: WebServer) -> None:
    poison = Poison(website, posts=150)
    with new_lake() as lake:
        report = execute(lake, "run-1", [poison.feed], dt=DAY, failure_tolerance_percent=5)
        assert report["outcome"] == "failed"
        assert "TooManyFailures: 16 of 142 items failed" in report["message"]
        assert notified(report) == ["Notify Failure"]
        # What succeeded is in the lake all the same.
        assert Counter(row["status"] for row in rows(lake))["ok"] == len(poison.good) == 100
