"""A lake in an AWS account: the feeds that a user types keep the budgets of the stack's list."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from local.commands import backfill
from local.output import Output
from local.stack_lake import StackLake

DAY = {"budget_usd_per_day": 2.0}
MONTH = {"budget_usd_per_month": 20.0}


def lake_with(monkeypatch: pytest.MonkeyPatch, folder: Path, feeds: Any) -> StackLake:
    lake = StackLake("s", folder)
    lake.outputs = {"FeedsParameterName": "feeds"}
    parameter = {"Parameter": {"Value": json.dumps(feeds)}}
    clients = {"ssm": Mock(get_parameter=Mock(return_value=parameter))}
    monkeypatch.setattr(lake, "client", clients.__getitem__)
    return lake


@pytest.mark.parametrize(
    ("listed", "typed", "budgets"),
    [
        ([{"source": "x", "account": "NASA", **DAY}], "x:NASA", DAY),
        ([{"source": "x", "account": "NASA", **DAY}], "x:nasa", DAY),
        ([{"source": "x", "account": "nasa", **DAY, **MONTH}], {"source": "x", "account": "@NASA"}, DAY | MONTH),
        ([{"source": "x", "hashtag": "cats", **MONTH}], "x:#cats", MONTH),
        # A list for each schedule; a feed that nobody can read is in it too.
        ({"daily": ["nonsense", 7], "hourly": [{"source": "x", "account": "NASA", **DAY}]}, "x:NASA", DAY),
        # What the user spells counts, and the rest is that of the list.
        (
            [{"source": "x", "account": "NASA", **DAY, **MONTH}],
            {"source": "x", "account": "NASA", "budget_usd_per_day": 5.0},
            {"budget_usd_per_day": 5.0} | MONTH,
        ),
        ([{"source": "x", "account": "ESA", **DAY}], "x:NASA", {}),
        (["x:NASA"], "x:NASA", {}),
    ],
)
def test_budgets_of_the_list_hold_for_a_feed_that_a_user_types(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, listed: Any, typed: Any, budgets: dict[str, float]
) -> None:
    (feed,) = lake_with(monkeypatch, tmp_path, listed).prepare([typed])
    assert ({name: feed[name] for name in feed if "budget" in name} if isinstance(feed, dict) else {}) == budgets


def test_list_is_read_for_networks_with_a_price_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lake = lake_with(monkeypatch, tmp_path, [])
    assert lake.prepare(["bluesky:nasa.gov", "mastodon:a.example#cats"]) == [
        "bluesky:nasa.gov",
        "mastodon:a.example#cats",
    ]
    lake.client("ssm").get_parameter.assert_not_called()
    assert lake.prepare(["x:NASA", "x:ESA"]) == ["x:NASA", "x:ESA"]
    lake.client("ssm").get_parameter.assert_called_once_with(Name="feeds")


def test_backfill_has_the_budgets_of_the_list(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lake = lake_with(monkeypatch, tmp_path, [{"source": "x", "account": "NASA", **DAY}])
    given: list[Any] = []

    def start(_: Any, run_input: Any, *rest: Any) -> Any:
        given.append(run_input)
        raise KeyboardInterrupt

    monkeypatch.setattr(backfill, "open_lake", lambda options, create: lake)
    monkeypatch.setattr(backfill, "start_run", start)
    with pytest.raises(KeyboardInterrupt):
        backfill.main(Mock(feeds=["x:NASA"], since="2026-11-25", limit=None, runs=1), Output())
    assert given == [{"feeds": [{"source": "x", "account": "NASA", "since": "2026-11-25", **DAY}]}]
