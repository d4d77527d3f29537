"""The demo: deploy the real stack to the local engine, follow one run to its end and show the result."""

from __future__ import annotations

import json
import shlex
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from imagelake.sources import parse_feed
from local.arguments import as_input
from local.copies import copy_logs, mirror_objects
from local.deploy import ONLY_WITH_TLS, TEMPLATE, deploy
from local.engine import REGION, Engine
from local.errors import CommandError
from local.feed_server import PHOTO_BLOG, SAMPLE_ACCOUNT, FeedServer, sample_port
from local.follow import follow
from local.lake_lock import LakeLock
from local.local_lake import (
    COPIED,
    DEMO_LOG,
    ENGINE_SETTINGS,
    loopback_origins,
    query_files,
    stack_parameters,
    update_copies,
)
from local.output import printable
from local.runs import start_execution
from local.stream import put_records, sample_records

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient
    from mypy_boto3_stepfunctions.type_defs import DescribeExecutionOutputTypeDef

_POLL_SECONDS = 0.1
QUERY = """\
SELECT left(coalesce(alt_text, caption), 32) AS description, width || 'x' || height AS size,
       round(colorfulness)::INT AS colorfulness, array_to_string(dominant_colors[:3], ' ') AS colors
FROM images WHERE status = 'ok' ORDER BY colorfulness DESC LIMIT 5"""
LICENSES = """\
SELECT replace(license, 'https://creativecommons.org/', '') AS license, count(*) AS images,
       string_agg(DISTINCT author_name, ', ' ORDER BY author_name) AS authors
FROM images WHERE status = 'ok' GROUP BY ALL ORDER BY license"""


@dataclass(frozen=True)
class Options:
    """Options of the command line. Without ``feeds``, the demo serves and reads the sample feeds."""

    folder: Path
    feeds: tuple[str, ...] = ()
    limit: int = 100
    port: int | None = None
    persistent: bool = False
    keep_running: bool = False
    stream: bool = False


def demo(options: Options, console: Console) -> int:
    """Deploy, run and show the result; returns 0 if the execution succeeded, else 1."""
    try:
        return _demo(options, console)
    except BaseException as error:
        if options.persistent and not isinstance(error, CommandError):
            update_copies(options.folder, "demo")
        raise


def _demo(options: Options, console: Console) -> int:
    with ExitStack() as stack:
        lock = stack.enter_context(LakeLock(options.folder))
        if not lock.take("demo"):
            raise lock.refuse()
        with _timed(console, "Engine"):
            engine = stack.enter_context(
                Engine(
                    options.folder,
                    port=options.port,
                    keep=options.persistent,
                    settings=ENGINE_SETTINGS,
                    open_files=[lock.fileno()],
                )
            )
        lock.share(engine.port)
        before = stack_parameters(engine.client("cloudformation"))
        run_input, parameters = execution_input(options, stack, before)
        with _timed(console, "Deploy"):
            outputs = deploy(engine, TEMPLATE, parameters, without=ONLY_WITH_TLS, for_lake=True)
        queue = stack.enter_context(mailbox(engine, outputs["TopicArn"]))
        run = _execute_by_stream if options.stream else _execute
        execution = run(engine, outputs, run_input, console)
        _copy(engine, outputs, options.folder)
        copy_logs(engine.client("logs"), options.folder / DEMO_LOG)
        _summarize(execution, _notification(engine, queue), options.folder, console)
        if options.keep_running:
            _hold(engine, outputs, console)
            _copy(engine, outputs, options.folder)
    _print_text(_next_step(options), console)
    return 0 if execution["status"] == "SUCCEEDED" else 1


def _copy(engine: Engine, outputs: dict[str, str], folder: Path) -> None:
    for prefix in COPIED:
        mirror_objects(engine.client("s3"), outputs["BucketName"], prefix, folder)


def _next_step(options: Options) -> str:
    """Say how to go on with the lake of a demo."""
    if options.persistent:
        return f"Lake:    {options.folder}; go on with ./imagelake run --lake {shlex.quote(str(options.folder))}"
    return "Lake:    it has ended with the demo; ./imagelake demo --state DIR keeps it, for run, erase and the others"


def execution_input(
    options: Options, stack: ExitStack, before: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Make the execution input, and the stack parameters that it needs.

    ``before`` has the parameters of the last demo or run of a lake that is kept: its sample feeds keep their port.
    """
    feeds = [as_input(feed) for feed in options.feeds] or _sample_feeds(options, stack, before)
    # A small batch size, so that the few images of the sample feed make several batches.
    run_input = {"feeds": feeds, "batch_size": 25 if options.feeds else 10, "posts_per_feed": options.limit}
    # A server on loopback is reached only if the stack trusts its origin.
    trusted = loopback_origins([before.get("TrustedOrigins", ""), *map(json.dumps, feeds)])
    # No schedule may start another execution; a later run reads the same feeds.
    parameters = {
        "ScheduleState": "DISABLED",
        "Feeds": json.dumps(feeds),
        "TrustedOrigins": ",".join(sorted(trusted)),
    }
    return run_input, parameters | ({"StreamIngest": "ENABLED"} if options.stream else {})


def _sample_feeds(options: Options, stack: ExitStack, before: Mapping[str, str]) -> list[Any]:
    """Serve the sample feeds, and return their configurations."""
    names = [parse_feed(feed).name for feed in json.loads(before.get("Feeds", "[]"))]
    url = stack.enter_context(FeedServer(port=sample_port(names) or 0)).url
    feeds = [{"source": "bluesky", "account": SAMPLE_ACCOUNT, "server": url}]
    return feeds if options.stream else [*feeds, {"source": "rss", "account": f"{url}{PHOTO_BLOG}"}]


def _execute(
    engine: Engine, outputs: dict[str, str], run_input: dict[str, Any], console: Console
) -> DescribeExecutionOutputTypeDef:
    states = engine.client("stepfunctions")
    arn, name = start_execution(states, outputs["StateMachineArn"], "demo", run_input)
    with _timed(console, f"Execution {name}"):
        return follow(states, arn, console)


def _execute_by_stream(
    engine: Engine, outputs: dict[str, str], run_input: dict[str, Any], console: Console
) -> DescribeExecutionOutputTypeDef:
    """Put the sample feed on the stream, follow the runs that its consumer starts and return the last one."""
    states, machine = engine.client("stepfunctions"), outputs["StateMachineArn"]
    before = _executions(states, machine)
    (feed,) = run_input["feeds"]
    records = list(sample_records(feed["server"], feed["account"]))
    put_records(engine.client("kinesis"), outputs["StreamName"], records)
    _print_text(f"Put {len(records)} records on the stream {outputs['StreamName']}", console)
    while not (started := _executions(states, machine) - before):
        time.sleep(_POLL_SECONDS)
    while started:
        for arn in sorted(started):
            with _timed(console, f"Execution {arn.rpartition(':')[2]}"):
                execution = follow(states, arn, console)
        before |= started
        started = _executions(states, machine) - before
    return execution


def _executions(states: SFNClient, machine: str) -> set[str]:
    pages = states.get_paginator("list_executions").paginate(stateMachineArn=machine)
    return {execution["executionArn"] for page in pages for execution in page["executions"]}


@contextmanager
def mailbox(engine: Engine, topic_arn: str) -> Iterator[str]:
    """Subscribe a queue to the topic, in place of a mailbox, and yield the URL of the queue.

    It ends with the demo, because nobody would read the notifications of later runs.
    """
    sqs, sns = engine.client("sqs"), engine.client("sns")
    url: str = sqs.create_queue(QueueName="local-mailbox")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    statement = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": arn}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    subscription = sns.subscribe(TopicArn=topic_arn, Protocol="sqs", Endpoint=arn)["SubscriptionArn"]
    try:
        yield url
    finally:
        sns.unsubscribe(SubscriptionArn=subscription)
        sqs.delete_queue(QueueUrl=url)


def _notification(engine: Engine, mailbox: str) -> dict[str, str] | None:
    sqs = engine.client("sqs")
    for message in sqs.receive_message(QueueUrl=mailbox, WaitTimeSeconds=1).get("Messages", []):
        sqs.delete_message(QueueUrl=mailbox, ReceiptHandle=message["ReceiptHandle"])
        content: dict[str, str] = json.loads(message["Body"])
        return content
    return None


def _summarize(
    execution: DescribeExecutionOutputTypeDef, notification: dict[str, str] | None, folder: Path, console: Console
) -> None:
    report = folder / "reports" / execution["name"]
    console.rule(f"{execution['name']}: {execution['status']}")
    outcome = None
    if (report / "run.json").is_file():
        run = json.loads((report / "run.json").read_text())
        outcome = run["outcome"]
        _print_counts("Images by status", run["totals"], console)
        _print_counts("Errors by code", run["errors"], console)
    elif notification is None:
        _print_text(f"{execution.get('error')}: {execution.get('cause')}", console)
    _print_queries(folder, console)
    if notification is None:
        _print_text(f"\n{no_notification(outcome)}", console)
    else:
        _print_text("\nThe run sent this notification:\n", console)
        _print_text(indent(f"{notification['Subject']}\n\n{notification['Message']}", "  "), console)
    for title, file in (
        ("Report", report / "index.html"),
        ("Dataset", folder / "lake" / "images"),
        ("Logs", folder / DEMO_LOG),
    ):
        if file.exists():
            _print_text(f"{title + ':':<9}{file}", console)


def no_notification(outcome: str | None) -> str:
    """Say why a run with this outcome, ``None`` if it wrote no report, sent no notification."""
    if outcome is None:
        return "The run sent no notification."
    if outcome == "ok":
        return "The run was complete, so it sent no notification."
    return "An earlier run of today has reported every problem of this run, so this run sent no notification."


def _print_counts(title: str, counts: dict[str, int], console: Console) -> None:
    _print_text(f"{title}: " + (", ".join(f"{name} {number}" for name, number in counts.items()) or "none"), console)


def _print_queries(folder: Path, console: Console) -> None:
    """Run SQL queries over the dataset files and print each with its result."""
    if not any(folder.glob("lake/images/*/*/*.parquet")):
        return
    for query in (QUERY, LICENSES):
        result = query_files(folder, query)
        table = Table(*result.columns)
        for row in result.rows:
            table.add_row(*(Text(printable(str(value))) for value in row))
        _print_text(f"\n{query};", console)
        console.print(table)


def _print_text(text: str, console: Console) -> None:
    console.print(printable(text), markup=False, highlight=False, soft_wrap=True)


def _hold(engine: Engine, outputs: dict[str, str], console: Console) -> None:
    _print_text(
        f"\nThe engine runs at {engine.url} until Ctrl-C. To list the bucket:\n"
        f"  export AWS_ENDPOINT_URL={engine.url} AWS_REGION={REGION} AWS_DEFAULT_REGION={REGION}"
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
