"""Every state and every branch of the erasure's state machine runs, with the notifications that it publishes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.engine import Engine
from tests.support import watched_engine
from tests.support.asl import MACHINES
from tests.workflow.machine import MOCKS, Machine, Outcome, untaken_branches

MACHINE = MACHINES["Erasure"]
START = "Take Request > Check Request > Is Dry Run?"
FOUND = f"{START} > Suppress > Find > Must Wait?"
COPIES = f"{FOUND} > Suppress Copies"
MAPS = ("Promote Duplicates", "Rewrite Files", "Erase Pages", "Erase Reports")
AFTER_FIND = f"{' > '.join(MAPS)} > Erase Images > Wait For Index"
SUPPRESSED = f"{COPIES} > Find > Must Wait?"
ROUND = f"{SUPPRESSED} > {AFTER_FIND}"
DONE = "Verify > Anything Left? > Write Receipt > Notify Result"
BROKEN = "Is Cause JSON? > Read Sentence > Describe Failure > Notify Failure > Erasure Failed"
BROKEN_BY_AWS = BROKEN.replace("Read Sentence", "Take Whole Error")
COMPLETE = "Imagelake erasure complete: 2 items erased"
INCOMPLETE = "Imagelake: erasure FAILED, it is not complete"
REFUSED = "Imagelake: erasure FAILED, the request is wrong"


def until(map_name: str) -> str:
    """The path to a Map whose child fails."""
    return f"{SUPPRESSED} > {' > '.join(MAPS[: MAPS.index(map_name) + 1])} > {BROKEN_BY_AWS}"


TOLERANCE = "States.ExceedToleratedFailureThreshold"
# By case of mocks.json: the path, the subject of the notification, and the error of a failed execution.
CASES: dict[str, tuple[str, str | None, str | None]] = {
    "Complete": (f"{ROUND} > {DONE} > Erasure Complete", COMPLETE, None),
    "DryRun": (f"{START} > Find > Must Wait? > Write Receipt > Notify Result > Erasure Complete", COMPLETE, None),
    "Waits": (
        f"{FOUND} > Wait For Runs > Find > Must Wait? > Suppress Copies > Find > Must Wait? > Wait For Runs"
        f" > Find > Must Wait? > {AFTER_FIND} > {DONE} > Erasure Complete",
        COMPLETE,
        None,
    ),
    "TwoRounds": (
        f"{ROUND} > Verify > Anything Left? > Find > Must Wait? > {AFTER_FIND} > {DONE} > Erasure Complete",
        COMPLETE,
        None,
    ),
    "RequestRefused": (
        "Take Request > Check Request > Read Cause > Describe Bad Request > Notify Failure > Erasure Failed",
        REFUSED,
        "BadInputError",
    ),
    "RequestTimesOut": (f"Take Request > Check Request > {BROKEN_BY_AWS}", INCOMPLETE, "States.Timeout"),
    "SuppressFails": (f"{START} > Suppress > {BROKEN}", INCOMPLETE, "StorageDeniedError"),
    "FindFails": (f"{START} > Suppress > Find > {BROKEN}", INCOMPLETE, "StorageDeniedError"),
    "CopiesFail": (f"{COPIES} > {BROKEN}", INCOMPLETE, "StorageDeniedError"),
    "PromoteFails": (until("Promote Duplicates"), INCOMPLETE, TOLERANCE),
    "RewriteFails": (until("Rewrite Files"), INCOMPLETE, TOLERANCE),
    "DayFails": (until("Erase Pages"), INCOMPLETE, TOLERANCE),
    "ReportFails": (until("Erase Reports"), INCOMPLETE, TOLERANCE),
    "ImagesFail": (f"{ROUND.removesuffix(' > Wait For Index')} > {BROKEN}", INCOMPLETE, "StorageDeniedError"),
    "NeverDone": (f"{ROUND} > Verify > {BROKEN}", INCOMPLETE, "ErasureIncompleteError"),
    "ReceiptFails": (
        f"{ROUND} > {DONE.removesuffix(' > Notify Result')} > {BROKEN}", INCOMPLETE, "StorageDeniedError"
    ),
    "ResultNotSent": (f"{ROUND} > {DONE} > Result Not Sent", None, "ResultNotSent"),
    "FailureNotSent": (f"{START} > Suppress > Find > {BROKEN}", None, "StorageDeniedError"),
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Outcome]]:
    """Run a case by its name, once for all tests."""
    settings = {"SFN_WAIT_SCALE": "0", "SFN_MOCK_CONFIG": str(MOCKS)}
    program = Path(watched_engine.__file__)
    with Engine(tmp_path_factory.mktemp("engine"), settings=settings, program=program) as engine:
        machine = Machine(engine, "Erasure")
        yield functools.cache(lambda case: machine.run(case, {"erase": {}}))


@pytest.mark.parametrize("case", CASES)
def test_erasure_takes_its_path_and_notifies(run: Callable[[str], Outcome], case: str) -> None:
    path, subject, error = CASES[case]
    outcome = run(case)
    assert " > ".join(outcome.path) == path
    assert [message["Subject"] for message in outcome.messages] == ([] if subject is None else [subject])
    assert (outcome.status, outcome.error) == ("FAILED" if error else "SUCCEEDED", error)


@pytest.mark.parametrize("case", [case for case, (_, subject, _) in CASES.items() if subject == INCOMPLETE])
def test_notification_of_a_failure_says_what_where_and_how_to_go_on(run: Callable[[str], Outcome], case: str) -> None:
    outcome = run(case)
    (message,) = outcome.messages
    first, *sections = message["Message"].split("\n\n")
    assert "it is not complete, and there is no receipt" in first
    assert [text.partition(":\n")[0] for text in sections] == ["What is wrong", "Where to look", "How to go on"]
    assert outcome.arn in sections[1]
    assert "stackTrace" not in message["Message"]


def test_wrong_request_is_refused_with_its_sentence_alone(run: Callable[[str], Outcome]) -> None:
    (message,) = run("RequestRefused").messages
    assert "\n  erasure request: reason: it is missing\n" in message["Message"]
    assert "Nothing was changed" in message["Message"]


def test_children_get_no_name_and_the_erasure_alone(run: Callable[[str], Outcome]) -> None:
    outcome = run("Complete")
    assert "erase" not in outcome.input_of("Find")
    assert sorted(" > ".join(child.path) for child in outcome.batches) == sorted(
        ["Promote Rows", "Erase Rows", "Erase Rows", "Erase Day", "Erase Report"]
    )


def test_every_state_and_every_branch_runs(run: Callable[[str], Outcome]) -> None:
    assert untaken_branches(MACHINE, map(run, CASES)) == set()
