"""Dashboard and alarms use only metrics that are sent; a wrong name would draw nothing and never raise an alarm."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from imagelake.run import prices
from imagelake.run.contracts import ReportResult
from imagelake.run.events import RunFinished
from report.notification import HEADLINES
from report.summary import Summary
from tests.support.asl import RESOURCES, ROOT, TEMPLATE
from tests.support.metrics import DASHBOARD, OWN, SEARCH, SENT, WIDGETS, Metric, drawn, lines, of_type, own, watched

# https://docs.aws.amazon.com/step-functions/latest/dg/procedure-cw-metrics.html, and the same page of each service.
OUTCOMES = ("Failed", "Succeeded", "TimedOut", "Aborted")
AWS = {
    "AWS/States": ({"ExecutionTime", *(f"Executions{outcome}" for outcome in OUTCOMES)}, {"StateMachineArn"}),
    "AWS/Lambda": ({"Errors", "Throttles", "Duration", "Invocations", "IteratorAge"}, {"FunctionName"}),
    "AWS/SQS": ({"ApproximateNumberOfMessagesVisible"}, {"QueueName"}),
    "AWS/Kinesis": ({"GetRecords.IteratorAgeMilliseconds"}, {"StreamName"}),
    "AWS/SNS": ({"NumberOfNotificationsFailed"}, {"TopicName"}),
}


def is_sent(metric: Metric) -> bool:
    if metric.namespace == OWN:
        return any(
            (metric.name, metric.dimensions) == (sent.name, sent.dimensions) and metric.service in (None, sent.service)
            for sent in SENT
        )
    known, dimensions = AWS.get(metric.namespace, (set(), set()))
    return metric.name in known and metric.dimensions == dimensions


@pytest.mark.parametrize("metric", sorted({*drawn(), *watched()}, key=str), ids=lambda metric: metric.name)
def test_metric_is_sent(metric: Metric) -> None:
    assert is_sent(metric)


@pytest.mark.parametrize(
    "metric",
    [
        own("ItemsFaild", "reconcile"),
        own("ItemsFailed", "report"),
        own("ItemErrors", "report"),
        own("ItemErrors", "report", "code"),
        Metric("Imagelake", "ItemsFailed", frozenset({"service"}), "reconcile"),
        Metric("AWS/States", "ExecutionFailed", frozenset({"StateMachineArn"}), None),
        Metric("AWS/Lambda", "Errors", frozenset({"Function"}), None),
        Metric("AWS/Step", "ExecutionsFailed", frozenset({"StateMachineArn"}), None),
    ],
)
def test_wrong_name_is_found(metric: Metric) -> None:
    assert not is_sent(metric)


def test_namespace_is_that_of_the_functions() -> None:
    variables = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]
    assert variables["POWERTOOLS_METRICS_NAMESPACE"]["Fn::Sub"] == OWN


# ---- The dashboard as a whole ----------------------------------------------------------------------------------------


def test_every_expression_of_the_dashboard_is_parsed_here() -> None:
    expressions = [line[0]["expression"] for line in lines() if isinstance(line[0], dict)]
    searches = [expression for expression in expressions if "SEARCH" in expression]
    assert all(SEARCH.fullmatch(search) for search in searches)
    ids = {part["id"] for line in lines() for part in line if isinstance(part, dict) and "id" in part}
    words = {word for e in expressions if e not in searches for word in re.findall(r"[a-z]\w*", e)}
    assert words == ids


def test_dashboard_shows_every_function_and_every_alarm() -> None:
    functions = {name for name in of_type("AWS::Serverless::Function") if "Condition" not in RESOURCES[name]}
    for title in ("Errors of functions", "Throttles of functions"):
        shown = {line[3].removeprefix("${").removesuffix("}") for line in WIDGETS[title]["properties"]["metrics"]}
        assert shown == functions
    alarms = {name for name in of_type("AWS::CloudWatch::Alarm") if "Condition" not in RESOURCES[name]}
    assert {arn[2:-5] for arn in WIDGETS["Alarms"]["properties"]["alarms"]} == alarms


def test_widgets_do_not_overlap_and_fit_the_grid() -> None:
    taken: set[tuple[int, int]] = set()
    for widget in DASHBOARD["widgets"]:
        columns = range(widget["x"], widget["x"] + widget["width"])
        cells = {(x, y) for x in columns for y in range(widget["y"], widget["y"] + widget["height"])}
        assert max(columns) < 24
        assert not taken & cells
        taken |= cells


def test_cost_on_the_dashboard_is_that_of_the_model() -> None:
    metrics = WIDGETS["Cost of runs a day, USD, an estimate (docs/costs.md)"]["properties"]["metrics"]
    by_id = {line[-1]["id"]: line for line in metrics if "id" in line[-1]}
    functions, per_image, per_batch = (line[0]["expression"] for line in metrics if "expression" in line[0])
    price = float(functions.rsplit("*", 1)[1]) * 1000
    assert price == pytest.approx(prices.LAMBDA_GB_SECOND)
    for word, line in by_id.items():
        if line[1] != "Duration":
            continue
        function = RESOURCES[line[3].removeprefix("${").removesuffix("}")]["Properties"]
        memory = function.get("MemorySize", TEMPLATE["Globals"]["Function"]["MemorySize"])
        scope = {other: float(other == word) for other in by_id} | {"FILL": lambda value, _: value}
        gigabytes = eval(functions, {"__builtins__": {}}, scope) / float(functions.rsplit("*", 1)[1])
        assert gigabytes == pytest.approx(memory / 1024, abs=0.001), word
    assert float(per_image.rsplit("*", 1)[1]) == pytest.approx(prices.usd_per_image(), rel=0.01)
    assert float(per_batch.rsplit("*", 1)[1]) == pytest.approx(prices.usd_per_batch(), rel=0.01)


def test_outcome_of_a_run_has_one_name_everywhere() -> None:
    outcomes = get_args(Summary.model_fields["outcome"].annotation)
    alerts = (ROOT / "docs" / "alerts.md").read_text()
    assert tuple(re.findall(r"^\| `(\w+)` \| .+ \| `(?:SUCCEEDED|FAILED)` \|", alerts, re.MULTILINE)) == outcomes
    runs = [line for line in WIDGETS["Runs"]["properties"]["metrics"] if line[0] == OWN]
    assert tuple(line[-1]["label"] for line in runs) == outcomes
    assert tuple(HEADLINES) == outcomes
    assert {name: word.lower() for name, word in HEADLINES.items()} == dict(zip(outcomes, outcomes, strict=True))
    for model in (ReportResult, RunFinished):
        assert get_args(model.model_fields["outcome"].annotation) == outcomes


# ---- Saved queries ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", of_type("AWS::Logs::QueryDefinition"))
def test_query_reads_existing_log_groups(name: str) -> None:
    query = RESOURCES[name]["Properties"]
    assert {group["Ref"] for group in query["LogGroupNames"]} <= of_type("AWS::Logs::LogGroup").keys()
    # A second stack in the account has queries of its own.
    assert query["Name"]["Fn::Sub"].startswith("${AWS::StackName}/")


@pytest.mark.parametrize("name", of_type("AWS::Logs::QueryDefinition"))
def test_query_searches_for_lines_that_our_code_writes(name: str) -> None:
    query = RESOURCES[name]["Properties"]
    wanted = set(re.findall(r'message = "([^"]+)"', query["QueryString"]))
    code = "".join(module.read_text() for module in (ROOT / "functions").rglob("*.py"))
    assert all(f'"{line}"' in code for line in wanted)
