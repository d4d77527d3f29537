"""Measure import time and memory of every function: ``.venv/bin/python benchmarks/imports.py``.

Every function is imported in fresh interpreters, in turns, and the medians are printed. Bytecode files are in place, as
in a worker that starts a second time.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROUNDS = 7
_PROBE = """
import resource, sys, time
start = time.perf_counter()
__import__(sys.argv[1] + ".app")
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def measure(function: str) -> tuple[float, float]:
    """Import ``function`` in a fresh interpreter; returns milliseconds of the import and peak memory in MB."""
    arguments = [sys.executable, "-c", _PROBE, function]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "functions"), "AWS_DEFAULT_REGION": "us-east-1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    output = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=True).stdout
    seconds, kilobytes = output.split()
    return float(seconds) * 1000, float(kilobytes) / 1024


def main() -> None:
    functions = sorted(path.parent.name for path in (ROOT / "functions").glob("*/app.py"))
    for function in functions:  # writes the bytecode files
        measure(function)
    rounds = [{function: measure(function) for function in functions} for _ in range(ROUNDS)]
    print("| function | import, ms | memory, MB |\n|---|---|---|")
    for function in functions:
        milliseconds, megabytes = zip(*(measured[function] for measured in rounds), strict=True)
        print(f"| {function} | {statistics.median(milliseconds):.0f} | {statistics.median(megabytes):.0f} |")


if __name__ == "__main__":
    main()
