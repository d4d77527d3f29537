"""A small stand-in for AWS's command line: ``python -m tests.support.aws_cli SERVICE COMMAND --option value``.

Names and types of commands and options are those of botocore's models, from which the real command line makes its own.
Of the high-level commands of ``s3`` it knows those that the runbook uses.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jmespath  # type: ignore[import-untyped]
from botocore import xform_name
from botocore.config import Config
from botocore.session import get_session
from botocore.validate import validate_parameters

# Only the parameters of these calls are checked: the local engine has no redrive, and refuses to stop an execution that
# has ended.
CHECKED_ONLY = {"redrive-execution", "stop-execution"}
_GLOBAL = {"--query", "--output", "--region"}
_FLAGS = {"--no-paginate"}


def main(arguments: Sequence[str]) -> int:
    service, command, *rest = arguments
    if service == "s3":
        _s3(command, rest)
        return 0
    client = _client("s3" if service == "s3api" else service)
    method = command.replace("-", "_")
    operation = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[method])
    settings, parameters = _parse(rest, operation.input_shape.members)
    validate_parameters(parameters, operation.input_shape)
    if command in CHECKED_ONLY:
        return 0
    answer = getattr(client, method)(**parameters)
    answer.pop("ResponseMetadata")
    _print(jmespath.search(settings["--query"], answer) if "--query" in settings else answer, settings.get("--output"))
    return 0


def _client(service: str) -> Any:
    return get_session().create_client(service, config=Config(s3={"addressing_style": "path"}))


def _parse(arguments: list[str], members: Any) -> tuple[dict[str, str], dict[str, Any]]:
    """Split the options into those of every command and the parameters of this call."""
    names = {f"--{xform_name(name, '-')}": name for name in members}
    settings: dict[str, str] = {}
    parameters: dict[str, Any] = {}
    left = list(arguments)
    while left:
        option = left.pop(0)
        if option in _FLAGS:
            continue
        if option in _GLOBAL:
            settings[option] = left.pop(0)
            continue
        shape = members[names[option]]
        if shape.type_name == "boolean":
            parameters[names[option]] = True
        elif shape.type_name == "list":
            parameters[names[option]] = [left.pop(0)]
        else:
            value = left.pop(0)
            parameters[names[option]] = int(value) if shape.type_name in ("integer", "long") else value
    return settings, parameters


def _print(value: Any, output: str | None) -> None:
    if output != "text":
        print(json.dumps(value, default=str))
        return
    for row in value if isinstance(value, list) else [value]:
        print("\t".join(map(str, row)) if isinstance(row, list) else row)


def _s3(command: str, arguments: list[str]) -> None:
    client = _client("s3")
    match command, arguments:
        case "ls", ["--recursive", url]:
            bucket, prefix = _split(url)
            for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
                for entry in page.get("Contents", []):
                    print(entry["LastModified"], entry["Size"], entry["Key"])
        case "cp", [url, "-"]:
            bucket, key = _split(url)
            sys.stdout.buffer.write(client.get_object(Bucket=bucket, Key=key)["Body"].read())
        case "sync", [source, target, "--source-region", _, "--region", _]:
            bucket, prefix = _split(source)
            other, other_prefix = _split(target)
            for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/"):
                for entry in page.get("Contents", []):
                    key = other_prefix + entry["Key"].removeprefix(prefix)
                    client.copy_object(Bucket=other, Key=key, CopySource={"Bucket": bucket, "Key": entry["Key"]})
        case _:
            raise SystemExit(f"aws s3 {command} {arguments} is not known here")


def _split(url: str) -> tuple[str, str]:
    bucket, _, key = url.removeprefix("s3://").partition("/")
    return bucket, key


def install(folder: Path) -> str:
    """Write the program ``aws`` into a folder, and return a PATH with this folder first."""
    root = Path(__file__).parents[2]
    program = folder / "aws"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={root} exec {sys.executable} -m tests.support.aws_cli "$@"\n')
    program.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
