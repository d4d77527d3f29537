"""``make deploy``: it checks the credentials first, asks few questions, and passes the answers to SAM."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, NoRegionError

from tools import deploy
from tools.deploy_questions import QUESTIONS, runbook_url

DEFAULTS = {
    "Feeds": '["bluesky:bsky.app"]',
    "ScheduleExpression": "cron(30 5 * * ? *)",
    "ScheduleTimeZone": "UTC",
    "NotificationEmail": "",
    "Contact": "",
}
IDENTITY = {"Account": "123456789012", "Arn": "arn:aws:iam::123456789012:user/me"}


def refused(code: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "Call")


class Aws:
    """AWS with or without a stack; ``error`` is raised by the check of the credentials."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.parameters: dict[str, str] | None = None
        self.meta = SimpleNamespace(region_name="eu-central-1")

    def client(self, service: str) -> Any:
        return self

    def get_caller_identity(self) -> dict[str, str]:
        if self.error:
            raise self.error
        return IDENTITY

    def describe_stacks(self, StackName: str) -> dict[str, Any]:  # noqa: N803
        if self.parameters is None:
            raise refused("ValidationError", f"Stack with id {StackName} does not exist")
        parameters = [{"ParameterKey": name, "ParameterValue": value} for name, value in self.parameters.items()]
        outputs = [{"OutputKey": "StateMachineArn", "OutputValue": "arn:machine"}]
        return {"Stacks": [{"Parameters": parameters, "Outputs": outputs}]}


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Aws:
    aws = Aws()
    monkeypatch.setattr(boto3, "client", aws.client)
    return aws


@pytest.fixture(autouse=True)
def commands(monkeypatch: pytest.MonkeyPatch, aws: Aws) -> list[list[str]]:
    """Every command that was run; none of them fails, and a deployment makes the stack."""
    commands: list[list[str]] = []

    def run(command: list[str], **options: Any) -> Any:
        commands.append(command)
        if "deploy" in command:
            aws.parameters = aws.parameters or {}
        return SimpleNamespace(returncode=0, stdout="git@github.com:me/imagelake.git\n")

    monkeypatch.setattr(subprocess, "run", run)
    return commands


def answers(*given: str) -> deploy.Ask:
    """Answer the questions in order, and then press Enter for ever."""
    left: Iterator[str] = iter(given)
    return lambda _: next(left, "")


def nobody(question: str) -> str:
    raise AssertionError(question)


def deployed(commands: list[list[str]]) -> dict[str, str]:
    """The values of the parameters, as SAM reads them."""
    from samcli.cli.types import CfnParameterOverridesType  # type: ignore[import-untyped]

    *_, command = commands
    overrides = command[command.index("--parameter-overrides") + 1 :]
    values: dict[str, str] = CfnParameterOverridesType().convert(tuple(overrides), None, None)
    return values


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (NoCredentialsError(), "run 'aws configure' or 'aws sso login'"),
        (NoRegionError(), "set AWS_DEFAULT_REGION"),
        (refused("ExpiredToken", "x"), "they have expired"),
        (refused("InvalidClientTokenId", "x"), "AWS does not know them"),
        (refused("AccessDenied", "not allowed"), "AccessDenied: not allowed"),
        (EndpointConnectionError(endpoint_url="https://sts"), "Could not connect to the endpoint"),
    ],
)
def test_credentials_are_checked_before_anything_else(
    aws: Aws, commands: list[list[str]], capsys: pytest.CaptureFixture[str], error: Exception, sentence: str
) -> None:
    aws.error = error
    assert deploy.main(["imagelake"], nobody) == 1
    assert commands == []
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: the AWS credentials do not work: ")
    assert sentence in line


def test_new_stack_gets_the_defaults_by_pressing_enter(aws: Aws, commands: list[list[str]]) -> None:
    assert deploy.main(["imagelake"], answers()) == 0
    assert [command[:2][-1] for command in commands if command[0] != "git"] == ["--no-print-directory", "deploy"]
    assert deployed(commands) == DEFAULTS | {
        "NoGoodRunHours": "26",
        "RunbookUrl": "https://github.com/me/imagelake/blob/HEAD/docs/runbook.md",
    }


def test_answers_become_parameters(aws: Aws, commands: list[list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    feeds = "bluesky:nasa.gov, mastodon:a.example,b.example#cats"
    ask = answers(feeds, "7:05", "Europe/Berlin", "me@example.com", 'C "x" \\ y=z')
    assert deploy.main(["imagelake"], ask) == 0
    values = deployed(commands)
    assert json.loads(values["Feeds"]) == ["bluesky:nasa.gov", "mastodon:a.example,b.example#cats"]
    assert values["ScheduleExpression"] == "cron(5 7 * * ? *)"
    assert (values["ScheduleTimeZone"], values["NotificationEmail"]) == ("Europe/Berlin", "me@example.com")
    assert values["Contact"] == 'C "x" \\ y=z'
    out = capsys.readouterr().out
    assert "AWS account 123456789012, as arn:aws:iam::123456789012:user/me, in eu-central-1." in out
    assert "Confirm the subscription in the email to me@example.com." in out
    assert "start-execution --state-machine-arn arn:machine" in out


def test_stack_that_exists_keeps_its_values(aws: Aws, commands: list[list[str]]) -> None:
    aws.parameters = DEFAULTS | {"Contact": "me", "RunbookUrl": "https://wiki.example/runbook", "BatchSize": "100"}
    assert deploy.main(["imagelake"], answers("", "rate(6 hours)", "", "", "-")) == 0
    # SAM keeps the values of parameters that it is not given.
    assert deployed(commands) == DEFAULTS | {
        "ScheduleExpression": "rate(6 hours)",
        "NoGoodRunHours": "8",
    }


def test_hours_that_somebody_chose_stay_if_the_schedule_stays(aws: Aws, commands: list[list[str]]) -> None:
    aws.parameters = DEFAULTS | {"NoGoodRunHours": "50"}
    assert deploy.main(["imagelake"], answers()) == 0
    assert "NoGoodRunHours" not in deployed(commands)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (["nosuch:alice"], "nosuch"),
        (["[1"], "or JSON"),
        (["", "every day"], "a cron(...) or rate(...) expression"),
        (["", "25:00"], "a cron(...) or rate(...) expression"),
        (["", "", "Mars/Base"], "a time zone of the IANA database"),
        (["", "", "", "me"], "an email address, or empty"),
        (["", "", "", "", "Grüße"], "printable ASCII"),
        (["", "", "", "", "x" * 201], "at most 200 characters"),
    ],
)
def test_wrong_answer_is_asked_for_again(
    aws: Aws, commands: list[list[str]], capsys: pytest.CaptureFixture[str], wrong: list[str], sentence: str
) -> None:
    assert deploy.main(["imagelake"], answers(*wrong)) == 0
    assert sentence in capsys.readouterr().out
    assert DEFAULTS.items() <= deployed(commands).items()


@pytest.mark.parametrize("no", ["n", "no", "No", "quit"])
def test_nothing_is_built_without_consent(aws: Aws, commands: list[list[str]], no: str) -> None:
    assert deploy.main(["imagelake"], answers(*[""] * len(QUESTIONS), no)) == 0
    assert [command for command in commands if command[0] != "git"] == []


@pytest.mark.parametrize("stop", [EOFError, KeyboardInterrupt])
def test_end_of_the_input_deploys_nothing(
    aws: Aws, commands: list[list[str]], capsys: pytest.CaptureFixture[str], stop: type[BaseException]
) -> None:
    def ask(_: str) -> str:
        raise stop

    assert deploy.main(["imagelake"], ask) == 1
    assert "Nothing was deployed." in capsys.readouterr().err


def test_script_can_deploy_without_questions_and_with_options_of_sam(aws: Aws, commands: list[list[str]]) -> None:
    assert deploy.main(["imagelake-dev", "--yes", "--tags", "team=images"], nobody) == 0
    *_, command = commands
    assert command[command.index("--stack-name") + 1] == "imagelake-dev"
    assert command[command.index("--tags") + 1] == "team=images"


def test_failed_build_is_not_deployed(monkeypatch: pytest.MonkeyPatch, aws: Aws) -> None:
    ran: list[str] = []

    def run(command: list[str], **options: Any) -> Any:
        ran.append(command[0])
        return SimpleNamespace(returncode=2, stdout="")

    monkeypatch.setattr(subprocess, "run", run)
    assert deploy.main(["imagelake", "--yes"]) == 2
    assert ran == ["git", "make"]


@pytest.mark.parametrize(
    ("remote", "url"),
    [
        ("git@github.com:me/lake.git", "https://github.com/me/lake/blob/HEAD/docs/runbook.md"),
        ("https://github.com/me/lake", "https://github.com/me/lake/blob/HEAD/docs/runbook.md"),
        ("ssh://git@gitlab.com/me/lake.git", "https://gitlab.com/me/lake/blob/HEAD/docs/runbook.md"),
        ("https://token@github.com/me/lake.git", None),
        ("/srv/lake.git", None),
        ("", None),
    ],
)
def test_runbook_is_found_at_the_host_of_the_repository(
    monkeypatch: pytest.MonkeyPatch, remote: str, url: str | None
) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=0, stdout=f"{remote}\n"))
    assert runbook_url(Path()) == url
