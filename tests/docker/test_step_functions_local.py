"""The ways of a run and of a batch on AWS's own Step Functions Local, from the same mock file as the workflow tests.

Without Docker, the machines and mocks that would be given to it run on the embedded engine: what is said in older words
goes the same ways.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from local.engine import Engine
from tests.docker import step_functions_local as sfn
from tests.support import watched_engine
from tests.support.asl import MACHINE, tasks
from tests.workflow.cases import CASES, INNER, WITHOUT_FEEDS, Case
from tests.workflow.machine import MOCKS

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

CASES_HERE = [case for case in CASES if case.name.split()[0] not in sfn.ENGINES_OWN]
# These end before they come to anything else.
SHORT = {
    "ParameterMissing", "InputRefused", "CheckInputFails", "CheckInputIsGone", "CheckInputTimesOut", "OnlyPlan",
}  # fmt: skip


@dataclass(frozen=True)
class Machines:
    """Both machines on one of the two engines."""

    client: SFNClient
    arns: dict[str, str]

    def run(self, case: str, given: dict[str, Any]) -> tuple[str, str | None, list[str]]:
        return sfn.execute(self.client, self.arns[sfn.RUN], case, given)

    def batch(self, case: str) -> tuple[str, str | None, list[str]]:
        return sfn.execute(self.client, self.arns[sfn.BATCH], case, {"run": {}, "batch": {}})


@pytest.fixture(scope="module")
def mock_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("mocks") / "mocks.json"
    file.write_text(json.dumps(sfn.mocks(json.loads(MOCKS.read_text()))))
    return file


@pytest.fixture(scope="module")
def embedded(mock_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    settings = {"SFN_WAIT_SCALE": "0", "SFN_MOCK_CONFIG": str(mock_file)}
    program = Path(watched_engine.__file__)
    with Engine(tmp_path_factory.mktemp("engine"), settings=settings, program=program) as engine:
        client = engine.client("stepfunctions")
        yield Machines(client, sfn.create(client))


@pytest.fixture(scope="module")
def in_docker(mock_file: Path) -> Iterator[Machines]:
    reason = sfn.missing()
    if reason:
        pytest.skip(reason)
    with sfn.container(mock_file) as client:
        yield Machines(client, sfn.create(client))


@pytest.fixture(
    params=[
        "embedded",
        pytest.param("in_docker", marks=pytest.mark.docker),
    ],
    scope="module",
)
def machines(request: pytest.FixtureRequest) -> Machines:
    found: Machines = request.getfixturevalue(request.param)
    return found


@pytest.mark.parametrize("case", CASES_HERE, ids=lambda case: case.name)
def test_run_goes_its_way(machines: Machines, case: Case) -> None:
    given = {} if case.name.endswith(WITHOUT_FEEDS) else {"feeds": ["bluesky:alice.example"]}
    status, _, path = machines.run(case.name.split()[0], given)
    assert " > ".join(name for name in path if name not in INNER) == case.run
    assert " > ".join(name for name in path if name in INNER) == case.feed
    assert status == ("FAILED" if case.error else "SUCCEEDED")


@pytest.mark.parametrize("case", [case for case in CASES_HERE if case.batches], ids=lambda case: case.name)
def test_batch_goes_its_way(machines: Machines, case: Case) -> None:
    status, error, path = machines.batch(case.name.split()[0])
    assert " > ".join(path) == case.batches[0]
    failed = path[-1] == "Batch Failed"
    assert (status, error) == (("FAILED", "Batch Failed") if failed else ("SUCCEEDED", None))


def test_nothing_is_called_for_real(mock_file: Path) -> None:
    machines = json.loads(mock_file.read_text())["StateMachines"]
    of_batch = {name for name, _ in tasks(sfn.batch_machine())}
    of_run = {name for name, _ in tasks(MACHINE)} - of_batch | {sfn.MAP}
    assert {name for name, answers in machines[sfn.RUN]["TestCases"].items() if of_run - answers.keys()} == SHORT
    assert all(answers.keys() == of_batch for answers in machines[sfn.BATCH]["TestCases"].values())
