"""Process each file named on the command line; print its outcome, its CPU seconds and the peak memory of the process.

It runs in a process of its own, so that it measures only the decoders.
"""

from __future__ import annotations

import json
import re
import resource
import sys
import time
from pathlib import Path

from imagelake.imaging import process
from imagelake.run.errors import ImageRejectedError


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
