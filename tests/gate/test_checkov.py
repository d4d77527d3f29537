"""Checkov finds nothing in the template after SAM's transform; ``make gate`` runs this, because Checkov is large."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.support.asl import ROOT, TEMPLATE, Json
from tests.support.template_gate import broken, transformed

pytestmark = pytest.mark.gate

CHECKOV = ROOT / ".venv-gate" / "bin" / "checkov"
# What it finds and why that stays. A finding that is not here fails, and so does a line here that finds nothing.
EXPLAINED = {
    "CKV_AWS_18": "a log of access wants a second bucket; an account that needs one has CloudTrail's data events",
    "CKV_AWS_27": "SQS's own key encrypts the queues, which this check does not know; template_gate.py does",
    "CKV_AWS_115": "the Maps bound the concurrency; a new account has too small a quota to reserve any of it",
    "CKV_AWS_116": "Step Functions waits and catches; template_gate.py holds the functions that others call to a queue",
    "CKV_AWS_117": "nothing in a VPC is to be reached, and a way from there to the networks is billed by the hour",
    "CKV_AWS_119": "DynamoDB's own key encrypts the tables; one of ours is billed, and the posts are public",
    "CKV_AWS_149": "Secrets Manager's own key encrypts the secret of the suppression list; one of ours is billed",
    "CKV_AWS_158": "CloudWatch's own key encrypts the logs; one of ours is billed, and the lines are keys and counts",
    "CKV_AWS_173": "Lambda's own key encrypts the variables, and template_gate.py sees that none is a secret",
}


def findings(template: Json, folder: Path) -> set[tuple[str, str]]:
    """Every failed check, with the resource that fails it."""
    file = folder / "template.json"
    file.write_text(json.dumps(template))
    command = [
        str(CHECKOV),
        "--file",
        str(file),
        "--framework",
        "cloudformation",
        "--skip-download",
        "--output",
        "json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    report = json.loads(done.stdout)
    # Without this, a template that it cannot read would have no findings.
    assert report["summary"]["parsing_errors"] == 0
    assert report["summary"]["resource_count"] >= len(template["Resources"])
    return {(check["check_id"], check["resource"].split(".")[-1]) for check in report["results"]["failed_checks"]}


def checks(found: Iterable[tuple[str, str]]) -> set[str]:
    return {check for check, _ in found}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> set[tuple[str, str]]:
    return findings(transformed(TEMPLATE), tmp_path_factory.mktemp("checkov"))


def test_checkov_finds_nothing_that_is_not_explained(found: set[tuple[str, str]]) -> None:
    assert {finding for finding in found if finding[0] not in EXPLAINED} == set()


def test_every_explanation_is_of_something_found(found: set[tuple[str, str]]) -> None:
    assert EXPLAINED.keys() - checks(found) == set()


def test_checkov_finds_what_is_planted(found: set[tuple[str, str]], tmp_path: Path) -> None:
    def plant(resources: dict[str, Json]) -> None:
        resources["Topic"]["Properties"].pop("KmsMasterKeyId")
        resources["Bucket"]["Properties"].pop("PublicAccessBlockConfiguration")
        statement = {"Effect": "Allow", "Action": "*", "Resource": "*"}
        resources["FetchFunction"]["Properties"]["Policies"][0]["Statement"].append(statement)

    planted = findings(broken(plant), tmp_path) - found
    assert {("CKV_AWS_26", "Topic"), ("CKV_AWS_53", "Bucket"), ("CKV_AWS_107", "FetchFunctionRole")} <= planted
