"""Deploy and follow a small stack in the engine, with real workers behind the real runtime client."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from local.deploy import DeployError, deploy
from local.engine import Engine
from local.follow import follow

TEMPLATE = """\
Transform: AWS::Serverless-2016-10-31
Parameters:
  Word: {Type: String, Default: none, AllowedValues: [none, one, two]}
Globals:
  Function:
    CodeUri: functions/
    Runtime: python3.13
    Timeout: 30
    Environment: {Variables: {WORD: !Ref Word}}
Resources:
  Bucket:
    Type: AWS::S3::Bucket
  WorkFunction:
    Type: AWS::Serverless::Function
    Properties:
      Handler: work.app.handler
      Layers: ["{{resolve:ssm:/aws/service/some/layer}}"]
  Machine:
    Type: AWS::Serverless::StateMachine
    Properties:
      DefinitionUri: machine.asl.json
      DefinitionSubstitutions: {WorkFunctionArn: !GetAtt WorkFunction.Arn, BucketName: !Ref Bucket}
Outputs:
  BucketName: {Value: !Ref Bucket}
  StateMachineArn: {Value: !Ref Machine}
"""
WORK = """\
import os


class BrokenImageError(Exception):
    pass


def handler(event, context):
    if event["batch"].get("broken"):
        raise BrokenImageError("broken")
    return {"word": os.environ["WORD"]}
"""
MACHINE = {
    "StartAt": "For Each Feed",
    "States": {
        "For Each Feed": {
            "Type": "Map",
            "ItemsPath": "$.feeds",
            "ItemProcessor": {
                "StartAt": "Fetch",
                "States": {
                    "Fetch": {
                        "Type": "Task",
                        "Resource": "${WorkFunctionArn}",
                        "Parameters": {"batch": {}},
                        "ResultPath": None,
                        "Next": "For Each Batch",
                    },
                    "For Each Batch": {
                        "Type": "Map",
                        "Label": "Batches",
                        "ToleratedFailurePercentage": 100,
                        "ItemReader": {
                            "Resource": "arn:aws:states:::s3:getObject",
                            "ReaderConfig": {"InputType": "JSON"},
                            "Parameters": {"Bucket": "${BucketName}", "Key.$": "$"},
                        },
                        "ItemSelector": {"batch.$": "$$.Map.Item.Value"},
                        "ItemProcessor": {
                            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
                            "StartAt": "Transform",
                            "States": {"Transform": {"Type": "Task", "Resource": "${WorkFunctionArn}", "End": True}},
                        },
                        "ResultPath": None,
                        "End": True,
                    },
                },
            },
            "ResultPath": None,
            "Next": "Check",
        },
        "Check": {
            "Type": "Task",
            "Resource": "${WorkFunctionArn}",
            "Parameters": {"batch": {"broken": True}},
            "Catch": [{"ErrorEquals": ["BrokenImageError"], "ResultPath": "$.error", "Next": "Broken"}],
            "End": True,
        },
        "Broken": {"Type": "Fail", "ErrorPath": "$.error.Error"},
    },
}


def write_project(folder: Path) -> Path:
    (folder / "functions/work").mkdir(parents=True)
    (folder / "functions/work/app.py").write_text(WORK)
    (folder / "machine.asl.json").write_text(json.dumps(MACHINE))
    (folder / "template.yaml").write_text(TEMPLATE)
    return folder / "template.yaml"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with Engine(tmp_path_factory.mktemp("engine")) as engine:
        yield engine


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_project(tmp_path_factory.mktemp("project"))


def test_follow_shows_states_batches_and_errors_by_their_own_names(engine: Engine, template: Path) -> None:
    outputs = deploy(engine, template)
    batches = [{"feed_id": "cats"}, {"feed_id": "cats", "broken": True}, {"feed_id": "cats"}]
    engine.client("s3").put_object(Bucket=outputs["BucketName"], Key="batches.json", Body=json.dumps(batches))
    states = engine.client("stepfunctions")
    started = states.start_execution(
        stateMachineArn=outputs["StateMachineArn"], input=json.dumps({"feeds": ["batches.json"]})
    )
    output = io.StringIO()

    execution = follow(states, started["executionArn"], Console(file=output, width=100))

    assert execution["status"] == "FAILED"
    assert execution["error"] == "BrokenImageError"
    lines = output.getvalue().splitlines()
    assert lines[0] == " 1  For Each Feed …"
    assert "      cats: 3 of 3 batches, 1 failed" in lines
    assert [line.split("  ")[1::2] for line in lines if " s  " in line] == [
        ["For Each Feed", "Fetch 1"],
        ["Check", "BrokenImageError"],
        ["Broken", "BrokenImageError"],
    ]


def test_deploy_updates_the_stack_when_there_is_one(engine: Engine, template: Path) -> None:
    first = deploy(engine, template, {"Word": "one"}, stack_name="twice")
    second = deploy(engine, template, {"Word": "two"}, stack_name="twice")
    assert second == first
    functions = engine.client("lambda").list_functions()["Functions"]
    words = [f["Environment"]["Variables"]["WORD"] for f in functions if f["FunctionName"].startswith("twice")]
    assert words == ["two"]
    assert deploy(engine, template, {"Word": "two"}, stack_name="twice") == first


def test_deploy_names_the_resource_and_the_reason_when_one_fails(engine: Engine, template: Path) -> None:
    broken = template.with_name("broken.yaml")
    broken.write_text(TEMPLATE.replace("WORD: !Ref Word", 'WORD: "{{resolve:ssm:/no/such/parameter}}"'))
    with pytest.raises(DeployError, match=r"WorkFunction: .*/no/such/parameter not found"):
        deploy(engine, broken, stack_name="broken")


def test_deploy_gives_the_reason_when_a_parameter_is_wrong(engine: Engine, template: Path) -> None:
    with pytest.raises(DeployError, match="Parameter 'Word' value 'three'"):
        deploy(engine, template, {"Word": "three"}, stack_name="refused")
