"""Common parts of the benchmarks: virtual environments, statistics, and the tables in ``docs/benchmarks.md``."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import venv
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median, quantiles

from corpus import CACHE

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "benchmarks.md"
# Environment of the Transform function, as in the template. The process keeps freed memory, which saves page faults.
TRANSFORM_ENVIRONMENT = {
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_TRIM_THRESHOLD_": "134217728",
    "MALLOC_MMAP_THRESHOLD_": "33554432",
    "OPENBLAS_NUM_THREADS": "1",
}


def environment(name: str, *packages: str) -> Path:
    """The Python of the virtual environment ``name`` with ``packages``; it is made if it does not exist."""
    folder = CACHE / "venv" / name
    python = folder / "bin" / "python"
    ready = folder / "ready"
    if not ready.exists() or ready.read_text().split() != [*packages]:
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
        ready.write_text(" ".join(packages))
    return python


def pin(core: int) -> None:
    """Keep this process and its children on one core, where the system allows it."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Median and quartiles."""
    if len(values) < 2:
        return f"{values[0]:.{digits}f}"
    low, _, high = quantiles(values, n=4)
    return f"{median(values):.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def ratios(slow: Sequence[float], fast: Sequence[float]) -> list[float]:
    """Speedups by pairs of runs; the two runs of a pair took place one after the other."""
    return [slower / faster for slower, faster in zip(slow, fast, strict=True)]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def machine(*packages: str) -> str:
    """Machine, day and versions, in one line."""
    try:
        names = [
            line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "name" in line
        ]
        processor = names[0]
    except (OSError, IndexError):
        processor = platform.processor()
    versions = ", ".join(f"{package} {version(package)}" for package in packages)
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {processor} ({platform.machine()}), one core of {os.cpu_count()}, "
        f"{platform.system()}, CPython {platform.python_version()}; {versions}."
    )


def publish(section: str, text: str, path: Path = DOCUMENT) -> None:
    """Put ``text`` between the marks of a section of a document, and print it."""
    begin, end = f"<!-- {section}: begin -->", f"<!-- {section}: end -->"
    document = path.read_text()
    before, rest = document.split(begin)
    after = rest.split(end)[1]
    path.write_text(f"{before}{begin}\n{text.strip()}\n{end}{after}")
    sys.stdout.write(text + "\n")
