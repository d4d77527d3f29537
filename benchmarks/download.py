"""A picture over a kept connection: the guarded client against general ones, on the same server and pictures.

    .venv/bin/python benchmarks/download.py [rounds]

All fetch the social set in turn, picture by picture, in one process on one core; the server is on another. What is
counted is the processor's time, not the wait. Writes a table into ``docs/benchmarks.md``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median

from bench import ROOT, TRANSFORM_ENVIRONMENT, environment, machine, pin, publish, ratios, spread, table
from corpus import corpus
from job import serve

PACKAGES = ("httpx", "urllib3", "h11")
OURS = "Downloader.download"
Get = Callable[[str], bytes]


def clients(origin: str) -> dict[str, Get]:
    """Each takes a path and gives the body of the answer."""
    import http.client

    import h11
    import httpx
    import urllib3

    sys.path.insert(0, str(ROOT / "functions"))
    from transform.download import Downloader

    downloader = Downloader(trusted_origins=frozenset({origin}))
    httpx_client = httpx.Client(base_url=origin, trust_env=False)
    urllib3_pool = urllib3.HTTPConnectionPool(origin.removeprefix("http://"))
    connection = http.client.HTTPConnection(origin.removeprefix("http://"))

    def bare(path: str) -> bytes:
        connection.request("GET", path)
        return connection.getresponse().read()

    parser = h11.Connection(h11.CLIENT)
    request = h11.Request(method="GET", target="/", headers=[("Host", "example.com"), ("Accept", "image/*")])
    body = corpus("social")[0].read_bytes()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(body)

    def parse(path: str) -> bytes:
        """An answer that is there already, read by h11."""
        parser.send(request)
        parser.send(h11.EndOfMessage())
        parser.receive_data(head + body)
        parser.next_event()
        pieces = []
        while type(event := parser.next_event()) is h11.Data:
            pieces.append(event.data)
        parser.start_next_cycle()
        return b"".join(pieces)

    return {
        OURS: lambda path: downloader.download(origin + path).body,
        "httpx": lambda path: httpx_client.get(path).content,
        "urllib3": lambda path: urllib3_pool.request("GET", path).data,
        "http.client, one connection": bare,
        "h11, its parsing alone": parse,
    }


def inside(origin: str, rounds: int) -> None:
    """Measure, in the environment that has all clients."""
    pin(max(0, (os.cpu_count() or 1) - 1))
    found: dict[str, list[float]] = defaultdict(list)
    paths = [f"/social/{path.name}" for path in corpus("social")]
    every = clients(origin)
    for number in range(rounds + 1):
        spent = dict.fromkeys(every, 0.0)
        for path in paths:
            for name, get in every.items():
                begun = time.thread_time()
                get(path)
                spent[name] += time.thread_time() - begun
        if number:  # the first round opens the connections
            for name, seconds in spent.items():
                found[name].append(1000 * seconds / len(paths))
    rows = [[name, f"{median(times):.2f}", spread(ratios(times, found[OURS]))] for name, times in found.items()]
    head = ["client", "ms of CPU per image", "its time / ours"]
    publish("download", f"{machine(*PACKAGES)}\n\n{table(head, rows)}")


def main(rounds: str) -> None:
    pin(0)
    python = environment("download", *PACKAGES, "certifi", "idna", "Pillow")
    subprocess.run(
        [python, Path(__file__).resolve(), "--inside", serve(), rounds],
        env=os.environ | TRANSFORM_ENVIRONMENT,
        check=True,
    )


if __name__ == "__main__":
    if "--inside" in sys.argv:
        inside(sys.argv[2], int(sys.argv[3]))
    else:
        main(sys.argv[1] if len(sys.argv) > 1 else "12")
