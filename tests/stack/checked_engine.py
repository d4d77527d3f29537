"""The engine's process with one thing added: it writes every permission check, allowed or refused, to ``CHECKS_LOG``.

The engine itself logs only refusals, and without the caller.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
from pathlib import Path
from typing import Any

from ministack.core import iam_evaluator

PROCESS = Path(__file__).parents[2] / "local" / "engine_process.py"
_enforce = iam_evaluator.enforce


def _enforce_and_log(key: str, action: str, *options: Any, resource_arn: str = "*", **more: Any) -> Any:
    refusal = _enforce(key, action, *options, resource_arn=resource_arn, **more)
    with open(os.environ["CHECKS_LOG"], "a") as log:
        print(json.dumps([iam_evaluator.caller_arn(), action, resource_arn, refusal is None]), file=log)
    return refusal


if __name__ == "__main__":
    iam_evaluator.enforce = _enforce_and_log
    sys.argv[0] = str(PROCESS)
    runpy.run_path(str(PROCESS), run_name="__main__")
