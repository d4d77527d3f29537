"""Private parts of other packages on which these tests rely, and why: an upgrade of a package may break them.

``imagelake/imaging/webp.py`` relies on a private part of Pillow, and ``local`` on some of MiniStack.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch


@contextmanager
def improved_moto() -> Iterator[None]:
    """moto and botocore: faster calls of AWS in memory, and conditional writes to S3 of which only one wins."""
    import moto.s3.urls
    from botocore.useragent import UserAgentString
    from moto.s3.models import S3Backend
    from moto.s3.responses import S3Response

    put_object, one_put = S3Response.put_object, threading.Lock()

    def put_alone(self: S3Response) -> Any:
        # moto checks the condition first and writes later, so only one thread may do it at a time.
        with one_put:
            return put_object(self)

    with (
        # moto would look up this module at every call, and botocore would build its User-Agent.
        patch.object(S3Backend, "_url_module", property(lambda self: moto.s3.urls)),
        patch.object(UserAgentString, "to_string", lambda self: "imagelake-tests"),
        patch.object(S3Response, "put_object", put_alone),
    ):
        yield


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
