"""Private parts of other packages on which these tests rely, and why: an upgrade of a package may break them.

``fast_moto.py`` has those that make AWS in memory fast. ``imagelake/imaging/webp.py`` has the one of Pillow on which
the code relies, ``local/engine_process.py`` and ``local/worker_server.py`` have those of MiniStack.
"""

from __future__ import annotations

import copyreg
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path, PurePath
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from tests.support.aws_limits import refusal
from tests.support.fast_moto import fast_moto


@contextmanager
def improved_moto() -> Iterator[None]:
    """moto and botocore: faster calls of AWS in memory, AWS's limits, and conditional writes of which only one wins."""
    import botocore.session
    import moto.core.models
    import moto.s3.urls
    from botocore.client import BaseClient
    from botocore.exceptions import ClientError
    from botocore.useragent import UserAgentString
    from moto.dynamodb.responses import DynamoHandler
    from moto.s3.models import S3Backend
    from moto.s3.responses import S3Response

    put_object, one_put = S3Response.put_object, threading.Lock()
    transact = DynamoHandler.transact_write_items
    make_api_call: Callable[..., Any] = vars(BaseClient)["_make_api_call"]

    def put_alone(self: S3Response) -> Any:
        # moto checks the condition first and writes later, so only one thread may do it at a time.
        with one_put:
            return put_object(self)

    def transact_alone(self: DynamoHandler) -> Any:
        # moto restores all tables after a transaction that is canceled.
        with one_put:
            return transact(self)

    def call_within_limits(self: Any, operation: str, params: dict[str, Any]) -> Any:
        # moto stores what S3 refuses, and reads keys that DynamoDB refuses.
        problem = refusal(self.meta.service_model.service_name, params)
        if problem is not None:
            raise ClientError({"Error": {"Code": problem, "Message": "above a limit of AWS"}}, operation)
        return make_api_call(self, operation, params)

    list_versions = S3Backend.list_object_versions

    def list_versions_below(self: S3Backend, bucket_name: str, *, prefix: str = "", **more: Any) -> Any:
        # moto would copy all versions of all objects first.
        keys = self.get_bucket(bucket_name).keys
        below = type(keys)({key: keys.getlist(key) for key in list(keys) if key.startswith(prefix)})
        backend: Any = SimpleNamespace(get_bucket=lambda name: SimpleNamespace(keys=below))
        return list_versions(backend, bucket_name, prefix=prefix, **more)

    with (
        fast_moto(),
        # moto would add 1,300 URLs at every start, for programs that call AWS through requests.
        patch.object(moto.core.models, "RESPONSES_METHODS", []),
        # Every session of botocore would read the models of its services again.
        patch.object(botocore.session, "create_loader", _loader),
        # moto would look up this module at every call, and botocore would build its User-Agent.
        patch.object(S3Backend, "_url_module", property(lambda self: moto.s3.urls)),
        patch.object(UserAgentString, "to_string", lambda self: "imagelake-tests"),
        patch.object(S3Response, "put_object", put_alone),
        patch.object(DynamoHandler, "transact_write_items", transact_alone),
        patch.object(S3Backend, "list_object_versions", list_versions_below),
        patch.object(BaseClient, "_make_api_call", call_within_limits),
    ):
        yield


@cache
def _loader(search_paths: str | None) -> Any:
    from botocore.loaders import create_loader

    return create_loader(search_paths)


def set_execution_status(arn: str, status: str, account: str = "123456789012", region: str = "us-east-1") -> None:
    """moto: give an execution of Step Functions any status, although it has ended."""
    from moto.stepfunctions.models import stepfunctions_backends

    machines = stepfunctions_backends[account][region].state_machines
    (execution,) = [one for machine in machines for one in machine.executions if one.execution_arn == arn]
    execution.status = status


def forget_secrets() -> None:
    """Powertools: empty the store of a provider, so that the next use of a secret reads it again."""
    from imagelake.accounts.secrets import _provider

    _provider().store.clear()


def calls_of_aws() -> tuple[type, str]:
    """botocore: every call of every client goes through this method, so a test can stop a process at any call."""
    from botocore.client import BaseClient

    return BaseClient, "_make_api_call"


def stored_in_memory(account: str = "123456789012", region: str = "us-east-1") -> list[Any]:
    """moto: the attributes of these objects are all that S3 and DynamoDB store; a test can copy and restore them."""
    from moto.backends import get_backend
    from moto.s3.utils import _VersionedKeyStore

    # By itself, a pickle would have only the last version of each object.
    copyreg.pickle(_VersionedKeyStore, lambda keys: (_VersionedKeyStore, ({key: keys.getlist(key) for key in keys},)))
    return [get_backend("s3")[account]["aws"], get_backend("dynamodb")[account][region]]


def contents_in_memory(bucket: str) -> tuple[dict[str, list[Any]], dict[str, list[dict[str, Any]]]]:
    """moto: every version of every object, ``None`` for a delete marker, and the items of every table."""
    s3, dynamodb = stored_in_memory()
    keys = s3.buckets[bucket].keys
    objects = {
        key: [(one.value, one.metadata) if hasattr(one, "value") else None for one in keys.getlist(key)] for key in keys
    }
    tables = {
        name: [one.to_json()["Attributes"] for one in table.all_items()] for name, table in dynamodb.tables.items()
    }
    return objects, tables


def is_allowed(grants: Iterable[tuple[str, str]], action: str, resource: str) -> bool:
    """MiniStack: the engine itself asks this function whether a role with these grants may do this."""
    from ministack.core.iam_evaluator import EvalContext, evaluate

    context = EvalContext("", "AssumedRole", "000000000000", action, resource, "us-east-1")
    return bool(evaluate(context, [_policy(*grant) for grant in grants]).decision == "Allow")


@cache
def _policy(action: str, resource: str) -> Any:
    from ministack.core.iam_evaluator import parse_policy_document

    return parse_policy_document({"Statement": {"Effect": "Allow", "Action": action, "Resource": resource}})


def log_permission_checks(file: Path) -> None:
    """MiniStack: write every check, allowed or refused; the engine logs refusals only, and without the caller."""
    from ministack.core import iam_evaluator

    enforce = iam_evaluator.enforce

    def enforce_and_log(key: str, action: str, *options: Any, resource_arn: str = "*", **more: Any) -> Any:
        refusal = enforce(key, action, *options, resource_arn=resource_arn, **more)
        with file.open("a") as log:
            print(json.dumps([iam_evaluator.caller_arn(), action, resource_arn, refusal is None]), file=log)
        return refusal

    iam_evaluator.enforce = enforce_and_log


def trace_maps() -> None:
    """MiniStack: write ``StateEntered`` events for the states inside a Map, as AWS does and the engine does not."""
    from ministack.services import stepfunctions

    run: Callable[..., Any] = stepfunctions._run_sub_machine

    class Traced(dict[str, Any]):
        """The states of a Map; the engine looks each up once, when it enters it."""

        def __init__(self, states: dict[str, Any], execution: dict[str, Any]) -> None:
            super().__init__(states)
            self._execution = execution

        def get(self, name: str, default: Any = None) -> Any:
            state = super().get(name, default)
            details = {"stateEnteredEventDetails": {"name": name}}
            stepfunctions._add_event(self._execution, f"{state['Type']}StateEntered", details)
            return state

    def run_traced(states: dict[str, Any], start_at: str, data: Any, execution: dict[str, Any], context: Any) -> Any:
        return run(Traced(states, execution), start_at, data, execution, context)

    stepfunctions._run_sub_machine = run_traced


def scheduler_by_file(config: Any, log: Any, together: str) -> Any:
    """pytest-xdist: give each file of tests to one process, and all files of the folder ``together`` to one."""
    from xdist.scheduler import LoadFileScheduling

    scheduler = LoadFileScheduling(config, log)
    file_of: Callable[[str], str] = scheduler._split_scope

    def group(nodeid: str) -> str:
        file = file_of(nodeid)
        return together if PurePath(file).parent == PurePath(together) else file

    scheduler._split_scope = group
    return scheduler
