"""The process of the local engine, changed so that states inside a Map write ``StateEntered`` events, as on AWS.

The engine writes these events for the outermost states only, so a test could not see the path of an iteration.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

from ministack.services import stepfunctions

PROCESS = Path(__file__).parents[2] / "local" / "engine_process.py"
_run_sub_machine = stepfunctions._run_sub_machine


class _Traced(dict[str, Any]):
    """The states of a Map; the engine looks up each state once, when it enters it."""

    def __init__(self, states: dict[str, Any], execution: dict[str, Any]) -> None:
        super().__init__(states)
        self._execution = execution

    def get(self, name: str, default: Any = None) -> Any:
        state = super().get(name, default)
        details = {"stateEnteredEventDetails": {"name": name}}
        stepfunctions._add_event(self._execution, f"{state['Type']}StateEntered", details)
        return state


def _run_traced(states: dict[str, Any], start_at: str, data: Any, execution: dict[str, Any], context: Any) -> Any:
    return _run_sub_machine(_Traced(states, execution), start_at, data, execution, context)


if __name__ == "__main__":
    stepfunctions._run_sub_machine = _run_traced
    sys.argv[0] = str(PROCESS)
    runpy.run_path(str(PROCESS), run_name="__main__")
