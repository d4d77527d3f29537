"""A small stand-in for AWS's command line: the program ``aws`` sends its arguments to this process, which answers.

So a command takes milliseconds, and not the time to start Python and botocore. Names and types of commands and options
are those of botocore's models, from which the real command line makes its own. Of the high-level commands of ``s3`` it
knows those that the runbook uses.
"""

from __future__ import annotations

import json
import os
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any

import jmespath  # type: ignore[import-untyped]
from botocore import xform_name
from botocore.validate import validate_parameters

from local.engine import HOST

Client = Callable[[str], Any]

# Only the parameters of these calls are checked: the local engine has no redrive, and refuses to stop an execution that
# has ended.
CHECKED_ONLY = {"redrive-execution", "stop-execution"}
_GLOBAL = {"--query", "--output", "--region"}
_FLAGS = {"--no-paginate"}
# The arguments are sent with their number first; the exit code comes back in a line of its own before the output.
_PROGRAM = """#!/usr/bin/env bash
exec 3<>/dev/tcp/{host}/{port}
printf '%s\\0' "$#" "$@" >&3
read -r code <&3
if [ "$code" = 0 ]; then cat <&3; else cat <&3 >&2; fi
exit "$code"
"""


@contextmanager
def installed(folder: Path, client: Client) -> Iterator[str]:
    """Write the program ``aws`` into a folder and answer it; ``client`` makes the client of a service.

    Yields a PATH with this folder first.
    """

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            arguments = [self._part() for _ in range(int(self._part()))]
            try:
                answer = b"0\n" + _run(client, *arguments)
            except Exception:
                answer = b"1\n" + traceback.format_exc().encode()
            self.wfile.write(answer)

        def _part(self) -> str:
            return b"".join(iter(lambda: self.rfile.read(1).rstrip(b"\0"), b"")).decode()

    with ThreadingTCPServer((HOST, 0), Handler) as server:
        program = folder / "aws"
        program.write_text(_PROGRAM.format(host=HOST, port=server.server_address[1]))
        program.chmod(0o755)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"{folder}{os.pathsep}{os.environ['PATH']}"
        server.shutdown()


def _run(client: Client, service: str, command: str, *arguments: str) -> bytes:
    if service == "s3":
        return _s3(client("s3"), command, *arguments)
    made = client("s3" if service == "s3api" else service)
    method = command.replace("-", "_")
    operation = made.meta.service_model.operation_model(made.meta.method_to_api_mapping[method])
    settings, parameters = _parse(list(arguments), operation.input_shape.members)
    validate_parameters(parameters, operation.input_shape)
    if command in CHECKED_ONLY:
        return b""
    answer = getattr(made, method)(**parameters)
    answer.pop("ResponseMetadata")
    if "--query" in settings:
        answer = jmespath.search(settings["--query"], answer)
    return _text(answer, settings.get("--output")).encode()


def _parse(left: list[str], members: Any) -> tuple[dict[str, str], dict[str, Any]]:
    """Split the options into those of every command and the parameters of this call."""
    names = {f"--{xform_name(name, '-')}": name for name in members}
    settings: dict[str, str] = {}
    parameters: dict[str, Any] = {}
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
        elif shape.type_name == "map":
            parameters[names[option]] = json.loads(left.pop(0))
        else:
            value = left.pop(0)
            parameters[names[option]] = int(value) if shape.type_name in ("integer", "long") else value
    return settings, parameters


def _text(value: Any, output: str | None) -> str:
    if output != "text":
        return json.dumps(value, default=str) + "\n"
    rows = value if isinstance(value, list) else [value]
    return "".join("\t".join(map(str, row)) + "\n" if isinstance(row, list) else f"{row}\n" for row in rows)


def _s3(client: Any, *arguments: str) -> bytes:
    match arguments:
        case "ls", "--recursive", url:
            entries = _listed(client, *_split(url))
            return "".join(f"{one['LastModified']} {one['Size']} {one['Key']}\n" for one in entries).encode()
        case "ls", url:
            bucket, prefix = _split(url)
            entries = client.list_objects_v2(Bucket=bucket, Prefix=prefix, Delimiter="/").get("Contents", [])
            # As AWS's own, it fails if there is nothing.
            assert entries, f"nothing is in {url}"
            return "".join(f"{one['LastModified']} {one['Size']} {Path(one['Key']).name}\n" for one in entries).encode()
        case "cp", url, "-":
            bucket, key = _split(url)
            content: bytes = client.get_object(Bucket=bucket, Key=key)["Body"].read()
            return content
        case "sync", source, target, "--source-region", _, "--region", _:
            bucket, prefix = _split(source)
            other, other_prefix = _split(target)
            for entry in _listed(client, bucket, f"{prefix}/"):
                key = other_prefix + entry["Key"].removeprefix(prefix)
                client.copy_object(Bucket=other, Key=key, CopySource={"Bucket": bucket, "Key": entry["Key"]})
            return b""
    raise ValueError(f"aws s3 {' '.join(arguments)} is not known here")


def _listed(client: Any, bucket: str, prefix: str) -> list[dict[str, Any]]:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [entry for page in pages for entry in page.get("Contents", [])]


def _split(url: str) -> tuple[str, str]:
    bucket, _, key = url.removeprefix("s3://").partition("/")
    return bucket, key
