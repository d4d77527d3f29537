"""Run the fuzzer as a command line asks: for some seconds, or once with the bytes of a crash."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import atheris

ROOT = Path(__file__).parents[2]


def fuzz(check: Callable[[bytes], None], seeds: Mapping[str, bytes], *, name: str, max_bytes: int) -> None:
    """Look for bytes with which ``check`` raises; ``name`` is that of the folder if the command line names none."""
    seconds_or_file = sys.argv[1] if len(sys.argv) > 1 else "60"
    folder = Path(sys.argv[2] if len(sys.argv) > 2 else ROOT / ".imagelake" / name)
    for part in ("seeds", "corpus"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for seed, data in seeds.items():
        (folder / "seeds" / seed).write_bytes(data)
    arguments = [seconds_or_file]
    if seconds_or_file.isdecimal():
        arguments = [
            f"-max_total_time={seconds_or_file}",
            f"-max_len={max_bytes}",
            "-timeout=10",
            "-rss_limit_mb=1024",
            "-print_final_stats=1",
            f"-artifact_prefix={folder}{os.sep}",
            str(folder / "corpus"),
            str(folder / "seeds"),
        ]
    atheris.Setup([sys.argv[0], *arguments], check)
    atheris.Fuzz()
