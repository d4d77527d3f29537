"""A plan of the sample feed and the run after it, and a backfill of what that run left behind its limit."""

from __future__ import annotations

import json
from typing import Any

import pytest

from imagelake.run import prices
from tests.support.deployed_stack import Stack
from tests.support.servers import Servers
from tests.support.wire.sample import SampleServer

ITEMS = 36
NEAR = pytest.approx


@pytest.fixture(scope="module")
def sample(servers: Servers) -> SampleServer:
    return servers.sample_of_plan


@pytest.fixture(scope="module")
def plan(stack: Stack, sample: SampleServer) -> dict[str, Any]:
    before = {*stack.keys("raw/"), *stack.keys("work/"), *stack.keys("lake/"), *stack.keys("open/")}
    execution = stack.run(feeds=[sample.account], batch_size=10, dt="2026-11-23", plan=True)
    assert execution["status"] == "SUCCEEDED"
    assert {*stack.keys("raw/"), *stack.keys("work/"), *stack.keys("lake/"), *stack.keys("open/")} == before
    assert stack.keys(f"reports/{execution['name']}/") == [f"reports/{execution['name']}/plan.json"]
    found: dict[str, Any] = json.loads(stack.read(f"reports/{execution['name']}/plan.json"))
    return found | {"notification": execution["notification"]}


@pytest.fixture(scope="module")
def backfilled(stack: Stack, sample: SampleServer, plan: dict[str, Any]) -> list[dict[str, Any]]:
    """A first run that stops at its limit, then runs of a backfill until it is done."""
    options = {"batch_size": 10, "dt": "2026-11-23", "posts_per_feed": 10}
    runs = [stack.report(stack.run(feeds=[sample.account], **options)["name"])]
    feed = {**sample.account, "since": "2020-01-01"}
    while len(runs) < 6:
        runs.append(stack.report(stack.run(feeds=[feed], **options)["name"]))
        if runs[-1]["feeds"][0]["plan"]["stopped_by"] is None:
            break
    return runs


def test_plan_asks_one_question_and_reads_no_post(plan: dict[str, Any], sample: SampleServer) -> None:
    assert [target.partition("?")[0] for target in sample.requests[:1]] == ["/xrpc/app.bsky.actor.getProfile"]
    assert plan["feeds"][0]["estimate"]["basis"].startswith("Bluesky was asked")
    assert "nothing was fetched" in plan["notification"]["Message"]


def test_plan_is_within_a_fifth_of_the_run(
    stack: Stack, sample: SampleServer, plan: dict[str, Any], backfilled: list[dict[str, Any]]
) -> None:
    """The first run and the backfill together read what one run without a limit reads."""
    read = [run["feeds"][0]["plan"] for run in backfilled]
    posts = sum(one["posts"] + one["rejected_posts"] for one in read)
    images = sum(run["totals"]["planned"] for run in backfilled)
    assert plan["totals"]["posts"] == NEAR(posts, rel=0.2)
    assert plan["totals"]["images"] == NEAR(images, rel=0.2)
    assert plan["totals"]["network_usd"] == sum(one["cost_usd"] for one in read) == 0
    assert plan["totals"]["aws_usd"] == NEAR(prices.usd_of_run(1, -(-images // 10), images), rel=0.2)


def test_backfill_reads_every_post_behind_the_limit_once(
    stack: Stack, sample: SampleServer, backfilled: list[dict[str, Any]]
) -> None:
    rows = stack.rows(sample.url)
    assert len({row["media_id"] for row in rows}) == len(rows) == ITEMS
    first, *others = [run["feeds"][0]["plan"] for run in backfilled]
    assert len(others) >= 2
    assert all(one["backfill"] and one["bookmark"] == first["bookmark"] for one in others)
    assert [one["backfill_position"]["is_at_end"] for one in others] == [False] * (len(others) - 1) + [True]
    assert sum(one["already_known"] for one in others) == 0, "no page is read twice"


def test_run_after_the_backfill_finds_nothing_new(
    stack: Stack, sample: SampleServer, backfilled: list[dict[str, Any]]
) -> None:
    name = stack.run(feeds=[sample.account], batch_size=10, dt="2026-11-23", plan=True)["name"]
    planned = json.loads(stack.read(f"reports/{name}/plan.json"))["totals"]
    again = stack.report(stack.run(feeds=[sample.account], batch_size=10, dt="2026-11-23")["name"])
    read = again["feeds"][0]["plan"]
    assert planned["images"] == again["totals"]["planned"] == 0
    assert planned["posts"] == read["new_posts"] == 0
    assert planned["known_posts"] == NEAR(read["posts"], rel=0.2)
    assert [feed["status"] for feed in again["feeds"]] == ["up_to_date"]
    done = stack.report(stack.run(feeds=[{**sample.account, "since": "2020-01-01"}], dt="2026-11-23")["name"])
    assert done["feeds"][0]["plan"]["posts"] == 0
    assert done["feeds"][0]["status"] == "up_to_date"
