"""Compare Transform with img2dataset on the whole job, from URLs to images on disk, with the same server and images.

    .venv/bin/python benchmarks/job.py [rounds]

The two run in turn, each in a process of its own on one core; the server runs on another. A run has three shards of
about a hundred images, and the first only warms up. The tables go into ``docs/benchmarks.md``.
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
SHARDS = 3
PER_SHARD = {"social": 120, "12mp": 40, "progressive": 80, "mixed": 80}


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A file server that keeps connections alive and logs nothing."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass


def serve() -> str:
    """Serve the corpus from threads of this process, which runs on the first core; return the origin."""
    handler = functools.partial(Quiet, directory=str(CACHE / "corpus"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def run(command: list[str | Path], extra: dict[str, str]) -> dict[str, str]:
    """Run a command on the last core; return the lines that it prints by their first word."""
    core = max(0, (os.cpu_count() or 1) - 1)
    done = subprocess.run(
        command, env=os.environ | extra, capture_output=True, text=True, check=False, preexec_fn=lambda: pin(core)
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return {word: rest for word, _, rest in (line.partition(" ") for line in done.stdout.splitlines())}


def main(rounds: int) -> None:
    pin(0)
    theirs = environment("img2dataset", IMG2DATASET)
    here = ROOT / "benchmarks"
    for name in SETS:
        corpus(name)
    origin = serve()
    measured: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    peaks = []
    with tempfile.TemporaryDirectory() as scratch:
        urls, output = Path(scratch) / "urls.txt", Path(scratch) / "output"
        for name in SETS:
            size = PER_SHARD[name]
            paths = [f"{origin}/{name}/{path.name}" for path in corpus(name)]
            urls.write_text("\n".join((paths * (SHARDS * size // len(paths) + 1))[: SHARDS * size]))
            common: list[str | Path] = [urls, output, str(size)]
            runs = {
                "img2dataset": ([theirs, here / "img2dataset_job.py", *common], {"NO_ALBUMENTATIONS_UPDATE": "1"}),
                **{
                    preset: ([sys.executable, here / "transform_job.py", *common, preset], TRANSFORM_ENVIRONMENT)
                    for preset in ("balanced", "fast", "quality")
                },
            }
            for _ in range(rounds):
                for label, (command, extra) in runs.items():
                    shutil.rmtree(output, ignore_errors=True)
                    said = run(command, extra)
                    measured[name][label].append(median(json.loads(said["RESULT"])[1:]))
                    if name == "social" and label == "balanced":
                        peaks.append(float(said["PEAK"]))
    rows = []
    for name in SETS:
        found = measured[name]
        rows.append(
            [name, *(f"{median(values):.1f}" for values in found.values())]
            + [spread(ratios(found["img2dataset"], found[preset])) for preset in ("balanced", "fast", "quality")]
        )
    head = ["ms per image", "img2dataset", "balanced", "fast", "quality"]
    head += [f"{preset}: times faster" for preset in ("balanced", "fast", "quality")]
    publish(
        "job",
        f"{machine('numpy', 'Pillow', 'cykooz.resizer', 'deflate', 'pyspng')} {IMG2DATASET}.\n\n{table(head, rows)}\n\n"
        f"Peak memory of Transform over {SHARDS * PER_SHARD['social']} social images: {spread(peaks, 0)} MB.",
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
