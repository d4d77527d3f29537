"""A rebuild of the lake: the same code and options give the same bytes, and a change only changes what it should."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from tests.reliability.audit import problems, rows
from tests.reliability.kill_points import OPTIONS
from tests.reliability.pipeline import execute
from tests.reliability.rebuild import execute_rebuild
from tests.reliability.world import DAY, FEEDS, World
from tests.support.fake_lake import Lake


@pytest.fixture
def filled(lake: Lake, world: World) -> Lake:
    """A lake with rows of every status, which no image server can give again."""
    execute(lake, "run-1", FEEDS, dt=DAY, **OPTIONS)
    world.expire()
    return lake


def files(lake: Lake) -> dict[str, str]:
    """The SHA-256 of every dataset file."""
    return {key: hashlib.sha256(lake.bucket.get(key)).hexdigest() for key in lake.bucket.list("lake/")}


def changed(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> set[str]:
    """The names of all columns that differ in a row; the rows must be in the same places."""
    assert [(row["_key"], row["_row"], row["media_id"]) for row in before] == [
        (row["_key"], row["_row"], row["media_id"]) for row in after
    ]
    return {name for old, new in zip(before, after, strict=True) for name in old if old[name] != new[name]}


def report(lake: Lake, answer: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = lake.bucket.get_json(answer["report_key"])
    return found


def test_same_code_and_options_give_the_same_bytes(filled: Lake, world: World) -> None:
    before, downloads = files(filled), len(world.downloads())
    mapping, owners = filled.mapping(), filled.owners()
    answer = execute_rebuild(filled, "rebuild-1")
    assert answer["outcome"] == "ok", answer["message"]
    assert files(filled) == before
    assert len(world.downloads()) == downloads
    assert (filled.mapping(), filled.owners()) == (mapping, owners)
    assert problems(filled, world.expected) == []
    counts = report(filled, answer)["counts"]
    assert counts["changed"] == counts["unreadable"] == counts["kept"] == 0
    assert counts["ok"] and counts["duplicate"] and counts["rejected"]
