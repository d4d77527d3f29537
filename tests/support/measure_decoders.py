"""Process each file named on the command line; print its outcome, its CPU seconds and the peak memory of the process.

It runs in a process of its own, so that it measures only the decoders.
"""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

from imagelake.imaging import process
from imagelake.run.errors import ImageRejectedError

FUNCTIONS = Path(__file__).parents[2] / "functions"


def measured(*files: Path) -> list[tuple[str, float, int]]:
    """Process files one after the other in one new process: outcome, CPU seconds, and peak memory so far of each.

    CPU time and not clock time, so that other programs on the machine do not matter.
    """
    process = subprocess.run(
        [sys.executable, "-W", "error", __file__, *map(str, files)],
        env={**os.environ, "PYTHONPATH": str(FUNCTIONS), "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    lines = process.stdout.splitlines()
    assert len(lines) == len(files), process.stderr[-2000:]
    return [tuple(json.loads(line)) for line in lines]


def peak_bytes() -> int:
    """Return the highest memory use of this process so far."""
    status = Path("/proc/self/status")
    if match := re.search(r"VmHWM:\s+(\d+) kB", status.read_text() if status.exists() else ""):
        return int(match[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    for name in sys.argv[1:]:
        started = time.process_time()
        try:
            process(Path(name).read_bytes())
        except ImageRejectedError as error:
            outcome = str(error.code)
        else:
            outcome = "accepted"
        print(json.dumps([outcome, time.process_time() - started, peak_bytes()]))
