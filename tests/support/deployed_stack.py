"""A deployed stack on the local engine: runs, and everything that they have stored."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet

from local.engine import Engine

TEMPLATE = Path(__file__).parents[2] / "template.yaml"


class Stack:
    """A stack that ``deploy`` has made on an engine, and its runs so far."""

    def __init__(self, engine: Engine, outputs: dict[str, str]) -> None:
        self.engine = engine
        self.outputs = outputs
        self.runs: list[dict[str, Any]] = []
        # The rows of dataset files, by key and ETag, because many tests read them all.
        self._files: dict[tuple[str, str], list[dict[str, Any]]] = {}
        # In place of the email address, to which the engine cannot write.
        self._mailbox, arn = self._make_queue("mailbox")
        engine.client("sns").subscribe(TopicArn=outputs["TopicArn"], Protocol="sqs", Endpoint=arn)

    @property
    def bucket(self) -> str:
        return self.outputs["BucketName"]

    def run(self, **options: Any) -> dict[str, Any]:
        """Run an execution to its end; returns its description with ``notification`` added."""
        # Runs that were not started here may have left some.
        list(self._received(self._mailbox))
        execution = self.wait(self.start(f"run-{len(self.runs) + 1}", options))
        execution["notification"] = self.notification()
        self.runs.append(execution)
        return execution

    def start(self, name: str, options: dict[str, Any]) -> str:
        """Start an execution and return its ARN."""
        arn: str = self.engine.client("stepfunctions").start_execution(
            stateMachineArn=self.outputs["StateMachineArn"], name=name, input=json.dumps(options)
        )["executionArn"]
        return arn

    def wait(self, arn: str) -> dict[str, Any]:
        """Wait until an execution has ended, and return its description."""
        states = self.engine.client("stepfunctions")
        while (execution := states.describe_execution(executionArn=arn))["status"] == "RUNNING":
            time.sleep(0.1)
        return dict(execution)

    def executions(self) -> dict[str, str]:
        """The status of every execution, by name."""
        pages = self.engine.client("stepfunctions").get_paginator("list_executions")
        listed = pages.paginate(stateMachineArn=self.outputs["StateMachineArn"])
        return {execution["name"]: execution["status"] for page in listed for execution in page["executions"]}

    def report(self, run_name: str) -> dict[str, Any]:
        """Read the ``run.json`` of a run."""
        report: dict[str, Any] = json.loads(self.read(f"reports/{run_name}/run.json"))
        return report

    def keys(self, prefix: str) -> list[str]:
        return [entry["Key"] for entry in self._listed(prefix)]

    def read(self, key: str) -> bytes:
        body: bytes = self.engine.client("s3").get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return body

    def rejects(self, run_name: str, source: str) -> list[dict[str, Any]]:
        """Read the rejects of a run's feeds of one source, each with its reason."""
        keys = [key for key in self.keys(f"rejects/source={source}/") if f"/{run_name}-" in key]
        return [json.loads(line) for key in keys for line in self.read(key).splitlines()]

    def log_lines(self, pattern: str) -> list[str]:
        """Every line that a function has logged and that contains ``pattern``."""
        logs = self.engine.client("logs")
        groups = [group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]]
        events = [
            event
            for group in groups
            for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group)
            for event in page["events"]
        ]
        return [line for event in events for line in event["message"].splitlines() if pattern in line]

    def rows(self, url: str = "") -> list[dict[str, Any]]:
        """The rows of the media at ``url``, e.g. on one server, with the key and the number each has in its file."""
        return [
            row | {"_key": key, "_row": number}
            for key, etag in ((entry["Key"], entry["ETag"]) for entry in self._listed("lake/images/"))
            for number, row in enumerate(self._file(key, etag))
            if (row["media_url"] or "").startswith(url)
        ]

    def mapping(self) -> dict[str, dict[str, Any]]:
        """Every media item of the media index, by media id."""
        pages = (
            self.engine.client("dynamodb").get_paginator("scan").paginate(TableName=self.outputs["ImageKeysTableName"])
        )
        items = [item for page in pages for item in page["Items"] if not item["media_id"]["S"].startswith("sha256/")]
        return {
            item["media_id"]["S"]: {name: next(iter(value.values())) for name, value in item.items()} for item in items
        }

    @contextmanager
    def listen(self, name: str, pattern: dict[str, Any]) -> Iterator[Callable[[], list[dict[str, Any]]]]:
        """Collect the events that match ``pattern``; the function yielded returns those that came since it was called.

        A queue collects them, because the engine cannot deliver to a log.
        """
        url, arn = self._make_queue(name)
        events, bus = self.engine.client("events"), self.outputs["EventBusName"]
        events.put_rule(Name=name, EventBusName=bus, EventPattern=json.dumps(pattern))
        events.put_targets(Rule=name, EventBusName=bus, Targets=[{"Id": "Queue", "Arn": arn}])
        try:
            yield lambda: list(self._received(url))
        finally:
            events.remove_targets(Rule=name, EventBusName=bus, Ids=["Queue"])
            events.delete_rule(Name=name, EventBusName=bus)

    def restart(self, handler: str) -> None:
        """End the workers of a function, which remember secrets for minutes: an update of a function ends them."""
        functions = self.engine.client("lambda")
        (function,) = [one for one in functions.list_functions()["Functions"] if one["Handler"] == handler]
        name = function["FunctionName"]
        functions.update_function_code(FunctionName=name, Architectures=function["Architectures"])
        functions.get_waiter("function_updated").wait(FunctionName=name, WaiterConfig={"Delay": 1})

    def _listed(self, prefix: str) -> Iterator[dict[str, Any]]:
        pages = self.engine.client("s3").get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return (entry for page in pages for entry in page.get("Contents", []))

    def _file(self, key: str, etag: str) -> list[dict[str, Any]]:
        if (key, etag) not in self._files:
            self._files[key, etag] = pyarrow.parquet.ParquetFile(io.BytesIO(self.read(key))).read().to_pylist()
        return self._files[key, etag]

    def _make_queue(self, name: str) -> tuple[str, str]:
        """Make a queue to which everybody may send, and return its URL and its ARN."""
        sqs = self.engine.client("sqs")
        url = sqs.create_queue(QueueName=name)["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        statement = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": arn}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
        return url, arn

    def notification(self) -> dict[str, str] | None:
        """Take the notification that came since the last call."""
        notifications = list(self._received(self._mailbox))
        assert len(notifications) <= 1, "one notification a run"
        return notifications[0] if notifications else None

    def received(self) -> Iterator[dict[str, Any]]:
        """Take all notifications that came since the last call."""
        return self._received(self._mailbox)

    def _received(self, url: str) -> Iterator[dict[str, Any]]:
        # The engine delivers to a queue before it answers the call that publishes.
        sqs = self.engine.client("sqs")
        while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                yield json.loads(message["Body"])
