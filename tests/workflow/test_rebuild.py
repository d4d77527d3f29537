"""Every state and every branch of the rebuild's state machine runs, with the notifications that it publishes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.engine import Engine
from tests.support import watched_engine
from tests.support.asl import MACHINES
from tests.workflow.machine import MOCKS, Machine, Outcome, untaken_branches

MACHINE = MACHINES["Rebuild"]
START = "Take Input > Plan Rebuild"
FILES = f"{START} > For Each File"
REPORTED = f"{FILES} > Report Rebuild > Is Rebuilt?"
OK = f"{REPORTED} > Notify Success > Rebuild Complete"
WARNED = f"{REPORTED} > Notify Warning > Rebuild Complete With Warnings"
FAILED = f"{REPORTED} > Notify Failure > Rebuild Failed"
BROKEN = "Is Cause JSON? > Read Sentence > Describe Failure > Notify Failure > Rebuild Failed"
BROKEN_BY_AWS = BROKEN.replace("Read Sentence", "Take Whole Error")
UNPACKED = "Unpack > Anything To Rebuild?"
IMAGES = f"{UNPACKED} > Rebuild Images"
WRITTEN = f"{IMAGES} > Write Parquet"
NOT_REBUILT = "Record Failure > File Failed"
OK_SUBJECT, PARTIAL_SUBJECT, FAILED_SUBJECT = (
    f"Imagelake rebuild {title}: rebuilt 2 images in 1 files" for title in ("ok", "partial", "FAILED")
)
BROKEN_SUBJECT = "Imagelake rebuild: FAILED before its report"
INCOMPLETE = "RebuildIncomplete"

# By case of mocks.json: the path, the path of the file, the subject of the notification, and the error of a failed
# execution.
CASES: dict[str, tuple[str, str | None, str | None, str | None]] = {
    "Complete": (OK, WRITTEN, OK_SUBJECT, None),
    "NothingToDo": (OK, f"{UNPACKED} > File Unchanged", OK_SUBJECT, None),
    "ChangedBeforeTheImages": (OK, f"{IMAGES} > {WRITTEN}", OK_SUBJECT, None),
    "ChangedBeforeTheFile": (OK, f"{WRITTEN} > {WRITTEN}", OK_SUBJECT, None),
    "SomeRowsStay": (WARNED, WRITTEN, PARTIAL_SUBJECT, None),
    "UnpackFails": (FAILED, f"Unpack > {NOT_REBUILT}", FAILED_SUBJECT, INCOMPLETE),
    "ImagesFail": (FAILED, f"{IMAGES} > {NOT_REBUILT}", FAILED_SUBJECT, INCOMPLETE),
    "WriteFails": (FAILED, f"{WRITTEN} > {NOT_REBUILT}", FAILED_SUBJECT, INCOMPLETE),
    "RecordFailureFails": (FAILED, f"Unpack > {NOT_REBUILT}", FAILED_SUBJECT, INCOMPLETE),
    "RequestRefused": (
        f"{START} > Read Cause > Describe Bad Input > Notify Failure > Rebuild Failed",
        None,
        "Imagelake rebuild: FAILED, the request is wrong",
        "BadInputError",
    ),
    "PlanFails": (f"{START} > {BROKEN}", None, BROKEN_SUBJECT, "StorageDeniedError"),
    "PlanTimesOut": (f"{START} > {BROKEN_BY_AWS}", None, BROKEN_SUBJECT, "States.Timeout"),
    "ListMissing": (f"{FILES} > {BROKEN_BY_AWS}", None, BROKEN_SUBJECT, "States.ItemReaderFailed"),
    "ReportFails": (f"{FILES} > Report Rebuild > {BROKEN}", WRITTEN, BROKEN_SUBJECT, "StorageDeniedError"),
    "SuccessNotSent": (f"{REPORTED} > Notify Success > Warning Not Sent", WRITTEN, None, "WarningNotSent"),
    "WarningNotSent": (f"{REPORTED} > Notify Warning > Warning Not Sent", WRITTEN, None, "WarningNotSent"),
    "FailureNotSent": (FAILED, WRITTEN, None, INCOMPLETE),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Outcome]]:
    """Run a case by its name, once for all tests."""
    settings = {"SFN_WAIT_SCALE": "0", "SFN_MOCK_CONFIG": str(MOCKS)}
    program = Path(watched_engine.__file__)
    with Engine(tmp_path_factory.mktemp("engine"), settings=settings, program=program) as engine:
        machine = Machine(engine, "Rebuild")
        yield functools.cache(lambda case: machine.run(case, {"image_size": 256}))


@pytest.mark.parametrize("case", CASES)
def test_rebuild_takes_its_path_and_notifies(run: Callable[[str], Outcome], case: str) -> None:
    path, file_path, subject, error = CASES[case]
    outcome = run(case)
    assert " > ".join(outcome.path) == path
    assert [" > ".join(child.path) for child in outcome.batches] == ([] if file_path is None else [file_path])
    assert [message["Subject"] for message in outcome.messages] == ([] if subject is None else [subject])
    assert (outcome.status, outcome.error) == ("FAILED" if error else "SUCCEEDED", error)


@pytest.mark.parametrize("case", [case for case, (*_, subject, _) in CASES.items() if subject == BROKEN_SUBJECT])
def test_notification_of_a_failure_says_what_where_and_how_to_resume(run: Callable[[str], Outcome], case: str) -> None:
    outcome = run(case)
    (message,) = outcome.messages
    sections = message["Message"].split("\n\n")[1:]
    assert [text.partition(":\n")[0] for text in sections] == ["What is wrong", "Where to look", "How to resume"]
    assert outcome.arn in sections[1]
    assert "stackTrace" not in message["Message"]


def test_wrong_request_is_refused_with_its_sentence_alone(run: Callable[[str], Outcome]) -> None:
    (message,) = run("RequestRefused").messages
    assert "\n  rebuild request: image_size: it has to be a number\n" in message["Message"]
    assert "Nothing was changed" in message["Message"]


def test_every_state_and_every_branch_runs(run: Callable[[str], Outcome]) -> None:
    assert untaken_branches(MACHINE, map(run, CASES)) == set()
