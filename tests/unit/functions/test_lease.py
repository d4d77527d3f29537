"""The lease of a feed: a running execution keeps it, an execution that ended does not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

import fetch.lease
from fetch.app import handler
from fetch.lease import take_lease
from imagelake.lake import object_keys
from imagelake.run.aws import client
from imagelake.run.errors import FeedBusyError, StorageDeniedError, StorageUnavailableError
from imagelake.run.models import FeedEntry
from imagelake.sources import Feed
from report.app import handler as report
from tests.support.factories import ENTRY, RUN, Context, event, failed, post, up_to_date
from tests.support.fake_lake import BOOKMARKS, Lake
from tests.support.fake_network import Network, page
from tests.support.private_parts import set_execution_status

_BUSY = "FeedBusyError"
_OTHER_MACHINE = "arn:aws:states:us-east-1:123456789012:execution:Replaced:run-1"


@pytest.fixture
def machine(lake: Lake) -> str:
    arn: str = client("stepfunctions").create_state_machine(
        name="ImagePipeline",
        definition=json.dumps({"StartAt": "End", "States": {"End": {"Type": "Succeed"}}}),
        roleArn="arn:aws:iam::123456789012:role/test",
    )["stateMachineArn"]
    return arn


def start(machine: str, name: str, status: str = "RUNNING") -> str:
    """Start an execution and bring it to ``status``."""
    arn: str = client("stepfunctions").start_execution(stateMachineArn=machine, name=name)["executionArn"]
    set_execution_status(arn, status)
    return arn


def take(execution_arn: str) -> None:
    take_lease(BOOKMARKS, ENTRY.feed_id, execution_arn)


def holder() -> str:
    item = client("dynamodb").get_item(TableName=BOOKMARKS, Key={"feed_id": {"S": ENTRY.feed_id}})["Item"]
    return str(item["lease_arn"]["S"])


def test_running_execution_keeps_the_feed_and_is_named(machine: str) -> None:
    first, second = start(machine, "first"), start(machine, "second")
    take(first)
    with pytest.raises(FeedBusyError, match=f"{first} is already reading this feed"):
        take(second)
    assert holder() == first


def test_same_execution_keeps_its_lease(machine: str) -> None:
    first = start(machine, "first")
    take(first)
    take(first)
    assert holder() == first


@pytest.mark.parametrize("status", ["SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"])
def test_execution_that_ended_loses_its_lease(machine: str, status: str) -> None:
    take(start(machine, "first", status))
    second = start(machine, "second")
    take(second)
    assert holder() == second


def test_execution_that_is_about_to_be_redriven_keeps_its_lease(machine: str) -> None:
    take(start(machine, "first", "PENDING_REDRIVE"))
    with pytest.raises(FeedBusyError):
        take(start(machine, "second"))


def test_execution_that_step_functions_forgot_loses_its_lease(machine: str) -> None:
    second = start(machine, "second")
    take(second.replace("second", "first"))
    take(second)
    assert holder() == second


def test_execution_of_a_replaced_state_machine_loses_its_lease(machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(**_: str) -> None:
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "DescribeExecution")

    monkeypatch.setattr(client("stepfunctions"), "describe_execution", denied)
    take(_OTHER_MACHINE)
    second = start(machine, "second")
    take(second)
    assert holder() == second


def test_only_one_of_two_runs_takes_an_expired_lease(machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    take(start(machine, "first", "ABORTED"))
    second, third = start(machine, "second"), start(machine, "third")
    is_running = fetch.lease._is_running

    def late(execution_arn: str, ours: str) -> bool:
        running = is_running(execution_arn, ours)
        if ours == third and not running:
            # Another run takes the lease between the question and our own write.
            take(second)
        return running

    monkeypatch.setattr(fetch.lease, "_is_running", late)
    with pytest.raises(FeedBusyError, match=second):
        take(third)
    assert holder() == second


def test_lease_that_changes_too_often_is_a_transient_error(machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    others = iter(start(machine, f"other-{number}") for number in range(20))

    def lapses(execution_arn: str, ours: str) -> bool:
        item = {"feed_id": {"S": ENTRY.feed_id}, "lease_arn": {"S": next(others)}}
        client("dynamodb").put_item(TableName=BOOKMARKS, Item=item)
        return False

    take(start(machine, "first"))
    monkeypatch.setattr("fetch.lease._is_running", lapses)
    with pytest.raises(StorageUnavailableError, match="changed its holder 5 times"):
        take(start(machine, "second"))


def test_error_when_there_is_no_table(lake: Lake) -> None:
    with pytest.raises(StorageDeniedError, match="no-such-table"):
        take_lease("no-such-table", ENTRY.feed_id, RUN.execution_arn)


def test_lease_stays_when_step_functions_cannot_be_asked(machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = start(machine, "first", "FAILED")
    take(first)

    def throttled(**_: str) -> None:
        raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "slow down"}}, "DescribeExecution")

    monkeypatch.setattr(client("stepfunctions"), "describe_execution", throttled)
    with pytest.raises(StorageUnavailableError, match=first):
        take(start(machine, "second"))
    assert holder() == first


def test_fetch_leaves_a_busy_feed_alone(machine: str, lake: Lake, network: Network) -> None:
    network.put_pages(page(post("one")))
    ours = RUN.model_copy(update={"execution_arn": start(machine, "second")})
    take(start(machine, "first"))
    with pytest.raises(FeedBusyError):
        handler(event("fetch", run=ours), Context())
    assert lake.bucket.list("") == []


def test_fetch_reads_a_feed_that_has_a_lease_and_no_bookmark(machine: str, network: Network) -> None:
    network.put_pages(page(post("one")))
    take(start(machine, "first", "FAILED"))
    ours = RUN.model_copy(update={"execution_arn": start(machine, "second")})
    assert handler(event("fetch", run=ours), Context())["posts"] == 1
    assert holder() == ours.execution_arn


def test_lease_leaves_the_bookmark_as_it_is(machine: str, lake: Lake) -> None:
    lake.put_bookmark(ENTRY.feed_id, "7", "2026-04-01T12:00:00.000000Z")
    take(start(machine, "first"))
    item = client("dynamodb").get_item(TableName=BOOKMARKS, Key={"feed_id": {"S": ENTRY.feed_id}})["Item"]
    assert (item["newest_id"], item["newest_at"]) == ({"S": "7"}, {"S": "2026-04-01T12:00:00.000000Z"})


def test_windows_of_a_stream_do_not_wait_for_each_other(machine: str, lake: Lake) -> None:
    for name in ("stream-1", "stream-2"):
        config = {"source": "stream", "account": "posts", "window": name}
        feed = Feed.of(config)
        lake.bucket.put_json(object_keys.staged_window(name), [])
        run = RUN.model_copy(update={"execution_arn": start(machine, name), "run_id": name})
        entry = FeedEntry(feed_id=feed.feed_id, name=feed.name, config=config)
        assert handler(event("fetch", run=run, feed=entry), Context())["status"] == "done"


def test_run_warns_if_all_feeds_are_busy(lake: Lake) -> None:
    answer = report(event("report", results=[failed(_BUSY, ENTRY), failed(_BUSY)]), Context())
    assert answer["outcome"] == "partial"
    assert "Nothing to do: another run is already processing the busy feeds" in answer["message"]
    assert "start-execution" not in answer["message"]


def test_run_fails_if_all_other_feeds_failed(lake: Lake) -> None:
    answer = report(event("report", results=[failed(_BUSY, ENTRY), failed()]), Context())
    assert answer["outcome"] == "failed"
    assert "x.example" in answer["message"].partition("start-execution")[2]
    assert ENTRY.name not in answer["message"].partition("start-execution")[2]


def test_busy_feed_keeps_its_problem(lake: Lake) -> None:
    def outcome(run_id: str, *results: dict[str, Any]) -> str:
        run = RUN.model_copy(update={"run_id": run_id})
        answer = report(event("report", run=run, results=list(results)), Context())
        return str(answer["outcome"]) + ("" if answer["notify"] else "_again")

    assert outcome("morning", up_to_date(), failed()) == "partial"
    assert outcome("noon", up_to_date(), failed(_BUSY)) == "partial"
    assert outcome("evening", up_to_date(), failed()) == "partial_again"
