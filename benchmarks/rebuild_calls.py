"""Count the calls of AWS that a rebuild makes, and price a million images by them, with the computing.

    .venv/bin/python benchmarks/rebuild_calls.py

The deployed stack on the local engine reads the sample feed and then rebuilds it with another quality; a proxy counts
the calls of the functions. The result is written as a table into ``docs/benchmarks.md``.
"""

from __future__ import annotations

import json
import re
from math import ceil
from typing import Any

from bench import publish, table
from calls import BATCH_SIZE, Bill, execute, named, stack_with_a_run

from imagelake.run import prices
from local.proxy import Answer, Call
from tools import costs

# Images that one worker makes in a second, with two processors and 12 ms of CPU time for each.
IMAGES_PER_SECOND = 150
# Unpack and Write Parquet together, with 500 images.
SECONDS_PER_FILE = 3.0
TRANSITIONS_PER_FILE, REQUESTS_PER_FILE = 1 + 4, 3
_PART = re.compile(r"/work/rebuild/parts/")
_PER = {"raw/images": "image", "ImageKeys": "image", "a part": "part"}
_IMAGES = {"image": 1, "part": 4 * prices.ITEMS_PER_PART, "file": costs.BATCH_SIZE}
# The list of the parts and the attempts are in the same folder as what is counted per file.
_PRICES = {
    "S3 PUT": prices.S3_PUT, "S3 LIST": prices.S3_PUT, "S3 GET": prices.S3_GET,
    "DynamoDB PutItem, units": prices.DYNAMO_WRITE, "DynamoDB BatchGetItem, units": prices.DYNAMO_READ,
    "DynamoDB GetItem, units": prices.DYNAMO_READ, "DynamoDB Query, units": prices.DYNAMO_READ,
    "DynamoDB TransactWriteItems, units": prices.DYNAMO_WRITE,
}  # fmt: skip


class RebuildBill(Bill):
    """Counts the objects of parts apart, because a part has 100 images, whatever the size of a file is."""

    def count(self, call: Call, answer: Answer) -> Answer:
        if not call.operation and _PART.search(call.path):
            self.calls[f"S3 {'GET' if call.method == 'HEAD' else call.method}", "a part"] += 1
            return answer
        return super().count(call, answer)


def count() -> tuple[dict[tuple[str, str], float], dict[str, Any]]:
    """Calls of a rebuild by kind and by prefix or table, and its report."""
    bill = RebuildBill()
    with stack_with_a_run(bill) as (engine, outputs, _):
        bill.calls.clear()
        name = execute(engine, outputs["RebuildArn"], {"encode_quality": 80})
        calls = named(bill, outputs)
        body = engine.client("s3").get_object(Bucket=outputs["BucketName"], Key=f"reports/_rebuilds/{name}.json")[
            "Body"
        ]
        return calls, json.loads(body.read())


def priced(calls: dict[tuple[str, str], float], images: int, files: int) -> tuple[list[list[str]], float]:
    """The rows of the table, and USD per million images."""
    rows, total = [], 0.0
    for (kind, place), number in sorted(calls.items()):
        per = _PER.get(place, "file")
        # A file of the counted rebuild has one part.
        each = number / (images if per == "image" else files)
        usd = 1e6 * each * _PRICES[kind] / _IMAGES[per]
        total += usd
        rows.append([kind, f"`{place}`" if place != "a part" else place, f"{each:.2f} per {per}", f"{usd:.3f}"])
    write_gb, transform_gb = prices.WRITE_PARQUET_MB / 1024, prices.TRANSFORM_MB / 1024
    of_files = 1e6 / costs.BATCH_SIZE
    for name, shown, usd in (
        (
            "Step Functions transitions",
            f"{TRANSITIONS_PER_FILE} per file",
            of_files * TRANSITIONS_PER_FILE * prices.TRANSITION,
        ),
        ("Lambda requests", f"{REQUESTS_PER_FILE} per file", of_files * REQUESTS_PER_FILE * prices.LAMBDA_REQUEST),
        (
            "Computing, images",
            f"{IMAGES_PER_SECOND} per second",
            1e6 / IMAGES_PER_SECOND * transform_gb * prices.LAMBDA_GB_SECOND,
        ),
        (
            "Computing, files",
            f"{SECONDS_PER_FILE:g} s per file",
            of_files * SECONDS_PER_FILE * write_gb * prices.LAMBDA_GB_SECOND,
        ),
    ):
        total += usd
        rows.append([name, "", shown, f"{usd:.3f}"])
    return rows, total


def main() -> None:
    calls, report = count()
    images, files = report["images"], report["files"]
    assert files == ceil(images / BATCH_SIZE), report
    rows, total = priced(calls, images, files)
    rows.append(["**total**", "", "", f"**{total:.2f}**"])
    publish(
        "rebuild-calls",
        f"{images} images in {files} files, counted; priced at files of {costs.BATCH_SIZE} rows, from S3 Standard.\n\n"
        + table(["call", "on", "number", "USD per million images"], rows),
    )


if __name__ == "__main__":
    main()
