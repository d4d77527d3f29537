"""Process of the engine; it ends itself and its workers when the process that started it is gone."""

from __future__ import annotations

import os
import signal
import sys
import threading


def _end_with_parent() -> None:
    # Standard input is a pipe that the parent holds and never writes to, so it ends with the parent, even by kill -9.
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _accept_saved_queries() -> None:
    # The engine does not know saved queries of Logs Insights and would refuse a template that has some.
    from ministack.services.cloudformation.provisioners import _RESOURCE_HANDLERS

    _RESOURCE_HANDLERS["AWS::Logs::QueryDefinition"] = {
        "create": lambda logical_id, properties, stack: (logical_id, {"QueryDefinitionId": logical_id}),
        "delete": lambda physical_id, properties: None,
    }


def main() -> None:
    """Serve until a signal comes or the parent is gone. The process must lead its own process group."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _accept_saved_queries()
    from ministack.app import main as serve

    serve()


if __name__ == "__main__":
    main()
