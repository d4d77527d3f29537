"""The process the engine lives in; it ends itself and its workers when the process that started it is gone."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from typing import Any


def _end_with_parent() -> None:
    # Standard input is a pipe that the parent holds and never writes to: it ends when the parent does, even by kill -9.
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _take_saved_queries() -> None:
    # The engine knows no saved queries of Logs Insights, and would refuse the template for them.
    from ministack.services.cloudformation.provisioners import _RESOURCE_HANDLERS

    _RESOURCE_HANDLERS["AWS::Logs::QueryDefinition"] = {
        "create": lambda logical_id, properties, stack: (logical_id, {"QueryDefinitionId": logical_id}),
        "delete": lambda physical_id, properties: None,
    }


def _write_checks(path: str) -> None:
    # The engine says what it refuses, but neither what it allows nor to whom.
    from ministack.core import iam_evaluator

    enforce = iam_evaluator.enforce

    def written(key: str, action: str, *asked: Any, resource_arn: str = "*", **more: Any) -> Any:
        refusal = enforce(key, action, *asked, resource_arn=resource_arn, **more)
        with open(path, "a") as log:
            print(json.dumps([iam_evaluator.caller_arn(), action, resource_arn, refusal is None]), file=log)
        return refusal

    iam_evaluator.enforce = written


def main() -> None:
    """Serve until a signal comes or the parent is gone; must lead its own process group."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _take_saved_queries()
    if path := os.environ.get("CHECKS_LOG"):
        _write_checks(path)
    from ministack.app import main as serve

    serve()


if __name__ == "__main__":
    main()
