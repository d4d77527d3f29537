"""The process in which the engine (MiniStack) runs; it kills itself and its workers when its parent process ends."""

from __future__ import annotations

import os
import signal
import sys
import threading


def _end_with_parent() -> None:
    # Standard input is a pipe to which the parent never writes. It closes when the parent ends, even by kill -9.
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _accept_saved_queries() -> None:
    # The engine does not know the resource type for saved queries, and would refuse a template that has one.
    from ministack.services.cloudformation.provisioners import _RESOURCE_HANDLERS

    _RESOURCE_HANDLERS["AWS::Logs::QueryDefinition"] = {
        "create": lambda logical_id, properties, stack: (logical_id, {"QueryDefinitionId": logical_id}),
        "delete": lambda physical_id, properties: None,
    }


def main() -> None:
    """Serve until a signal comes or the parent ends. This process must be the leader of a process group."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _accept_saved_queries()
    from ministack.app import main as serve

    serve()


if __name__ == "__main__":
    main()
