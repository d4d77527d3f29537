"""An erasure in this process: the real handlers, in the order of the states of ``statemachine/erasure.asl.json``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

from tests.support.asl import FUNCTION_ARN, MACHINES, SNS_PUBLISH, package
from tests.support.factories import Context
from tests.support.fake_lake import Lake

ARN = "arn:aws:states:us-east-1:123456789012:execution:Erasure:"
Json = dict[str, Any]
_MACHINE = MACHINES["Erasure"]
_PAUSES = 5


class Execution:
    """One execution; errors of functions are raised.

    ``passed`` are its states, and ``sent`` the subjects of its notifications.
    """

    def __init__(self, lake: Lake, name: str, request: Json) -> None:
        self._lake = lake
        self._request = request
        started_at = "2026-04-05T09:00:00Z"
        self._context = {"Execution": {"Id": ARN + name, "Name": name, "StartTime": started_at}}
        self.passed: list[str] = []
        self.sent: list[str] = []

    def run(self, wait: Callable[[], object] = lambda: None) -> Execution:
        """Go to the end; ``wait`` is called in place of each pause."""
        for number, state in enumerate(self.steps()):
            assert number < _PAUSES, f"nothing ends during {state}"
            wait()
        return self

    def steps(self) -> Iterator[str]:
        """Go to the end, and yield at each Wait."""
        yield from self._enter(_MACHINE, self._request, self._context)

    def _enter(self, machine: Json, data: Any, context: Json) -> Iterator[str]:
        """Pass through a machine, or the inside of a Map."""
        name = machine["StartAt"]
        while True:
            state = machine["States"][name]
            self.passed.append(name)
            match state["Type"]:
                case "Succeed":
                    return
                case "Fail":
                    raise AssertionError(f"{name}: {data}")
                case "Choice":
                    chosen = (one["Next"] for one in state["Choices"] if _holds(one, data))
                    name = next(chosen, state["Default"])
                    continue
                case "Wait":
                    yield name
                case "Map":
                    yield from self._map(state, data, context)
                case kind:
                    given = _filled(state["Parameters"], data, context)
                    data = _stored(state, data, given if kind == "Pass" else self._call(state["Resource"], given))
            if state.get("End"):
                return
            name = state["Next"]

    def _call(self, resource: str, given: Json) -> Any:
        if resource == SNS_PUBLISH:
            self.sent.append(given["Subject"])
            return {}
        match = FUNCTION_ARN.fullmatch(resource)
        assert match is not None, resource
        # As JSON, because that is all a state can carry.
        answer = import_module(f"{package(match[1])}.app").handler(json.loads(json.dumps(given)), Context())
        return json.loads(json.dumps(answer))

    def _map(self, state: Json, data: Any, context: Json) -> Iterator[str]:
        """Take the items of the list one after the other."""
        key = _filled(state["ItemReader"]["Parameters"], data, context)["Key"]
        for item in self._lake.bucket.get_json(key):
            inner = {**context, "Map": {"Item": {"Value": item}}}
            yield from self._enter(state["ItemProcessor"], _filled(state["ItemSelector"], data, inner), inner)


def _filled(parameters: Json, data: Any, context: Json) -> Json:
    """Fill in the paths; those of functions such as ``States.Format`` stay."""
    return {
        name.removesuffix(".$"): _filled(value, data, context)
        if isinstance(value, dict)
        else _at(value, data, context)
        if name.endswith(".$")
        else value
        for name, value in parameters.items()
    }


def _at(path: str, data: Any, context: Json) -> Any:
    """The value at a path of the state, or with ``$$`` of the context."""
    found, rest = (context, path.removeprefix("$$")) if path.startswith("$$") else (data, path.removeprefix("$"))
    for part in filter(None, rest.split(".")):
        found = found[part]
    return found


def _stored(state: Json, data: Any, result: Any) -> Any:
    """Put a result where the state says."""
    path = state.get("ResultPath", "$")
    if path is None:
        return data
    return result if path == "$" else {**data, path.removeprefix("$."): result}


def _holds(rule: Json, data: Any) -> bool:
    value = _at(rule["Variable"], data, {})
    if "NumericGreaterThan" in rule:
        return bool(value > rule["NumericGreaterThan"])
    return bool(value == rule["BooleanEquals"])
