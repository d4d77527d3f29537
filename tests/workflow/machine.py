"""The real state machine on the local engine: Lambda results are mocked, all other services are real."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from local.engine import Engine
from local.package import zip_code
from tests.support.asl import DEFINITIONS, Json, scopes, targets

MOCKS = Path(__file__).with_name("mocks.json")
BUCKET, BOOKMARKS, PARAMETER = "lake", "bookmarks", "feeds"
ROLE = "arn:aws:iam::000000000000:role/imagelake"
AHEAD = {"feed_id": {"S": "ahead"}, "newest_id": {"S": "99"}, "newest_at": {"S": "2027-01-01T00:00:00Z"}}
GOOD = [{"batch_id": "one"}, {"batch_id": "two"}]
ERASURE_LISTS: dict[str, list[dict[str, Any]]] = {
    "promotions": [{"number": 0}],
    "files": [{"number": 0}, {"number": 1}],
    "days": [{"source": "bluesky", "dt": "2026-11-23"}],
    "reports": [{"run_id": "run", "dt": "2026-04-01"}],
}
ONE_BAD = [{"batch_id": "one"}, {"batch_id": "two", "raise": "ObjectMissingError"}]


class Batch(NamedTuple):
    """Path and error of one child execution of For Each Batch."""

    path: list[str]
    error: str | None


@dataclass(frozen=True)
class Outcome:
    """Result of one execution. A path has the names of the states in the order of entry."""

    arn: str
    status: str
    error: str | None
    cause: str | None
    events: list[dict[str, Any]]
    batches: list[Batch]
    messages: list[dict[str, str]]

    @property
    def path(self) -> list[str]:
        return entered(self.events)

    def input_of(self, state: str) -> dict[str, Any]:
        """Return the input of a state of the outermost scope."""
        details = (event.get("stateEnteredEventDetails", {}) for event in self.events)
        parsed = next(json.loads(detail["input"]) for detail in details if detail.get("name") == state)
        assert isinstance(parsed, dict)
        return parsed

    def failed_attempts(self) -> list[str]:
        """List the error of every failed attempt, in order."""
        return [e["taskFailedEventDetails"]["error"] for e in self.events if e["type"] == "TaskFailed"]


def untaken_branches(machine: Json, outcomes: Iterable[Outcome]) -> set[tuple[str, str]]:
    """Find the pairs of states, one after the other, that no execution has taken, or that are not in the machine."""
    paths = [path for outcome in outcomes for path in (outcome.path, *(child.path for child in outcome.batches))]
    branches, taken = set[tuple[str, str]](), set[tuple[str, str]]()
    for scope in scopes(machine):
        after = [("", [scope.start_at]), *((name, targets(state)) for name, state in scope.states.items())]
        branches |= {(name, target) for name, names in after for target in names}
        for path in paths:
            names = [name for name in path if name in scope.states]
            taken |= set(zip(["", *names], names, strict=False))
    return branches ^ taken


def entered(events: list[dict[str, Any]]) -> list[str]:
    return [event["stateEnteredEventDetails"]["name"] for event in events if event["type"].endswith("StateEntered")]


class Machine:
    """A state machine with its bucket, table, parameter and topic, and a queue that receives the notifications."""

    def __init__(self, engine: Engine, name: str = "ImagePipeline") -> None:
        self._name = name
        self._states = engine.client("stepfunctions")
        self._queue = engine.client("sqs")
        self.bookmarks = engine.client("dynamodb")
        self._lay_out_objects(engine)
        self._make_bookmarks()
        engine.client("ssm").put_parameter(Name=PARAMETER, Type="String", Value='["bluesky:alice.example"]')
        topic, self._queue_url = self._make_topic(engine)
        self._arn = self._make_machine(_make_step(engine), topic)

    def run(self, case: str, run_input: object) -> Outcome:
        """Run one case of ``mocks.json`` to its end."""
        started = self._states.start_execution(stateMachineArn=f"{self._arn}#{case}", input=json.dumps(run_input))
        arn = started["executionArn"]
        while (execution := self._states.describe_execution(executionArn=arn))["status"] == "RUNNING":
            time.sleep(0.02)
        return Outcome(
            arn=arn,
            status=execution["status"],
            error=execution.get("error"),
            cause=execution.get("cause"),
            events=self._history(arn),
            batches=self._batches(arn),
            messages=self._messages(),
        )

    def _history(self, arn: str) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = self._states.get_execution_history(executionArn=arn, maxResults=1000)["events"]
        return events

    def _batches(self, arn: str) -> list[Batch]:
        children = [
            self._states.describe_execution(executionArn=child["executionArn"])
            for run in self._states.list_map_runs(executionArn=arn)["mapRuns"]
            for child in self._states.list_executions(mapRunArn=run["mapRunArn"])["executions"]
        ]
        return [Batch(entered(self._history(child["executionArn"])), child.get("error")) for child in children]

    def _messages(self) -> list[dict[str, str]]:
        messages: list[dict[str, str]] = []
        while received := self._queue.receive_message(QueueUrl=self._queue_url).get("Messages"):
            for message in received:
                messages.append(json.loads(message["Body"]))
                self._queue.delete_message(QueueUrl=self._queue_url, ReceiptHandle=message["ReceiptHandle"])
        return messages

    def _lay_out_objects(self, engine: Engine) -> None:
        s3 = engine.client("s3")
        s3.create_bucket(Bucket=BUCKET)
        for name, text in {"good": json.dumps(GOOD), "one_bad": json.dumps(ONE_BAD), "broken": "not JSON"}.items():
            s3.put_object(Bucket=BUCKET, Key=f"work/lists/run/alice/{name}.json", Body=text.encode())
        for name, items in ERASURE_LISTS.items():
            s3.put_object(Bucket=BUCKET, Key=f"work/erasures/e1/{name}.json", Body=json.dumps(items).encode())
        s3.put_object(Bucket=BUCKET, Key="work/rebuild/lists/one.json", Body=json.dumps(GOOD[:1]).encode())

    def _make_bookmarks(self) -> None:
        self.bookmarks.create_table(
            TableName=BOOKMARKS,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "feed_id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "feed_id", "KeyType": "HASH"}],
        )
        self.bookmarks.put_item(TableName=BOOKMARKS, Item=AHEAD)

    def _make_topic(self, engine: Engine) -> tuple[str, str]:
        sns = engine.client("sns")
        topic: str = sns.create_topic(Name="notifications")["TopicArn"]
        url: str = self._queue.create_queue(QueueName="notifications")["QueueUrl"]
        attributes = self._queue.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=attributes["QueueArn"])
        return topic, url

    def _make_machine(self, step: str, topic: str) -> str:
        values = {
            "BucketName": BUCKET,
            "BookmarksTableName": BOOKMARKS,
            "FeedsParameterName": PARAMETER,
            "TopicArn": topic,
            "Region": "us-east-1",
            "Partition": "aws",
            "ConsoleDomain": "console.aws.amazon.com",
            "Runbook": "https://example.com/runbook",
        }
        text = re.sub(r"\$\{(\w+)\}", lambda match: values.get(match[1], step), DEFINITIONS[self._name].read_text())
        arn: str = self._states.create_state_machine(name=self._name, definition=text, roleArn=ROLE)["stateMachineArn"]
        return arn


def _make_step(engine: Engine) -> str:
    function = engine.client("lambda").create_function(
        FunctionName="step",
        Runtime="provided.al2023",
        Handler="step.handler",
        Role=ROLE,
        Timeout=30,
        Code={"ZipFile": zip_code(Path(__file__).with_name("step"))},
    )
    arn: str = function["FunctionArn"]
    return arn
