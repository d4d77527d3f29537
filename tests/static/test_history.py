"""Length of a run's history: a run of a million images, in as many feeds as allowed, has fewer than 5,000 events.

Step Functions ends an execution at 25,000 events. The batches are executions of their own. The events of each type of
state: https://docs.aws.amazon.com/step-functions/latest/apireference/API_HistoryEvent.html
"""

from __future__ import annotations

from math import ceil

import pytest

from check_input.run_input import MAX_FEEDS
from fetch.pager import SECONDS_A_PAGE
from fetch.stops import MAX_WAITS
from tests.support.asl import MACHINE, MACHINES, RESOURCES, states

STATES = dict(states(MACHINE))
IMAGES = 1_000_000
# Mastodon has the smallest pages; two seconds per page is slow.
POSTS_PER_PAGE, SECONDS_PER_PAGE = 40, 2
# A Task is entered, scheduled, started, succeeded and exited. A Distributed Map has its Map Run start and end instead.
EVENTS = {"Task": 5, "Choice": 2, "Pass": 2, "Wait": 2, "Succeed": 2, "Map": 5}
LIMIT = 5_000

STATES_OF_FEED = [
    "Validate", "Commit Bookmark", "Anything To Do?", "For Each Batch", "Reconcile", "Is Complete?", "Feed Complete"
]  # fmt: skip
STATES_OF_RUN = [
    "Has Feeds?", "Load Feeds", "Check Input", "For Each Feed", "Report", "Any Failures?", "Notify Warning",
    "Run Complete With Warnings",
]  # fmt: skip


def events(*names: str) -> int:
    return sum(EVENTS[STATES[name]["Type"]] for name in names)


@pytest.mark.parametrize("feeds", [10, MAX_FEEDS])
def test_history_of_a_million_images_is_short(feeds: int) -> None:
    reading = RESOURCES["FetchFunction"]["Properties"]["Timeout"] - SECONDS_A_PAGE
    seconds = IMAGES / feeds / POSTS_PER_PAGE * SECONDS_PER_PAGE
    calls = ceil(seconds / reading) + MAX_WAITS
    feed = (
        calls * events("Fetch", "Is Rate Limited?") + MAX_WAITS * events("Wait Until Reset") + events(*STATES_OF_FEED)
    )
    # Two events more: an iteration starts and ends, and so does the execution.
    assert feeds * (feed + 2) + events(*STATES_OF_RUN) + 2 < LIMIT


def test_batches_are_executions_of_their_own() -> None:
    processor = STATES["For Each Batch"]["ItemProcessor"]["ProcessorConfig"]
    assert processor == {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}


def test_express_children_end_before_their_limit() -> None:
    # https://docs.aws.amazon.com/step-functions/latest/dg/choosing-workflow-type.html: five minutes. They have no
    # history, so a state of another service's job could not wait for it; all of these call a function.
    children = [
        child
        for machine in MACHINES.values()
        for state in machine["States"].values()
        if state["Type"] == "Map"
        and state["ItemProcessor"].get("ProcessorConfig", {}).get("ExecutionType") == "EXPRESS"
        for child in state["ItemProcessor"]["States"].values()
        if child["Type"] == "Task"
    ]
    assert len(children) == 2
    assert all(child["TimeoutSeconds"] < 300 for child in children)
