"""The demo: the real stack on this machine, one run of it followed to its end, and what came out."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from textwrap import indent
from typing import Any

import duckdb
from rich.console import Console
from rich.table import Table
from rich.text import Text

from local.deploy import deploy
from local.engine import REGION, Engine
from local.feed_server import FeedServer
from local.follow import follow
from local.stream import put_records, sample_records

ROOT = Path(__file__).parents[1]
TEMPLATE = ROOT / "template.yaml"
_POLL_SECONDS = 0.1
SAMPLE_ACCOUNT = "sample.imagelake.example"
QUESTION = """\
SELECT left(coalesce(alt_text, caption), 32) AS picture, width || 'x' || height AS size,
       round(colorfulness)::INT AS colorfulness, array_to_string(dominant_colors[:3], ' ') AS colors
FROM images WHERE status = 'ok' ORDER BY colorfulness DESC LIMIT 5"""


@dataclass(frozen=True)
class Options:
    """What the command line asks for. Without ``feeds``, the sample feed is served and read."""

    folder: Path
    feeds: tuple[str, ...] = ()
    limit: int = 100
    port: int | None = None
    persistent: bool = False
    keep_running: bool = False
    stream: bool = False


def demo(options: Options, console: Console) -> int:
    """Run it all; 0 if the execution succeeded, else 1."""
    with ExitStack() as stack:
        with _timed(console, "Engine"):
            # Each function may do what its role allows and nothing else, as on AWS.
            settings = {"AUTH": "true"}
            engine = stack.enter_context(
                Engine(options.folder, port=options.port, keep=options.persistent, settings=settings)
            )
        given, parameters = _input(options, stack)
        with _timed(console, "Deploy"):
            # The engine speaks plain HTTP on loopback, which that policy refuses.
            outputs = deploy(engine, TEMPLATE, parameters, without=["BucketPolicy"])
        mailbox = subscribe(engine, outputs["TopicArn"])
        run = _execute_by_stream if options.stream else _execute
        execution = run(engine, outputs, given, console)
        _save(engine, outputs["BucketName"], options.folder)
        _save_logs(engine, options.folder / "functions.log")
        _summarise(execution, _notification(engine, mailbox), options.folder, console)
        if options.keep_running:
            _hold(engine, outputs, console)
    return 0 if execution["status"] == "SUCCEEDED" else 1


def _input(options: Options, stack: ExitStack) -> tuple[dict[str, Any], dict[str, str]]:
    """The execution input, and the stack parameters it needs."""
    # Nothing but this execution is to run.
    parameters = {"ScheduleState": "DISABLED"}
    if options.stream:
        parameters["StreamIngest"] = "ENABLED"
    if options.feeds:
        return {"feeds": options.feeds, "batch_size": 25, "posts_per_feed": options.limit}, parameters
    url = stack.enter_context(FeedServer()).url
    feed = {"source": "bluesky", "account": SAMPLE_ACCOUNT, "server": url}
    # So small that a few pictures make several batches.
    given = {"feeds": [feed], "batch_size": 10, "posts_per_feed": options.limit}
    return given, parameters | {"TrustedOrigins": url}


def _execute(engine: Engine, outputs: dict[str, str], given: dict[str, Any], console: Console) -> dict[str, Any]:
    name = f"demo-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    states = engine.client("stepfunctions")
    started = states.start_execution(stateMachineArn=outputs["StateMachineArn"], name=name, input=json.dumps(given))
    with _timed(console, f"Execution {name}"):
        return follow(states, started["executionArn"], console)


def _execute_by_stream(
    engine: Engine, outputs: dict[str, str], given: dict[str, Any], console: Console
) -> dict[str, Any]:
    """Put the sample feed on the stream and follow the runs that its consumer starts; returns the last of them."""
    states, machine = engine.client("stepfunctions"), outputs["StateMachineArn"]
    before = _executions(states, machine)
    (feed,) = given["feeds"]
    records = list(sample_records(feed["server"], feed["account"]))
    put_records(engine.client("kinesis"), outputs["StreamName"], records)
    _print_text(f"{len(records)} records on the stream {outputs['StreamName']}", console)
    while not (started := _executions(states, machine) - before):
        time.sleep(_POLL_SECONDS)
    while started:
        for arn in sorted(started):
            with _timed(console, f"Execution {arn.rpartition(':')[2]}"):
                execution = follow(states, arn, console)
        before |= started
        started = _executions(states, machine) - before
    return execution


def _executions(states: Any, machine: str) -> set[str]:
    pages = states.get_paginator("list_executions").paginate(stateMachineArn=machine)
    return {execution["executionArn"] for page in pages for execution in page["executions"]}


def subscribe(engine: Engine, topic_arn: str) -> str:
    """A queue that gets what the topic sends, in place of a mailbox; returns its URL."""
    sqs = engine.client("sqs")
    url: str = sqs.create_queue(QueueName="local-mailbox")["QueueUrl"]
    sqs.purge_queue(QueueUrl=url)
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    statement = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": arn}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    engine.client("sns").subscribe(TopicArn=topic_arn, Protocol="sqs", Endpoint=arn)
    return url


def _notification(engine: Engine, mailbox: str) -> dict[str, str] | None:
    sqs = engine.client("sqs")
    for message in sqs.receive_message(QueueUrl=mailbox, WaitTimeSeconds=1).get("Messages", []):
        sqs.delete_message(QueueUrl=mailbox, ReceiptHandle=message["ReceiptHandle"])
        content: dict[str, str] = json.loads(message["Body"])
        return content
    return None


def _save(engine: Engine, bucket: str, folder: Path) -> None:
    """Copy the dataset and the reports out of the bucket, under their own keys."""
    s3 = engine.client("s3")
    for prefix in ("lake/", "reports/"):
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for entry in page.get("Contents", []):
                file = folder / entry["Key"]
                file.parent.mkdir(parents=True, exist_ok=True)
                s3.download_file(bucket, entry["Key"], str(file))


def _save_logs(engine: Engine, file: Path) -> None:
    logs = engine.client("logs")
    with file.open("w") as lines:
        for group in logs.describe_log_groups()["logGroups"]:
            pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group["logGroupName"])
            for event in (event for page in pages for event in page["events"]):
                lines.write(f"{group['logGroupName']}  {event['message'].rstrip()}\n")


def _summarise(execution: dict[str, Any], notification: dict[str, str] | None, folder: Path, console: Console) -> None:
    report = folder / "reports" / execution["name"]
    console.rule(f"{execution['name']}: {execution['status']}")
    if (report / "run.json").is_file():
        run = json.loads((report / "run.json").read_text())
        _print_counts("Images by status", run["totals"], console)
        _print_counts("Errors by code", run["errors"], console)
    elif notification is None:
        _print_text(f"{execution.get('error')}: {execution.get('cause')}", console)
    _print_answer(folder, console)
    if notification is None:
        _print_text("\nNo notification was sent; a run without a gap sends none.", console)
    else:
        _print_text("\nThe notification that was sent:\n", console)
        _print_text(indent(f"{notification['Subject']}\n\n{notification['Message']}", "  "), console)
    for title, file in (
        ("Report", report / "index.html"),
        ("Dataset", folder / "lake" / "images"),
        ("Logs", folder / "functions.log"),
    ):
        if file.exists():
            _print_text(f"{title + ':':<9}{file}", console)


def _print_counts(title: str, counts: dict[str, int], console: Console) -> None:
    _print_text(f"{title}: " + (", ".join(f"{name} {number}" for name, number in counts.items()) or "none"), console)


def _print_answer(folder: Path, console: Console) -> None:
    """One question to the dataset, as SQL over its files."""
    if not any(folder.glob("lake/images/*/*/*.parquet")):
        return
    with duckdb.connect() as connection:
        connection.read_parquet(f"{folder}/lake/images/*/*/*.parquet").create_view("images")
        answer = connection.sql(QUESTION)
        table = Table(*answer.columns)
        for row in answer.fetchall():
            table.add_row(*(Text(_printable(str(value))) for value in row))
    _print_text(f"\n{QUESTION};", console)
    console.print(table)


def _print_text(text: str, console: Console) -> None:
    console.print(_printable(text), markup=False, highlight=False, soft_wrap=True)


def _printable(text: str) -> str:
    """Without what could steer a terminal: captions and names are whatever someone posted."""
    return "".join(letter if letter.isprintable() or letter == "\n" else " " for letter in text)


def _hold(engine: Engine, outputs: dict[str, str], console: Console) -> None:
    _print_text(
        f"\nThe engine serves on {engine.url} until Ctrl-C, e.g.:\n"
        f"  export AWS_ENDPOINT_URL={engine.url} AWS_REGION={REGION}"
        " AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local\n"
        f"  aws s3 ls --recursive s3://{outputs['BucketName']}/",
        console,
    )
    with suppress(KeyboardInterrupt):
        threading.Event().wait()


@contextmanager
def _timed(console: Console, title: str) -> Iterator[None]:
    start = time.monotonic()
    yield
    _print_text(f"{title}: {time.monotonic() - start:.1f} s", console)
