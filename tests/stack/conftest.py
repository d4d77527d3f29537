"""The deployed stack: the real template on the local engine, reading the sample feed over HTTP."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from local.demo import subscribe
from local.deploy import deploy
from local.engine import Engine
from local.feed_server import FeedServer

TEMPLATE = Path(__file__).parents[2] / "template.yaml"
ACCOUNT = "sample.imagelake.example"


@dataclass
class Stack:
    """A deployed stack and what it has stored."""

    engine: Engine
    server: FeedServer
    outputs: dict[str, str]
    mailbox: str
    runs: list[dict[str, Any]] = field(default_factory=list)

    @property
    def feed(self) -> dict[str, str]:
        return {"source": "bluesky", "account": ACCOUNT, "server": self.server.url}

    def run(self, **given: Any) -> dict[str, Any]:
        """Run an execution to its end; returns its description with ``notification`` added."""
        states = self.engine.client("stepfunctions")
        arn = states.start_execution(
            stateMachineArn=self.outputs["StateMachineArn"], name=f"run-{len(self.runs) + 1}", input=json.dumps(given)
        )["executionArn"]
        while (execution := states.describe_execution(executionArn=arn))["status"] == "RUNNING":
            time.sleep(0.1)
        execution["notification"] = self._notification()
        self.runs.append(execution)
        return dict(execution)

    def keys(self, prefix: str) -> list[str]:
        pages = self.engine.client("s3").get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def read(self, key: str) -> bytes:
        body: bytes = self.engine.client("s3").get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return body

    def log_lines(self, pattern: str) -> list[str]:
        """Every line that a function has logged and that holds ``pattern``."""
        logs = self.engine.client("logs")
        groups = [group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]]
        events = [
            event
            for group in groups
            for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group)
            for event in page["events"]
        ]
        return [line for event in events for line in event["message"].splitlines() if pattern in line]

    def rows(self) -> list[dict[str, Any]]:
        """Every row of the dataset, with the key and the number it has in its file."""
        return [
            row | {"_key": key, "_row": number}
            for key in self.keys("lake/images/")
            for number, row in enumerate(pyarrow.parquet.ParquetFile(io.BytesIO(self.read(key))).read().to_pylist())
        ]

    def mapping(self) -> dict[str, dict[str, Any]]:
        """Every item of the mapping table, by media id."""
        pages = (
            self.engine.client("dynamodb").get_paginator("scan").paginate(TableName=self.outputs["ImageKeysTableName"])
        )
        items = [item for page in pages for item in page["Items"]]
        return {
            item["media_id"]["S"]: {name: next(iter(value.values())) for name, value in item.items()} for item in items
        }

    @property
    def bucket(self) -> str:
        return self.outputs["BucketName"]

    def _notification(self) -> dict[str, str] | None:
        sqs = self.engine.client("sqs")
        messages = sqs.receive_message(QueueUrl=self.mailbox, WaitTimeSeconds=1, MaxNumberOfMessages=10).get(
            "Messages", []
        )
        for message in messages:
            sqs.delete_message(QueueUrl=self.mailbox, ReceiptHandle=message["ReceiptHandle"])
        assert len(messages) <= 1, "one notification a run"
        return json.loads(messages[0]["Body"]) if messages else None


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    # AUTH: each function may do what its role allows and nothing else. The policy that demands TLS would then refuse
    # every function, because the engine speaks plain HTTP on loopback.
    with Engine(tmp_path_factory.mktemp("engine"), settings={"AUTH": "true"}) as engine, FeedServer() as server:
        parameters = {"ScheduleState": "DISABLED", "TrustedOrigins": server.url}
        outputs = deploy(engine, TEMPLATE, parameters, without=["BucketPolicy"])
        yield Stack(engine, server, outputs, subscribe(engine, outputs["TopicArn"]))
