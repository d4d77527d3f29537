"""What a month costs, by arithmetic: ``python -m tools.costs`` prints the table of ``docs/costs.md``.

List prices of us-east-1 in 2026 without any free tier; calls counted from the code; sizes and times are assumptions,
named as such, to be replaced by your own.
"""

from __future__ import annotations

from math import ceil

# ---- Prices in USD ---------------------------------------------------------------------------------------------------
ARCHITECTURE = "x86_64"
LAMBDA_GB_SECOND = {"arm64": 0.0000133334, "x86_64": 0.0000166667}[ARCHITECTURE]
LAMBDA_REQUEST = 0.20 / 1e6
TRANSITION = 0.025 / 1e3
S3_PUT = 0.005 / 1e3
S3_GET = 0.0004 / 1e3
S3_GB_MONTH = 0.023
DYNAMO_WRITE = 0.625 / 1e6
DYNAMO_READ = 0.125 / 1e6
DYNAMO_GB_MONTH = 0.25 + 0.20  # with point-in-time recovery
LOGS_GB = 0.50
METRIC_HOUR = 0.30 / 720
ALARM_MONTH = 0.10
DASHBOARD_MONTH = 3.00
KMS_KEY_MONTH = 1.00

# ---- Counted from the code -------------------------------------------------------------------------------------------
# An image: its raw object; a claim, then a mapping that is in two indexes as well; Validate and Reconcile look it up,
# at half a unit each.
PUTS_OF_AN_IMAGE, WRITES_OF_AN_IMAGE, READS_OF_AN_IMAGE = 1, 1 + 3, 2 * 0.5
# A batch: plan twice, rows, pictures, file; who reads them; the child's start, its Tasks and its end.
PUTS_OF_A_BATCH, GETS_OF_A_BATCH, TRANSITIONS_OF_A_BATCH, CALLS_OF_A_BATCH = 5, 9, 1 + 4, 3
# Its entry in the log of hashes (16 bytes an original) and its names, 9 and 8 KB, doubled by the transaction.
WRITES_OF_A_BATCH = 2 * (9 + 8)
LOG_BYTES_AN_ORIGINAL = 16.5
TRANSITIONS_OF_A_FEED, TRANSITIONS_OF_A_RUN = 12, 8
ALARMS, METRICS = 5, 30
TRANSFORM_MB, WRITE_PARQUET_MB = 3538, 1769

# ---- Assumed ---------------------------------------------------------------------------------------------------------
RUNS, FEEDS, BATCH_SIZE = 30, 5, 500
# Workers of Transform that a run starts anew; each reads the log from its beginning, once.
COLD_WORKERS = 10
RAW_MB, PROCESSED_MB, ITEM_KB = 0.25, 0.045, 1.0
# Wall time: the pictures' hosts decide on Transform's.
TRANSFORM_SECONDS_AN_IMAGE = 0.05
WRITE_SECONDS_A_BATCH, MAP_SECONDS_A_BATCH, RECONCILE_SECONDS_A_BATCH = 1.5, 1.0, 0.3
OTHER_GB_SECONDS_A_FEED = 2.0
LOG_KB_A_BATCH, LOG_KB_A_RUN = 55.0, 100.0


def requests_of_an_image() -> float:
    """What S3 and DynamoDB ask for one image."""
    return PUTS_OF_AN_IMAGE * S3_PUT + WRITES_OF_AN_IMAGE * DYNAMO_WRITE + READS_OF_AN_IMAGE * DYNAMO_READ


def requests_of_a_batch() -> float:
    """What Step Functions, S3 and Lambda's requests ask for one batch."""
    return (
        TRANSITIONS_OF_A_BATCH * TRANSITION
        + PUTS_OF_A_BATCH * S3_PUT
        + GETS_OF_A_BATCH * S3_GET
        + CALLS_OF_A_BATCH * LAMBDA_REQUEST
        + WRITES_OF_A_BATCH * DYNAMO_WRITE
    )


def units_of_the_log(originals: int) -> float:
    """Read units one cold worker takes for the whole log; half a unit for 4 KB, as it need not be consistent."""
    return originals * LOG_BYTES_AN_ORIGINAL / 4096 / 2


def batches(images: int) -> int:
    """Batches of a month: full ones, but at least one for each feed that has something new on a day."""
    return max(ceil(images / BATCH_SIZE), min(images, RUNS * FEEDS))


def month(images: int) -> dict[str, float]:
    """USD of a month that adds ``images``, by what is paid for."""
    count = batches(images)
    gb_seconds = (
        images * TRANSFORM_SECONDS_AN_IMAGE * TRANSFORM_MB / 1024
        + count
        * (WRITE_SECONDS_A_BATCH * WRITE_PARQUET_MB / 1024 + MAP_SECONDS_A_BATCH * 0.5 + RECONCILE_SECONDS_A_BATCH)
        + RUNS * FEEDS * OTHER_GB_SECONDS_A_FEED
    )
    flow = (RUNS * FEEDS * TRANSITIONS_OF_A_FEED + RUNS * TRANSITIONS_OF_A_RUN) * TRANSITION
    return {
        "Lambda, computing": gb_seconds * LAMBDA_GB_SECOND,
        "S3 and DynamoDB requests of images": images * requests_of_an_image(),
        "Step Functions and requests of batches": count * requests_of_a_batch() + flow,
        "Cold reads of the log of hashes": RUNS * COLD_WORKERS * units_of_the_log(images) * DYNAMO_READ,
        "Storage of the month's images": images
        * ((RAW_MB + PROCESSED_MB) / 1024 * S3_GB_MONTH + ITEM_KB / 1024**2 * DYNAMO_GB_MONTH),
        "Logs": (count * LOG_KB_A_BATCH + RUNS * LOG_KB_A_RUN) / 1024**2 * LOGS_GB,
        "Metrics, alarms": METRICS * RUNS * METRIC_HOUR + ALARMS * ALARM_MONTH,
        "Dashboard, key of the topic": DASHBOARD_MONTH + KMS_KEY_MONTH,
    }


def table(sizes: tuple[int, ...] = (1_000, 100_000, 1_000_000)) -> str:
    """The months as a Markdown table."""
    months = [month(size) for size in sizes]
    rows = [
        ["images a month", *(f"{size:,}" for size in sizes)],
        ["---", *("---:" for _ in sizes)],
        *([name, *(f"{paid[name]:.2f}" for paid in months)] for name in months[0]),
        ["**together, USD**", *(f"**{sum(paid.values()):.2f}**" for paid in months)],
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    print(table())
