"""The deployed stack in a real AWS account. Only ``make test-cloud`` runs these tests, and nobody has run them yet."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.cloud_stack import REJECTED, Cloud, expected_totals

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

pytestmark = pytest.mark.cloud

ALLOWED, DENIED = "allowed", {"implicitDeny", "explicitDeny"}


@pytest.fixture(scope="module")
def sample_run(cloud: Cloud) -> dict[str, Any]:
    return cloud.wait(cloud.start(feeds=[cloud.stage_sample_feed()], batch_size=10))


def test_sample_feed_becomes_rows(cloud: Cloud, sample_run: dict[str, Any]) -> None:
    assert sample_run["status"] == "SUCCEEDED", sample_run.get("cause")
    report = cloud.report(sample_run["executionArn"])
    assert report["totals"] == expected_totals()
    assert report["errors"] == dict.fromkeys(REJECTED.values(), 1)


def test_rows_are_there_for_athena(cloud: Cloud, sample_run: dict[str, Any]) -> None:
    run_id = sample_run["executionArn"].rsplit(":", 1)[1]
    question = (
        "SELECT status, count(*), count(image.bytes), count(DISTINCT media_id) FROM images"
        f" WHERE source = 'stream' AND dt >= '2026-01-01' AND run_id = '{run_id}' GROUP BY status"
    )
    answer = {status: (int(rows), int(images), int(ids)) for status, rows, images, ids in ask(cloud, question)}
    counts = {status: number for status, number in expected_totals().items() if number}
    assert answer == {
        status: (counts[status], counts[status] if status == "ok" else 0, counts[status])
        for status in ("ok", "duplicate", "rejected")
    }


def ask(cloud: Cloud, question: str) -> list[list[str]]:
    """Run a query in Athena; returns its rows."""
    athena = cloud.client("athena")
    query = athena.start_query_execution(
        QueryString=question,
        QueryExecutionContext={"Database": cloud.outputs["GlueDatabaseName"]},
        WorkGroup=cloud.outputs["AthenaWorkGroupName"],
    )["QueryExecutionId"]
    while (state := athena.get_query_execution(QueryExecutionId=query)["QueryExecution"]["Status"])["State"] in (
        "QUEUED",
        "RUNNING",
    ):
        time.sleep(1)
    assert state["State"] == "SUCCEEDED", state
    rows = athena.get_query_results(QueryExecutionId=query)["ResultSet"]["Rows"]
    return [[cell.get("VarCharValue", "") for cell in row["Data"]] for row in rows[1:]]


def test_notifications_go_to_the_email_address(cloud: Cloud) -> None:
    address = os.environ.get("IMAGELAKE_CLOUD_EMAIL")
    if not address:
        pytest.skip("IMAGELAKE_CLOUD_EMAIL is not set: nobody is to be notified")
    pages = (
        cloud.client("sns").get_paginator("list_subscriptions_by_topic").paginate(TopicArn=cloud.outputs["TopicArn"])
    )
    mails = {entry["Endpoint"] for page in pages for entry in page["Subscriptions"] if entry["Protocol"] == "email"}
    assert mails == {address}


def test_stopped_run_is_finished_by_a_redrive(cloud: Cloud) -> None:
    # It is stopped, because a redrive of a caught error would run only the Fail state again.
    states = cloud.client("stepfunctions")
    arn = cloud.start(feeds=[cloud.stage_sample_feed()], batch_size=5)
    wait_for_a_batch(states, arn)
    states.stop_execution(executionArn=arn, error="CloudTest", cause="to be redriven")
    assert cloud.wait(arn)["status"] == "ABORTED"

    states.redrive_execution(executionArn=arn)

    assert cloud.wait(arn)["status"] == "SUCCEEDED"
    assert cloud.report(arn)["totals"]["planned"] == expected_totals()["planned"]


def wait_for_a_batch(states: SFNClient, arn: str) -> None:
    """Wait until the Map Run of ``arn`` exists; soon after it, its first child does."""
    deadline = time.monotonic() + 300
    while not states.list_map_runs(executionArn=arn)["mapRuns"]:
        assert time.monotonic() < deadline, "no Map Run began"
        time.sleep(1)


def test_run_that_breaks_says_so_in_an_alarm(cloud: Cloud) -> None:
    run = cloud.wait(cloud.start(feeds=[], batch_size="ten"))
    assert run["status"] == "FAILED"
    assert "batch_size" in run["cause"]
    alarm = cloud.resource("RunFailedAlarm")
    deadline = time.monotonic() + 900
    while True:
        (found,) = cloud.client("cloudwatch").describe_alarms(AlarmNames=[alarm])["MetricAlarms"]
        if found["StateValue"] == "ALARM":
            return
        assert time.monotonic() < deadline, found["StateReason"]
        time.sleep(15)


@pytest.mark.parametrize(
    ("action", "resource", "decision"),
    [
        ("ssm:GetParameter", "arn:{partition}:ssm:{region}:{account}:parameter/{feeds}", {ALLOWED}),
        ("ssm:GetParameter", "arn:{partition}:ssm:{region}:{account}:parameter/another", DENIED),
        ("dynamodb:UpdateItem", "arn:{partition}:dynamodb:{region}:{account}:table/{bookmarks}", {ALLOWED}),
        ("dynamodb:DeleteItem", "arn:{partition}:dynamodb:{region}:{account}:table/{bookmarks}", DENIED),
        ("s3:GetObject", "arn:{partition}:s3:::{bucket}/work/lists/r/feed.json", {ALLOWED}),
        ("s3:GetObject", "arn:{partition}:s3:::{bucket}/raw/images/aa/aa", DENIED),
        ("s3:PutObject", "arn:{partition}:s3:::{bucket}/work/results/r/feed/manifest.json", {ALLOWED}),
        ("s3:PutObject", "arn:{partition}:s3:::{bucket}/lake/images/a.parquet", DENIED),
        ("sns:Publish", "{topic}", {ALLOWED}),
        ("states:StartExecution", "{machine}", {ALLOWED}),
        ("states:StartExecution", "{machine}-another", DENIED),
        ("states:RedriveExecution", "{executions}/Batches:child", {ALLOWED}),
        ("iam:PassRole", "*", DENIED),
    ],
)
def test_role_of_the_state_machine(cloud: Cloud, action: str, resource: str, decision: set[str]) -> None:
    machine = cloud.outputs["StateMachineArn"]
    _, partition, _, region, account, *_ = machine.split(":")
    named = resource.format(
        partition=partition,
        region=region,
        account=account,
        bucket=cloud.bucket,
        bookmarks=cloud.outputs["BookmarksTableName"],
        feeds=cloud.outputs["FeedsParameterName"],
        topic=cloud.outputs["TopicArn"],
        machine=machine,
        executions=machine.replace(":stateMachine:", ":execution:"),
    )
    role = f"arn:{partition}:iam::{account}:role/{cloud.resource('ImagePipelineRole')}"
    (result,) = cloud.client("iam").simulate_principal_policy(
        PolicySourceArn=role, ActionNames=[action], ResourceArns=[named]
    )["EvaluationResults"]
    assert result["EvalDecision"] in decision


def test_schedule_that_cannot_start_a_run_leaves_a_message(cloud: Cloud) -> None:
    scheduler, sqs = cloud.client("scheduler"), cloud.client("sqs")
    queue = cloud.resource("ScheduleDeadLetters")
    daily = scheduler.get_schedule(Name=cloud.resource("DailySchedule"))
    # Like the stack's own schedule, but at once and with a state machine that does not exist.
    target = daily["Target"] | {"Arn": f"{cloud.outputs['StateMachineArn']}-missing"}
    target["RetryPolicy"] = {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60}
    name = f"{cloud.stack}-cannot-start"
    soon = time.strftime("at(%Y-%m-%dT%H:%M:%S)", time.gmtime(time.time() + 60))
    scheduler.create_schedule(
        Name=name,
        ScheduleExpression=soon,
        FlexibleTimeWindow={"Mode": "OFF"},
        Target=target,
        ActionAfterCompletion="DELETE",
    )
    deadline = time.monotonic() + 600
    while not (
        found := sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=20, MessageAttributeNames=["All"]).get("Messages")
    ):
        assert time.monotonic() < deadline, "no message came"
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=found[0]["ReceiptHandle"])
    assert found[0]["MessageAttributes"]["ERROR_CODE"]["StringValue"]
    assert json.loads(found[0]["Body"])["schedule"] == "daily"
