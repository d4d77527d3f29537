"""The engine's program, with every permission check in ``checks.jsonl`` and the states of Maps in the history."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAM = str(ROOT / "local" / "engine_process.py")

if __name__ == "__main__":
    sys.path.append(str(ROOT))
    # The checkout stays free of bytecode files.
    sys.dont_write_bytecode = True
    from tests.support import private_parts

    private_parts.log_permission_checks(Path("checks.jsonl").absolute())
    private_parts.trace_maps()
    sys.argv[0] = PROGRAM
    runpy.run_path(PROGRAM, run_name="__main__")
