"""Compare the CPU time of our HTTP client with that of general clients, for images over a kept-alive connection.

    .venv/bin/python benchmarks/download.py [rounds]

All clients fetch the same images of the social set in turn, in one process on one core; the server is on another. Only
CPU time counts, not the time that a client waits. The result is written as a table into ``docs/benchmarks.md``.
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
    """The clients by name; each takes a path and returns the body of the response."""
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

    def http_client(path: str) -> bytes:
        connection.request("GET", path)
        return connection.getresponse().read()

    parser = h11.Connection(h11.CLIENT)
    request = h11.Request(method="GET", target="/", headers=[("Host", "example.com"), ("Accept", "image/*")])
    body = corpus("social")[0].read_bytes()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(body)

    def h11_parser(path: str) -> bytes:
        """Read a response from memory, without a connection."""
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
        OURS: lambda path: downloader.download(origin + path),
        "httpx": lambda path: httpx_client.get(path).content,
        "urllib3": lambda path: urllib3_pool.request("GET", path).data,
        "http.client, one connection": http_client,
        "h11, its parsing alone": h11_parser,
    }


def inside(origin: str, rounds: int) -> None:
    """Run the measurement, in the environment where all clients are installed."""
    pin(max(0, (os.cpu_count() or 1) - 1))
    milliseconds: dict[str, list[float]] = defaultdict(list)
    paths = [f"/social/{path.name}" for path in corpus("social")]
    getters = clients(origin)
    for number in range(rounds + 1):
        spent = dict.fromkeys(getters, 0.0)
        for path in paths:
            for name, get in getters.items():
                start = time.thread_time()
                get(path)
                spent[name] += time.thread_time() - start
        if number:  # the first round opens the connections
            for name, seconds in spent.items():
                milliseconds[name].append(1000 * seconds / len(paths))
    rows = [
        [name, f"{median(times):.2f}", spread(ratios(times, milliseconds[OURS]))]
        for name, times in milliseconds.items()
    ]
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
