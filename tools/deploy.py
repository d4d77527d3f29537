"""Deploy to an AWS account: ``python -m tools.deploy STACK`` checks the credentials, asks, builds and deploys."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError

from local.package import read_template
from tools.deploy_questions import QUESTIONS, DeployError, ask_all, runbook_url
from tools.schedule import no_good_run_hours

ROOT = Path(__file__).parents[1]
_COMMANDS = {
    "NoCredentialsError": "run 'aws configure' or 'aws sso login', or set AWS_PROFILE",
    "NoRegionError": "set AWS_DEFAULT_REGION to the region of the stack, such as eu-central-1",
    "ExpiredToken": "they have expired; run 'aws sso login', or get new ones",
    "InvalidClientTokenId": "AWS does not know them; run 'aws configure'",
}

Ask = Callable[[str], str]


def main(arguments: Sequence[str], ask: Ask = input) -> int:
    """Deploy the stack that the first argument names; options that are not known here go to ``sam deploy``."""
    parser = argparse.ArgumentParser(prog="make deploy", description="Deploy Imagelake to your AWS account.")
    parser.add_argument("stack")
    parser.add_argument("--yes", action="store_true", help="ask nothing: take the current values, or the defaults")
    options, sam_options = parser.parse_known_args(arguments)
    try:
        region = _check_credentials()
        values = _values(options.stack, None if options.yes else ask)
        answer = "y" if options.yes else ask(f"\nBuild and deploy {options.stack} to {region}? [Y/n] ")
    except DeployError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except (EOFError, KeyboardInterrupt):
        print("\nNothing was deployed.", file=sys.stderr)
        return 1
    if answer.strip().lower() not in ("", "y", "yes"):
        print("Nothing was deployed.")
        return 0
    return _deploy(options.stack, values, sam_options)


def _check_credentials() -> str:
    """Ask AWS who we are, before the build takes its minutes; return the region."""
    try:
        client = boto3.client("sts")
        identity = client.get_caller_identity()
    except (BotoCoreError, ClientError) as error:
        raise DeployError(f"the AWS credentials do not work: {_reason(error)}") from None
    print(f"AWS account {identity['Account']}, as {identity['Arn']}, in {client.meta.region_name}.")
    return str(client.meta.region_name)


def _reason(error: BotoCoreError | ClientError) -> str:
    if isinstance(error, ClientError):
        code = error.response["Error"]["Code"]
        return _COMMANDS.get(code, f"{code}: {error.response['Error']['Message']}")
    if isinstance(error, NoCredentialsError | NoRegionError):
        return _COMMANDS[type(error).__name__]
    return str(error)


def _values(stack: str, ask: Ask | None) -> dict[str, str]:
    """Ask for the parameters that everybody should look at, and derive those that follow from them."""
    parameters = read_template(ROOT / "template.yaml")["Parameters"]
    current = _current(stack)
    known = {name: str(parameter["Default"]) for name, parameter in parameters.items()} | current
    values = ask_all(parameters, known, ask) if ask else {name: known[name] for name in QUESTIONS}
    if values["ScheduleExpression"] != current.get("ScheduleExpression"):
        values["NoGoodRunHours"] = str(no_good_run_hours(values["ScheduleExpression"]))
    if not current.get("RunbookUrl") and (url := runbook_url(ROOT)):
        values["RunbookUrl"] = url
    return values


def _current(stack: str) -> dict[str, str]:
    """Read the parameters of a deployed stack; a stack that does not exist has none."""
    try:
        (found,) = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    except ClientError as error:
        if "does not exist" in error.response["Error"]["Message"]:
            return {}
        raise DeployError(f"{stack}: {error.response['Error']['Message']}") from None
    return {one["ParameterKey"]: one["ParameterValue"] for one in found.get("Parameters", [])}


def _deploy(stack: str, values: Mapping[str, str], sam_options: Sequence[str]) -> int:
    overrides = [f"{name}={_quoted(value)}" for name, value in values.items()]
    sam = Path(sys.executable).with_name("sam")
    # Our question comes before the build, so that nobody has to wait for SAM's.
    unasked = ["--no-confirm-changeset", "--no-fail-on-empty-changeset"]
    upload = [str(sam), "deploy", "--stack-name", stack, *unasked, *sam_options, "--parameter-overrides", *overrides]
    for command in (["make", "--no-print-directory", "build"], upload):
        done = subprocess.run(command, cwd=ROOT, check=False)
        if done.returncode:
            return done.returncode
    _say_what_is_next(stack, values)
    return 0


def _quoted(value: str) -> str:
    """Quote a value as SAM reads it: in double quotes, with a backslash before quotes and backslashes."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _say_what_is_next(stack: str, values: Mapping[str, str]) -> None:
    outputs: Any = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0].get("Outputs", [])
    found = {output["OutputKey"]: output["OutputValue"] for output in outputs}
    print(f"\n{stack} is deployed. Next:")
    if values["NotificationEmail"]:
        print(f"  Confirm the subscription in the email to {values['NotificationEmail']}.")
    print(f"  Start a run now: aws stepfunctions start-execution --state-machine-arn {found.get('StateMachineArn')}")
    print(f"  See the runs:    {found.get('ConsoleUrl')}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
