"""A used-up budget on a deployed stack: the role of Fetch suffices to count, and the feed stops without failing."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest

from local.deploy import STACK_NAME
from tests.support.deployed_stack import Stack
from tests.support.servers import Servers
from tests.support.wire.planted_secrets import SECRETS


@pytest.fixture(scope="module")
def feed(servers: Servers) -> dict[str, Any]:
    return {"source": "x", "hashtag": "thrift", "server": servers.x.url, "budget_usd_per_day": 0.06}


@pytest.fixture(scope="module")
def reports(stack: Stack, feed: dict[str, Any]) -> list[dict[str, Any]]:
    # Another file takes this secret away, and workers remember that.
    secrets, name = stack.engine.client("secretsmanager"), f"{STACK_NAME}/x"
    with suppress(secrets.exceptions.ResourceExistsException):
        secrets.create_secret(Name=name, SecretString=json.dumps(SECRETS["x"]))
        stack.restart("fetch.app.handler")
    runs = [stack.run(feeds=[feed], dt="2026-11-23") for _ in range(2)]
    return [stack.report(run["name"]) | {"status": run["status"]} for run in runs]


def test_feed_reads_what_its_budget_allows_and_stops_with_a_warning(reports: list[dict[str, Any]]) -> None:
    first, second = (report["feeds"][0] for report in reports)
    assert [report["status"] for report in reports] == ["SUCCEEDED", "SUCCEEDED"]
    assert (first["plan"]["stopped_by"], first["plan"]["cost_usd"]) == ("budget", pytest.approx(0.06))
    assert first["plan"]["posts"] + first["plan"]["rejected_posts"] == 12
    (warning,) = first["plan"]["warnings"]
    assert "the budget of x:" in warning
    assert warning.endswith("(0.06 of 0.06 USD are spent or reserved); a backfill can read the posts that are left")
    assert (second["plan"]["posts"], second["plan"]["cost_usd"]) == (0, 0)
    assert second["plan"]["warnings"][0].endswith("; the next run reads the posts that are left")


def test_counter_is_an_item_that_expires(stack: Stack, reports: list[dict[str, Any]]) -> None:
    dynamodb, table = stack.engine.client("dynamodb"), stack.outputs["BookmarksTableName"]
    key = f"budget#{datetime.now(UTC).date()}#{reports[0]['feeds'][0]['feed_id']}"
    item = dynamodb.get_item(TableName=table, Key={"feed_id": {"S": key}})["Item"]
    assert item["spent"] == {"N": "60000"}
    assert int(item["expires_at"]["N"]) > datetime.now(UTC).timestamp()
