"""Events: they match the documentation, have stable ids, and never disturb a run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from imagelake.lake import object_keys
from imagelake.run.events import EVENTS, BatchWritten, Event, FeedFailed, RunFinished, RunStarted, publish
from imagelake.run.observability import metrics
from tests.support.factories import ENTRY, RUN, Context, event, item, keep_file, plan
from tests.support.fake_bus import Bus
from tests.support.fake_lake import Lake

DOCS = Path(__file__).parents[3] / "docs"
DOCUMENT = (DOCS / "events.md").read_text()
FAILED = {"Error": "SourceUnavailableError", "Cause": json.dumps({"errorMessage": "alice.example did not answer"})}
OUTAGES = [
    ClientError({"Error": {"Code": "InternalException", "Message": "no"}}, "PutEvents"),
    ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "PutEvents"),
    EndpointConnectionError(endpoint_url="https://events.test"),
]


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Sum of the values added to each metric."""
    counted: dict[str, float] = {}

    def add(name: str, unit: str, value: float, *_: object) -> None:
        counted[name] = counted.get(name, 0) + value

    monkeypatch.setattr(metrics, "add_metric", add)
    return counted


def failed(number: int = 0) -> FeedFailed:
    return FeedFailed(run_id="r", dt="2026-04-01", feed_id=f"f{number}", feed="x:y", error="E", message="m")


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.__name__)
def test_document_lists_the_event_and_links_its_schema(kind: type[Event]) -> None:
    assert f"| `{kind.detail_type}` |" in DOCUMENT
    (link,) = re.findall(rf"\[`{kind.detail_type}`\]\((\S+)\)", DOCUMENT)
    assert json.loads((DOCS / link).read_text())["title"] == kind.__name__


def test_documented_example_is_a_real_event() -> None:
    (text,) = re.findall(r"receives, .*?```json\n(.*?)\n```", DOCUMENT, re.DOTALL)
    example = json.loads(text)
    assert json.loads(BatchWritten.model_validate(example).model_dump_json()) == example


def test_same_event_has_the_same_id() -> None:
    started = RunStarted(run_id="r", dt="2026-04-01", execution_arn="a", feeds=[])
    finished = RunFinished(
        run_id="r", dt="2026-04-01", execution_arn="a", outcome="ok", totals={}, errors={}, bucket="b", report_key="k"
    )
    assert failed(1).event_id == failed(1).model_copy(update={"message": "other words"}).event_id
    ids = [started.event_id, finished.event_id, failed(1).event_id, failed(2).event_id]
    assert len(set(ids)) == len(ids)


def test_events_go_out_in_groups_of_ten(bus: Bus) -> None:
    publish("bus", *(failed(number) for number in range(23)))
    assert bus.calls == 3
    assert [detail["feed_id"] for _, detail in bus.published] == [f"f{number}" for number in range(23)]


@pytest.mark.parametrize("outage", OUTAGES, ids=lambda outage: type(outage).__name__)
def test_bus_that_is_down_is_counted_and_no_error(bus: Bus, counted: dict[str, float], outage: Exception) -> None:
    bus.outage = outage
    publish("bus", *(failed(number) for number in range(12)))
    assert counted == {"EventsNotSent": 12}


def test_events_that_the_bus_refuses_are_counted(bus: Bus, counted: dict[str, float]) -> None:
    bus.refused = {0, 2}
    publish("bus", *(failed(number) for number in range(3)))
    assert counted == {"EventsNotSent": 2}


def call(step: str, lake: Lake) -> Any:
    """Call a step that publishes events, on a lake with the data that it needs."""
    import check_input.app
    import map_keys.app
    import report.app

    match step:
        case "check_input":
            return check_input.app.handler(event("check_input"), Context())
        case "map_keys":
            made = plan(item("one"))
            if not lake.bucket.exists(object_keys.staged(made.batch)):
                keep_file(lake, made)
            return map_keys.app.handler(event("map_keys", batch=made.batch), Context())
        case _:
            results = [{"feed": ENTRY.model_dump(), "status": "failed", "error": FAILED}]
            return report.app.handler(event("report", results=results), Context())


STEPS = {"check_input": ["Run Started"], "map_keys": ["Batch Written"], "report": ["Feed Failed", "Run Finished"]}


@pytest.mark.parametrize("step", STEPS)
def test_step_publishes_its_events(lake: Lake, bus: Bus, step: str) -> None:
    call(step, lake)
    assert [name for name, _ in bus.published] == STEPS[step]
    kinds = {kind.detail_type: kind for kind in EVENTS}
    for name, detail in bus.published:
        assert json.loads(kinds[name].model_validate(detail).model_dump_json()) == detail


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("outage", OUTAGES, ids=lambda outage: type(outage).__name__)
def test_step_returns_the_same_when_the_bus_is_down(lake: Lake, bus: Bus, step: str, outage: Exception) -> None:
    answer = call(step, lake)
    stored = lake.stored()
    bus.outage = outage
    assert call(step, lake) == answer
    assert lake.stored() == stored


def test_report_publishes_failed_feeds_and_the_outcome(lake: Lake, bus: Bus) -> None:
    call("report", lake)
    (_, feed), (_, run) = bus.published
    assert (feed["feed"], feed["error"], feed["message"]) == (
        ENTRY.name, "SourceUnavailableError", "alice.example did not answer",
    )  # fmt: skip
    assert (run["run_id"], run["outcome"]) == (RUN.run_id, "failed")
    assert lake.bucket.exists(run["report_key"])
