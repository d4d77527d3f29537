"""Follow an execution: its states as they are entered, the work inside its Maps and the batches of every feed."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from local.map_failures import failed_child, name_item

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient
    from mypy_boto3_stepfunctions.type_defs import DescribeExecutionOutputTypeDef, HistoryEventTypeDef

POLL_SECONDS = 0.25
# Longest time without a line.
QUIET_SECONDS = 15
# The label of the pipeline's only Distributed Map.
_LABEL = "Batches"
_CONTROL_FLOW = ("Choice", "Pass", "Succeed")
_FAILURES = ("TaskFailed", "LambdaFunctionFailed")


@dataclass
class Step:
    """One visit of a top-level state.

    If it is a Map, ``inner`` counts the states that finished inside it, and ``retries`` tells of those that failed. If
    it is a Wait, ``waits`` says how long it waits and why. ``label`` names its own Distributed Map.
    """

    name: str
    type: str
    entered: datetime
    exited: datetime | None = None
    error: str | None = None
    inner: Counter[str] = field(default_factory=Counter)
    retries: list[str] = field(default_factory=list)
    waits: str = ""
    label: str = ""

    @property
    def note(self) -> str:
        return self.error or self.waits or ", ".join(f"{name} {number}" for name, number in self.inner.items())


@dataclass(frozen=True)
class Batches:
    """Progress of a Distributed Map: the batches of one feed, or what else its ``unit`` names."""

    feed: str
    unit: str
    done: int
    failed: int
    total: int


def follow(client: SFNClient, execution_arn: str, console: Console) -> DescribeExecutionOutputTypeDef:
    """Show an execution until it ends, live on a terminal and else line by line; return its description."""
    definition = json.loads(client.describe_state_machine_for_execution(executionArn=execution_arn)["definition"])
    feeds: dict[str, str] = {}
    printed: set[str] = set()
    last_line = time.monotonic()
    live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
    with live or nullcontext():
        while True:
            execution = client.describe_execution(executionArn=execution_arn)
            history = _history(client, execution_arn)
            steps = read_steps(history, definition)
            batches = list(_batches(client, execution_arn, feeds, _names(history)))
            if live:
                live.update(_display(steps, batches), refresh=True)
            elif _print_new(console, _lines(steps, batches), printed):
                last_line = time.monotonic()
            elif time.monotonic() - last_line >= QUIET_SECONDS:
                last_line = time.monotonic()
                _print_new(console, _running(steps), set())
            if execution["status"] != "RUNNING":
                break
            time.sleep(POLL_SECONDS)
    _print_new(console, _lines(steps, batches), printed)
    return execution


def read_steps(events: Iterable[Mapping[str, Any]], definition: dict[str, Any]) -> list[Step]:
    """The visits of top-level states, in order.

    For states inside a Map, AWS writes events that name them. The local engine writes only the events of their tasks,
    which name a function; the function's ARN leads to the state.
    """
    outer = definition["States"].keys()
    functions = {
        state["Resource"]: name
        for name, state in _states(definition)
        if name not in outer and ":function:" in state.get("Resource", "")
    }
    steps: list[Step] = []
    tries: Counter[str] = Counter()
    events = list(events)
    names = _names(events)
    for event in events:
        kind = event["type"]
        if kind.endswith("StateEntered"):
            name = event["stateEnteredEventDetails"]["name"]
            if name in outer:
                steps.append(_entered(name, definition["States"][name], event))
        elif kind.endswith("StateExited"):
            name = event["stateExitedEventDetails"]["name"]
            if name in outer:
                steps[-1].exited = event["timestamp"]
            elif kind == "TaskStateExited":
                steps[-1].inner[name] += 1
        elif kind == "TaskSucceeded":
            name = functions.get(event["taskSucceededEventDetails"]["resource"])
            if name is not None:
                steps[-1].inner[name] += 1
            elif steps[-1].type == "Task":
                steps[-1].error = None
        elif kind in _FAILURES:
            if steps[-1].type == "Task":
                steps[-1].error = _details(event)["error"]
            else:
                steps[-1].retries += _retry_line(_details(event), definition, names, tries)
        elif kind == "ExecutionFailed" and steps:
            steps[-1].exited = event["timestamp"]
            steps[-1].error = event["executionFailedEventDetails"].get("error", "failed")
    return steps


def _entered(name: str, state: Mapping[str, Any], event: Mapping[str, Any]) -> Step:
    """Return the visit of a state that begins with this event."""
    return Step(name, state["Type"], event["timestamp"], waits=_wait(state), label=state.get("Label", ""))


def _wait(state: Mapping[str, Any]) -> str:
    """Say how long a state waits, and why; empty if it does not wait for a fixed time."""
    return f"waits {state['Seconds']} s: {state['Comment']}" if state["Type"] == "Wait" and "Seconds" in state else ""


def _details(event: Mapping[str, Any]) -> Mapping[str, Any]:
    details: Mapping[str, Any] = event.get("taskFailedEventDetails") or event["lambdaFunctionFailedEventDetails"]
    return details


def _retry_line(
    details: Mapping[str, Any], definition: dict[str, Any], names: Mapping[str, str], tries: Counter[str]
) -> Iterator[str]:
    """Tell of a failure after which the state machine tries again; ``tries`` counts those of each feed."""
    rule = _rules(definition).get(details["error"])
    # The message of an error begins with the feed's id.
    feed_id, _, reason = error_message(details).partition(": ")
    feed = names.get(feed_id, feed_id)
    tries[feed] += 1
    if rule:
        most, waits = rule["MaxAttempts"], rule["IntervalSeconds"] * rule["BackoffRate"] ** (tries[feed] - 1)
        # With jitter, the state machine may wait less.
        seconds = min(waits, rule["MaxDelaySeconds"])
        again = f"trying again within {seconds:.0f} s" if tries[feed] <= most else "giving up"
        fault = "cannot be reached" if details["error"] == "SourceUnavailableError" else details["error"]
        yield f"{feed} {fault}: {reason} (try {tries[feed]} of {most + 1}), {again}"


def _rules(definition: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The rule for retries after each error that the states name, apart from those of Lambda itself."""
    rules = (rule for _, state in _states(definition) for rule in state.get("Retry", []))
    return {error: rule for rule in rules for error in rule["ErrorEquals"] if error.endswith("Error")}


def error_message(details: Mapping[str, Any]) -> str:
    """The sentence of an error, which a function sends as JSON with a stack trace.

    The cause of a failed child is the whole error of its state, also as JSON.
    """
    cause: str = details.get("cause") or details.get("Cause") or details.get("error") or details["Error"]
    with suppress(ValueError, KeyError, TypeError):
        value = json.loads(cause)
        return error_message(value) if "Error" in value else str(value["errorMessage"])
    return cause


def failure_message(
    client: SFNClient, execution_arn: str, name_item: Callable[[dict[str, Any]], str] = name_item
) -> str | None:
    """Return the sentence of the last error of an execution, ``None`` if no task failed.

    That of a child of a Map has the item, as ``name_item`` names it by the child's input.
    """
    failures = [event for event in _history(client, execution_arn) if event["type"] in _FAILURES]
    child = failed_child(client, execution_arn)
    if child is not None and (not failures or failures[-1]["timestamp"] <= child["stopDate"]):
        item, message = name_item(json.loads(child["input"])), f"{child['error']}: {error_message(child)}"
        return message if item in message else f"{item}: {message}"
    return error_message(_details(failures[-1])) if failures else None


def _states(machine: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every state with events in this history; the children of a Distributed Map have histories of their own."""
    for name, state in machine["States"].items():
        yield name, state
        processor = state.get("ItemProcessor")
        if processor and processor.get("ProcessorConfig", {}).get("Mode") != "DISTRIBUTED":
            yield from _states(processor)


def _history(client: SFNClient, execution_arn: str) -> list[HistoryEventTypeDef]:
    pages = client.get_paginator("get_execution_history").paginate(executionArn=execution_arn)
    return [event for page in pages for event in page["events"]]


def _names(history: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the names of the run's feeds by their ids, from the output of Check Input."""
    for event in history:
        exited = event.get("stateExitedEventDetails")
        if exited is not None and exited["name"] == "Check Input" and "output" in exited:
            # Of a wrong input, the output has the error and no feeds.
            return {feed["feed_id"]: feed["name"] for feed in json.loads(exited["output"]).get("feeds", ())}
    return {}


def _batches(
    client: SFNClient, execution_arn: str, feeds: dict[str, str], names: Mapping[str, str]
) -> Iterator[Batches]:
    runs = client.list_map_runs(executionArn=execution_arn)["mapRuns"]
    for run in sorted(runs, key=lambda run: run["startDate"]):
        arn = run["mapRunArn"]
        # The ARN of a Map Run has the label of its Map.
        label = arn.rpartition("/")[2].partition(":")[0]
        if label != _LABEL:
            feeds[arn] = label
        elif arn not in feeds and (feed := _feed(client, arn)) is not None:
            feeds[arn] = feed
        counts = client.describe_map_run(mapRunArn=arn)["itemCounts"]
        failed = counts["failed"] + counts["timedOut"] + counts["aborted"]
        feed_id, unit = feeds.get(arn, "?"), "batches" if label == _LABEL else "done"
        yield Batches(names.get(feed_id, feed_id), unit, counts["succeeded"] + failed, failed, counts["total"])


def _feed(client: SFNClient, map_run_arn: str) -> str | None:
    """The id of the feed of a Map Run, from the input of its first child."""
    children = client.list_executions(mapRunArn=map_run_arn, maxResults=1)["executions"]
    if not children:
        return None
    child_input = json.loads(client.describe_execution(executionArn=children[0]["executionArn"])["input"])
    # The files of a rebuild are of many feeds.
    feed_id: str = child_input["batch"]["feed_id"] or "all files"
    return feed_id


def _display(steps: list[Step], batches: list[Batches]) -> RenderableType:
    states = Table.grid(padding=(0, 2))
    for step in _without_control_flow(steps):
        if step.exited is None:
            seconds = time.time() - step.entered.timestamp()
            states.add_row("[cyan]▸", f"[bold]{step.name}", f"{seconds:.0f} s", step.note)
        else:
            mark = "[red]✗" if step.error else "[green]✓"
            states.add_row(mark, step.name, _seconds(step), step.note)
    bars = Table.grid(padding=(0, 2))
    for entry in batches:
        counts = f"{entry.done}/{entry.total} {entry.unit}" + (
            f", [red]{entry.failed} failed[/]" if entry.failed else ""
        )
        bars.add_row(" ", entry.feed, ProgressBar(total=entry.total or 1, completed=entry.done, width=24), counts)
    # Only the newest try of each feed, because a terminal has few lines.
    tries = {line.partition(" ")[0]: line for step in steps for line in step.retries}
    return Group(states, *(Text(f"  {line}", "yellow") for line in tries.values()), bars)


def _lines(steps: list[Step], batches: list[Batches]) -> Iterator[str]:
    """Lines that stay true once printed: one per finished state, and one per change of a feed's batches."""
    for number, step in enumerate(_without_control_flow(steps), 1):
        if step.type == "Map":
            yield f"{number:>2}  {step.name} …"
            for entry in batches:
                if step.label not in ("", entry.feed):
                    continue
                failed = f", {entry.failed} failed" if entry.failed else ""
                yield f"      {entry.feed}: {entry.done} of {entry.total} {entry.unit}{failed}"
            yield from (f"      {line}" for line in step.retries)
        if step.waits:
            yield f"{number:>2}  {step.name} … {step.waits}"
        if step.exited is not None:
            note = step.error if step.waits else step.note
            yield f"{number:>2}  {step.name}  {_seconds(step)}" + (f"  {note}" if note else "")


def _running(steps: list[Step]) -> Iterator[str]:
    for number, step in enumerate(_without_control_flow(steps), 1):
        if step.exited is None:
            yield f"{number:>2}  {step.name}  {time.time() - step.entered.timestamp():.0f} s so far"


def _without_control_flow(steps: list[Step]) -> list[Step]:
    return [step for step in steps if step.type not in _CONTROL_FLOW]


def _seconds(step: Step) -> str:
    assert step.exited is not None
    return f"{(step.exited - step.entered).total_seconds():.1f} s"


def _print_new(console: Console, lines: Iterable[str], printed: set[str]) -> bool:
    """Print the lines that are not among ``printed``, and tell if there were any."""
    before = len(printed)
    for line in lines:
        if line not in printed:
            printed.add(line)
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    return len(printed) > before
