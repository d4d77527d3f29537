"""The type of every variable of a state machine, from the contracts of its functions."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel

from imagelake.run.contracts import CONTRACTS
from imagelake.run.failures import CaughtError
from tests.support.asl import Json, lambda_tasks, packages, scopes, states, tasks

# A path into a state's input, as in ``$.feed.feed_id``; ``$$`` is the context object of Step Functions.
PATH = re.compile(r"(?<!\$)\$(?:\.[a-z_A-Z]+)+")
ITEM = "$$.Map.Item.Value"


class Missing(Exception):  # noqa: N818
    """A path that leads to no field."""


class Place(NamedTuple):
    """A state of a workflow and its scope."""

    workflow: str
    scope: str
    name: str


class Workflow:
    """One state machine; ``given`` are the types of the variables that no function returns, by scope.

    ``items`` are the types of the items of its Maps.
    """

    def __init__(self, name: str, machine: Json, given: Mapping[str, Any], items: Mapping[str, Any]) -> None:
        self.name = name
        self.machine = machine
        self._given = given
        self._items = items
        self.states = dict(states(machine))
        self.tasks = dict(tasks(machine))
        self.packages = packages(machine)
        self.stems = lambda_tasks(machine)

    @cached_property
    def places(self) -> list[Place]:
        """All states."""
        return [Place(self.name, scope.name, name) for scope in scopes(self.machine) for name in scope.states]

    def scope_of(self, name: str) -> str:
        """Name the scope of a state."""
        return next(place.scope for place in self.places if place.name == name)

    def variables(self, scope: str) -> dict[str, Any]:
        """The top-level variables of a scope, each with its type: a model, or a dict of types."""
        types_of: dict[str, Any] = dict(self._given.get(scope, {}))
        if scope:
            types_of |= self._selected(scope)
        for name, state in next(one.states for one in scopes(self.machine) if one.name == scope).items():
            for catch in state.get("Catch", []):
                types_of |= assigned(catch["ResultPath"], CaughtError)
            if name in self.packages:
                types_of |= assigned(state["ResultPath"], CONTRACTS[self.packages[name]].result)
            elif "ResultSelector" in state:
                types_of |= assigned(state["ResultPath"], dict.fromkeys(keys(state["ResultSelector"]), str))
        return types_of

    def _selected(self, scope: str) -> dict[str, Any]:
        """The variables that a Map gives to each of its items; those with constant values are given."""
        selected = self.states[scope]["ItemSelector"]
        paths_of = {key.removesuffix(".$"): value for key, value in selected.items() if key.endswith(".$")}
        return {
            key: self.item(scope, path) if path.startswith(ITEM) else self.typed(self.scope_of(scope), path)
            for key, path in paths_of.items()
        }

    def item(self, scope: str, path: str) -> Any:
        """The type of an item of a Map, or of one of its fields."""
        kind: Any = self._items[scope]
        for name in path.removeprefix(ITEM).split(".")[1:]:
            kind = field_of(kind, name)
        return kind

    def typed(self, scope: str, path: str) -> Any:
        """The type of what a path leads to; raises ``Missing``."""
        kind: Any = self.variables(scope)
        for name in path.split(".")[1:]:
            kind = field_of(kind, name)
        return kind


def assigned(result_path: str | None, kind: Any) -> dict[str, Any]:
    """The variables that a result becomes."""
    if result_path is None:
        return {}
    if result_path == "$":
        return {name: field.annotation for name, field in kind.model_fields.items()}
    return {result_path.removeprefix("$."): kind}


def field_of(kind: Any, name: str) -> Any:
    """The type of a field; raises ``Missing``."""
    kind = without_none(kind)
    if isinstance(kind, dict) and name in kind:
        return kind[name]
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        for field_name, field in kind.model_fields.items():
            if name == (field.alias or field_name):
                return field.annotation
    raise Missing(f"{name} is not a field of {kind}")


def without_none(kind: Any) -> Any:
    """The type of a value that may be ``None``, without that."""
    if get_origin(kind) in (Union, types.UnionType):
        (kind,) = (part for part in get_args(kind) if part is not types.NoneType)
    return kind


def keys(parameters: Json) -> set[str]:
    """The names that parameters give."""
    return {key.removesuffix(".$") for key in parameters}


def paths(value: Any) -> Iterator[str]:
    """Every path in a part of a state, also inside intrinsic functions."""
    match value:
        case str():
            yield from PATH.findall(value)
        case dict():
            for key, inner in value.items():
                # The first two do not read the state's input; the states of a Map are checked by themselves.
                if key not in ("ResultSelector", "ResultPath", "ItemProcessor"):
                    yield from paths(inner)
        case list():
            for inner in value:
                yield from paths(inner)
