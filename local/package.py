"""Turn the deployed template into one that the local engine can run; the file itself does not change."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

Upload = Callable[[str, bytes], dict[str, str]]

_BOOTSTRAP = Path(__file__).with_name("bootstrap")
# The engine's Python worker reports every exception under one name, so no Retry or Catch of ours would match. With a
# custom runtime, our bootstrap runs AWS's own client, which reports exceptions as Lambda does.
_RUNTIME = "provided.al2023"
# The variable of functions that say where copies are.
_IS_LOCAL = "IS_LOCAL"
_FIXED_TIME = (1980, 1, 1, 0, 0, 0)


class _Loader(yaml.CSafeLoader):
    """Reads YAML as CloudFormation does: intrinsic functions are tags, dates are text."""


def _intrinsic(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _intrinsic)
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_template(path: Path) -> dict[str, Any]:
    """Read a CloudFormation template and write its short-form functions in long form."""
    template = yaml.load(path.read_text(), Loader=_Loader)
    assert isinstance(template, dict)
    return template


def package(path: Path, upload: Upload, *, for_lake: bool = False) -> dict[str, Any]:
    """Read the template at ``path``, upload the files that it names, and let Lambda run in this Python environment.

    ``upload(name, content)`` stores an artifact and returns its ``{"Bucket", "Key"}``. ``for_lake`` is for a lake on
    this machine, which does not have to wait and act as AWS does.
    """
    template = read_template(path)
    for parameter in template.get("Parameters", {}).values():
        # The engine lacks AWS's public parameters, such as the ARN of a layer.
        if parameter["Type"].startswith("AWS::SSM::Parameter::Value<") and _is_public(parameter.get("Default", "")):
            parameter["Type"] = "String"
    globals_of_functions = template.get("Globals", {}).get("Function", {})

    @cache
    def code(uri: str) -> dict[str, str]:
        return _upload(upload, zip_code(path.parent / uri), ".zip")

    # The packages of the layers are installed in this environment.
    resources = template["Resources"]
    for name in [name for name, resource in resources.items() if resource["Type"] == "AWS::Serverless::LayerVersion"]:
        del resources[name]
    for resource in resources.values():
        properties = resource.get("Properties", {})
        match resource["Type"]:
            case "AWS::Serverless::Function":
                uri = properties.get("CodeUri", globals_of_functions.get("CodeUri"))
                properties |= {"CodeUri": code(uri), "Runtime": _RUNTIME}
                variables = properties.get("Environment", {}).get("Variables", {})
                if for_lake and _IS_LOCAL in variables:
                    variables[_IS_LOCAL] = "true"
                properties.pop("Layers", None)
            case "AWS::Serverless::StateMachine" if isinstance(properties.get("DefinitionUri"), str):
                definition = (path.parent / properties["DefinitionUri"]).read_bytes()
                definition = _shorten_waits(definition) if for_lake else definition
                properties["DefinitionUri"] = _upload(upload, definition, ".asl.json")
    globals_of_functions.pop("Layers", None)
    return template


def _shorten_waits(definition: bytes) -> bytes:
    """Let a state machine wait for a second where AWS needs a minute.

    On this machine, indexes are as new as their tables, and no run is in progress beside another command. Waits until
    a time that a network has named stay as they are.
    """
    machine = json.loads(definition)
    waits = [state for state in machine["States"].values() if state["Type"] == "Wait" and "Seconds" in state]
    for state in waits:
        state["Seconds"] = 1
    return json.dumps(machine).encode() if waits else definition


def _is_public(parameter_name: str) -> bool:
    return parameter_name.startswith("/aws/service/")


def zip_code(folder: Path) -> bytes:
    """Zip the code in ``folder`` with our ``bootstrap``; the same files give the same bytes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, file in (*_code_files(folder), ("bootstrap", _BOOTSTRAP)):
            entry = zipfile.ZipInfo(name, _FIXED_TIME)
            entry.external_attr = (0o755 if file is _BOOTSTRAP else 0o644) << 16
            archive.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def _code_files(folder: Path) -> Iterator[tuple[str, Path]]:
    for file in sorted(folder.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            yield file.relative_to(folder).as_posix(), file


def _upload(upload: Upload, content: bytes, suffix: str) -> dict[str, str]:
    return upload(hashlib.sha256(content).hexdigest() + suffix, content)
