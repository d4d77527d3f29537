"""Metrics that the functions send, and those that the dashboard and the alarms of the template use."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple, get_args

from imagelake.lake.rows import Status
from imagelake.run.rebuild_models import RebuiltCounts
from report.summary import Summary
from tests.support.asl import RESOURCES, ROOT, Json

OWN = "Imagelake/${AWS::StackName}"
# Names of metrics with a part that the code fills in, and the values of that part.
FILLED_IN = {
    "Items{}": [status.capitalize() for status in Status],
    "Images{}": [status.capitalize() for status in Status],
    "Rows{}": [name.capitalize() for name in RebuiltCounts.model_fields],
    "Runs{}": [outcome.capitalize() for outcome in get_args(Summary.model_fields["outcome"].annotation)],
}


class Metric(NamedTuple):
    """Identity of a metric in CloudWatch; of the dimensions' values, only that of ``service``."""

    namespace: str
    name: str
    dimensions: frozenset[str]
    service: str | None


def own(name: str, service: str, *dimensions: str) -> Metric:
    return Metric(OWN, name, frozenset({"service", *dimensions}), service)


# ---- What is sent ----------------------------------------------------------------------------------------------------


def sent_by(source: str, service: str) -> Iterator[Metric]:
    """Find the metrics that a module sends with ``metrics.add_metric`` and ``add_metric_of``."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Attribute(attr="add_metric"), args=[name, *_]):
                yield from (own(made, service) for made in names(name))
            case ast.Call(func=ast.Name(id="add_metric_of"), args=[name, *_], keywords=keywords):
                yield from (own(made, service, *(k.arg for k in keywords if k.arg)) for made in names(name))


def names(node: ast.expr) -> list[str]:
    match node:
        case ast.Constant(value=str(name)):
            return [name]
        case ast.JoinedStr(values=parts):
            frame = "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in parts)
            return [frame.format(value) for value in FILLED_IN[frame]]
    raise AssertionError(f"this test cannot read the name of a metric: {ast.unparse(node)}")


SENT = {
    metric
    for app in (ROOT / "functions").glob("*/app.py")
    for module in app.parent.glob("*.py")
    for metric in sent_by(module.read_text(), app.parent.name)
}

# ---- What is drawn and watched ---------------------------------------------------------------------------------------

DASHBOARD = json.loads(RESOURCES["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"])
WIDGETS = {widget["properties"]["title"]: widget for widget in DASHBOARD["widgets"]}
SEARCH = re.compile(
    r"""SEARCH\('\{"(?P<namespace>[^"]+)",(?P<dimensions>[\w,]+)\} MetricName="(?P<name>\w+)"', '\w+', \d+\)"""
)


def drawn() -> Iterator[Metric]:
    for line in lines():
        if isinstance(line[0], dict):
            search = SEARCH.fullmatch(line[0]["expression"])
            if search:
                yield Metric(search["namespace"], search["name"], frozenset(search["dimensions"].split(",")), None)
            continue
        namespace, name, *rest = (part for part in line if isinstance(part, str))
        dimensions = dict(zip(rest[::2], rest[1::2], strict=True))
        yield Metric(namespace, name, frozenset(dimensions), dimensions.get("service"))


def lines() -> Iterator[list[Any]]:
    for widget in WIDGETS.values():
        yield from widget["properties"].get("metrics", [])


def watched() -> Iterator[Metric]:
    for alarm in of_type("AWS::CloudWatch::Alarm").values():
        properties = alarm["Properties"]
        namespace = properties["Namespace"]
        dimensions = {entry["Name"]: entry["Value"] for entry in properties["Dimensions"]}
        service = dimensions.get("service")
        name = namespace["Fn::Sub"] if isinstance(namespace, dict) else namespace
        yield Metric(name, properties["MetricName"], frozenset(dimensions), service)


def of_type(kind: str) -> dict[str, Json]:
    return {name: resource for name, resource in RESOURCES.items() if resource["Type"] == kind}
