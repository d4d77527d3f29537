"""Time the whole job, from URLs to images on disk: Transform against img2dataset, with the same server and images.

    .venv/bin/python benchmarks/job.py [rounds]

The two take turns, each in its own process on one core; the server has another core. Each run has three shards of about
100 images; the first shard is a warm-up. A table and the peak memory are written into ``docs/benchmarks.md``.
"""

from __future__ import annotations

import functools
import http.server
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import defaultdict
from pathlib import Path
from statistics import median

from bench import ROOT, TRANSFORM_ENVIRONMENT, environment, machine, pin, publish, ratios, spread, table
from corpus import CACHE, SETS, corpus

IMG2DATASET = "img2dataset==1.47.0"
PRESETS = ("balanced", "fast", "quality")
SHARDS = 3
PER_SHARD = {"social": 120, "12mp": 40, "progressive": 80, "mixed": 80}
Command = tuple[list[str | Path], dict[str, str]]


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A file server that keeps connections alive and logs nothing."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass


def serve() -> str:
    """Serve the corpus from threads of this process, which runs on the first core."""
    handler = functools.partial(Quiet, directory=str(CACHE / "corpus"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def run(command: list[str | Path], variables: dict[str, str]) -> dict[str, str]:
    """Run a command; return the lines that it prints, by their first word."""
    core = max(0, (os.cpu_count() or 1) - 1)
    process = subprocess.run(
        command, env=os.environ | variables, capture_output=True, text=True, check=False, preexec_fn=lambda: pin(core)
    )
    if process.returncode:
        raise SystemExit(process.stderr)
    return {word: rest for word, _, rest in (line.partition(" ") for line in process.stdout.splitlines())}


def commands(images: str, origin: str, scratch: Path, img2dataset: Path) -> dict[str, Command]:
    """Write the list of URLs of a set of images; return the command of each contestant and its environment."""
    urls, output, shard = scratch / "urls.txt", scratch / "output", PER_SHARD[images]
    listed = [f"{origin}/{images}/{path.name}" for path in corpus(images)]
    urls.write_text("\n".join((listed * (SHARDS * shard // len(listed) + 1))[: SHARDS * shard]))
    arguments: list[str | Path] = [urls, output, str(shard)]
    here = ROOT / "benchmarks"
    return {
        "img2dataset": ([img2dataset, here / "img2dataset_job.py", *arguments], {"NO_ALBUMENTATIONS_UPDATE": "1"}),
        **{
            preset: ([sys.executable, here / "transform_job.py", *arguments, preset], TRANSFORM_ENVIRONMENT)
            for preset in PRESETS
        },
    }


def main(rounds: int) -> None:
    pin(0)
    img2dataset = environment("img2dataset", IMG2DATASET)
    for images in SETS:
        corpus(images)
    origin = serve()
    peaks, rows = [], []
    with tempfile.TemporaryDirectory() as folder:
        for images in SETS:
            times: dict[str, list[float]] = defaultdict(list)
            contestants = commands(images, origin, Path(folder), img2dataset)
            for _ in range(rounds):
                for name, (command, variables) in contestants.items():
                    shutil.rmtree(Path(folder) / "output", ignore_errors=True)
                    printed = run(command, variables)
                    times[name].append(median(json.loads(printed["RESULT"])[1:]))
                    if images == "social" and name == "balanced":
                        peaks.append(float(printed["PEAK"]))
            faster = [spread(ratios(times["img2dataset"], times[preset])) for preset in PRESETS]
            rows.append([images, *(f"{median(values):.1f}" for values in times.values()), *faster])
    head = ["ms per image", "img2dataset", *PRESETS, *(f"{preset}: times faster" for preset in PRESETS)]
    publish(
        "job",
        f"{machine('numpy', 'Pillow', 'cykooz.resizer', 'deflate', 'pyspng', 'simplejpeg')} {IMG2DATASET}."
        f"\n\n{table(head, rows)}\n\n"
        f"Peak memory of Transform over {SHARDS * PER_SHARD['social']} social images: {spread(peaks, 0)} MB.",
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
