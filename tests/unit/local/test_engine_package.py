"""Packaging: some parts of the template change for the local engine, and the others stay."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from local.package import package, read_template, zip_code

ROOT = Path(__file__).parents[3]
TEMPLATE = """\
AWSTemplateFormatVersion: 2010-09-09
Transform: AWS::Serverless-2016-10-31
Parameters:
  Name: {Type: String, Default: ""}
  Layer: {Type: "AWS::SSM::Parameter::Value<String>", Default: /aws/service/some/layer}
  Own: {Type: "AWS::SSM::Parameter::Value<String>", Default: /own/parameter}
Globals:
  Function:
    CodeUri: functions/
    Runtime: python3.13
    Layers: [!Ref Layer]
Conditions:
  IsNamed: !Not [!Equals [!Ref Name, ""]]
Resources:
  OwnLayer:
    Type: AWS::Serverless::LayerVersion
    Properties: {ContentUri: layers/own/}
  PingFunction:
    Type: AWS::Serverless::Function
    Properties:
      Handler: ping.app.handler
      Layers: [!Sub "arn:${AWS::Partition}:layer"]
      Environment: {Variables: {BUCKET_NAME: !Ref Bucket, TABLE_ARN: !GetAtt Table.Arn}}
  OtherFunction:
    Type: AWS::Serverless::Function
    Properties: {Handler: other.app.handler, CodeUri: other/, MemorySize: 512}
  Machine:
    Type: AWS::Serverless::StateMachine
    Properties:
      DefinitionUri: machine.asl.json
      DefinitionSubstitutions: {PingFunctionArn: !GetAtt PingFunction.Arn}
  Bucket:
    Type: AWS::S3::Bucket
    Condition: IsNamed
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "template.yaml").write_text(TEMPLATE)
    for name in ("functions/ping", "functions/ping/__pycache__", "other"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "app.py").write_text(f"# {name}\n")
    (tmp_path / "machine.asl.json").write_text('{"StartAt": "Ping"}')
    return tmp_path


@pytest.fixture
def uploads() -> dict[str, bytes]:
    return {}


def run(project: Path, uploads: dict[str, bytes]) -> dict[str, Any]:
    def upload(name: str, content: bytes) -> dict[str, str]:
        uploads[name] = content
        return {"Bucket": "artifacts", "Key": name}

    return package(project / "template.yaml", upload)


def properties(template: dict[str, Any], name: str) -> dict[str, Any]:
    properties = template["Resources"][name]["Properties"]
    assert isinstance(properties, dict)
    return properties


def test_read_template_gives_long_forms_and_dates_as_text(project: Path) -> None:
    template = read_template(project / "template.yaml")
    assert template["AWSTemplateFormatVersion"] == "2010-09-09"
    assert template["Conditions"]["IsNamed"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "Name"}, ""]}]}
    assert template["Resources"]["PingFunction"]["Properties"]["Environment"]["Variables"] == {
        "BUCKET_NAME": {"Ref": "Bucket"},
        "TABLE_ARN": {"Fn::GetAtt": ["Table", "Arn"]},
    }


def test_package_runs_functions_through_the_bootstrap_without_layers(project: Path, uploads: dict[str, bytes]) -> None:
    template = run(project, uploads)
    function = properties(template, "PingFunction")
    assert function["Runtime"] == "provided.al2023"
    assert function["Handler"] == "ping.app.handler"
    assert "Layers" not in function
    assert "Layers" not in template["Globals"]["Function"]
    assert "OwnLayer" not in template["Resources"]
    with zipfile.ZipFile(io.BytesIO(uploads[function["CodeUri"]["Key"]])) as archive:
        assert archive.namelist() == ["ping/app.py", "bootstrap"]
        assert archive.getinfo("bootstrap").external_attr >> 16 & 0o111
        assert b"awslambdaric" in archive.read("bootstrap")


def test_package_uses_a_functions_own_code_when_it_has_one(project: Path, uploads: dict[str, bytes]) -> None:
    function = properties(run(project, uploads), "OtherFunction")
    assert function["MemorySize"] == 512
    with zipfile.ZipFile(io.BytesIO(uploads[function["CodeUri"]["Key"]])) as archive:
        assert archive.namelist() == ["app.py", "bootstrap"]


def test_package_uploads_the_definition_and_leaves_the_rest(project: Path, uploads: dict[str, bytes]) -> None:
    machine = properties(run(project, uploads), "Machine")
    assert uploads[machine["DefinitionUri"]["Key"]] == b'{"StartAt": "Ping"}'
    assert machine["DefinitionSubstitutions"] == {"PingFunctionArn": {"Fn::GetAtt": ["PingFunction", "Arn"]}}
    assert (project / "template.yaml").read_text() == TEMPLATE


def test_package_needs_no_public_parameter(project: Path, uploads: dict[str, bytes]) -> None:
    parameters = run(project, uploads)["Parameters"]
    assert parameters["Layer"]["Type"] == "String"
    assert parameters["Own"]["Type"] == "AWS::SSM::Parameter::Value<String>"


def test_zip_code_gives_the_same_bytes_when_nothing_changed(project: Path) -> None:
    first = zip_code(project / "functions")
    (project / "functions/ping/app.py").touch()
    assert zip_code(project / "functions") == first


@pytest.mark.parametrize(("for_lake", "seconds"), [(True, 1), (False, 60)])
def test_lake_on_this_machine_waits_for_a_second(for_lake: bool, seconds: int, tmp_path: Path) -> None:
    """AWS: GetItem of an index is eventually consistent; the engine answers from the table itself."""
    until: dict[str, Any] = {"Type": "Wait", "TimestampPath": "$.at", "Next": "Short"}
    states: dict[str, dict[str, Any]] = {
        "Long": {"Type": "Wait", "Seconds": 60, "Next": "Until"},
        "Until": until,
        "Short": {"Type": "Wait", "Seconds": seconds, "Next": "End"},
        "End": {"Type": "Succeed"},
    }
    (tmp_path / "machine.asl.json").write_text(json.dumps({"StartAt": "Long", "States": states}))
    (tmp_path / "template.yaml").write_text(
        "Resources: {M: {Type: AWS::Serverless::StateMachine, Properties: {DefinitionUri: machine.asl.json}}}"
    )
    uploaded: list[bytes] = []

    def upload(name: str, content: bytes) -> dict[str, str]:
        uploaded.append(content)
        return {"Bucket": "b", "Key": name}

    package(tmp_path / "template.yaml", upload, for_lake=for_lake)
    (machine,) = (json.loads(content) for content in uploaded)
    long = states["Long"] | {"Seconds": seconds}
    assert machine["States"] == states | {"Long": long}


@pytest.mark.parametrize(("for_lake", "value"), [(True, "true"), (False, "false")])
def test_functions_of_a_lake_on_this_machine_know_it(for_lake: bool, value: str) -> None:
    resources = package(ROOT / "template.yaml", lambda name, _: {"Bucket": "b", "Key": name}, for_lake=for_lake)[
        "Resources"
    ]
    variables = [one["Properties"].get("Environment", {}).get("Variables", {}) for one in resources.values()]
    assert [one["IS_LOCAL"] for one in variables if "IS_LOCAL" in one] == [value]
