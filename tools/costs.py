"""Model of a month's cost: ``python -m tools.costs`` prints the table of ``docs/costs.md``.

Prices are list prices of us-east-1 in 2026 without any free tier, and calls are counted from the code. Sizes and times
are assumptions: replace them by your own.
"""

from __future__ import annotations

from math import ceil

from imagelake.run import prices

# ---- Prices in USD ---------------------------------------------------------------------------------------------------
ARCHITECTURE = "x86_64"
LAMBDA_GB_SECOND = {"arm64": 0.0000133334, "x86_64": 0.0000166667}[ARCHITECTURE]
LAMBDA_REQUEST = 0.20 / 1e6
TRANSITION = 0.025 / 1e3
S3_PUT = prices.S3_PUT
S3_GET = prices.S3_GET
S3_GB_MONTH = 0.023
DYNAMO_WRITE = prices.DYNAMO_WRITE
DYNAMO_READ = prices.DYNAMO_READ
DYNAMO_GB_MONTH = 0.25 + 0.20  # with point-in-time recovery
LOGS_GB = 0.50
METRIC_HOUR = 0.30 / 720
ALARM_MONTH = 0.10
DASHBOARD_MONTH = 3.00
KMS_KEY_MONTH = 1.00
SECRET_MONTH = 0.40

# ---- Counted from the code -------------------------------------------------------------------------------------------
# Per image: one PUT of the raw object and a share of a part; one write for the claim, two for the mapping, which is in
# an index too, and one for the raw image's owner; one lookup by Validate and one by Reconcile, at half a unit each.
ITEMS_PER_PART = 25
PUTS_PER_IMAGE, WRITES_PER_IMAGE, READS_PER_IMAGE = 1 + 1 / ITEMS_PER_PART, 1 + 2 + 1, 2 * 0.5
GETS_PER_IMAGE = 1 / ITEMS_PER_PART
# Per batch: PUTs of the plan (twice), the attempt, the staged rows and the dataset file, the list of its parts, and the
# GETs of their readers; the transitions are the child's start, its Tasks and its end.
PUTS_PER_BATCH, GETS_PER_BATCH, TRANSITIONS_PER_BATCH, CALLS_PER_BATCH = 6, 12, 1 + 4, 3
# A batch's entry in the hash log (112 bytes per original) and its names: 57 and 8 KB, doubled by the transaction.
WRITES_PER_BATCH = 2 * (57 + 8)
LOG_BYTES_PER_ORIGINAL = 112.5
TRANSITIONS_PER_FEED, TRANSITIONS_PER_RUN = 12, 8
ALARMS, METRICS = 5, 30
TRANSFORM_MB, WRITE_PARQUET_MB = 3538, 1769

# ---- Assumed ---------------------------------------------------------------------------------------------------------
# Images a month, one column of the table each.
SIZES = (1_000, 100_000, 1_000_000)
RUNS, FEEDS, BATCH_SIZE = 30, 5, 500
# Workers of Transform that a run starts; each reads the last month of the hash log once, and the snapshot of the rest.
COLD_WORKERS = 10
RAW_MB, PROCESSED_MB, ITEM_KB = 0.25, 0.045, 1.0
# Wall time. Transform's depends on the hosts of the images.
TRANSFORM_SECONDS_PER_IMAGE = 0.05
WRITE_SECONDS_PER_BATCH, MAP_SECONDS_PER_BATCH, RECONCILE_SECONDS_PER_BATCH = 1.5, 1.0, 0.3
OTHER_GB_SECONDS_PER_FEED = 2.0
LOG_KB_PER_BATCH, LOG_KB_PER_RUN = 55.0, 100.0


def usd_per_image() -> float:
    """USD of one image's requests to S3 and DynamoDB."""
    s3 = PUTS_PER_IMAGE * S3_PUT + GETS_PER_IMAGE * S3_GET
    return s3 + WRITES_PER_IMAGE * DYNAMO_WRITE + READS_PER_IMAGE * DYNAMO_READ


def usd_per_batch() -> float:
    """USD of one batch's transitions and of its requests to S3, Lambda and DynamoDB."""
    return (
        TRANSITIONS_PER_BATCH * TRANSITION
        + PUTS_PER_BATCH * S3_PUT
        + GETS_PER_BATCH * S3_GET
        + CALLS_PER_BATCH * LAMBDA_REQUEST
        + WRITES_PER_BATCH * DYNAMO_WRITE
    )


def hash_log_units(originals: int) -> float:
    """Read units for so many originals of the hash log: half a unit per 4 KB, as the read need not be consistent."""
    return originals * LOG_BYTES_PER_ORIGINAL / 4096 / 2


def batches(images: int) -> int:
    """Batches of a month: full ones, but at least one per day for each feed with new posts."""
    return max(ceil(images / BATCH_SIZE), min(images, RUNS * FEEDS))


def month(images: int) -> dict[str, float]:
    """USD of a month that adds ``images``, by item of the bill."""
    count = batches(images)
    batch_gb_seconds = (
        WRITE_SECONDS_PER_BATCH * WRITE_PARQUET_MB / 1024 + MAP_SECONDS_PER_BATCH * 0.5 + RECONCILE_SECONDS_PER_BATCH
    )
    gb_seconds = (
        images * TRANSFORM_SECONDS_PER_IMAGE * TRANSFORM_MB / 1024
        + count * batch_gb_seconds
        + RUNS * FEEDS * OTHER_GB_SECONDS_PER_FEED
    )
    flow = (RUNS * FEEDS * TRANSITIONS_PER_FEED + RUNS * TRANSITIONS_PER_RUN) * TRANSITION
    return {
        "Lambda compute": gb_seconds * LAMBDA_GB_SECOND,
        "S3 and DynamoDB requests of images": images * usd_per_image(),
        "Step Functions and requests of batches": count * usd_per_batch() + flow,
        "Cold reads of the hash log": RUNS * COLD_WORKERS * hash_log_units(images) * DYNAMO_READ,
        "Storage of the month's images": images
        * ((RAW_MB + PROCESSED_MB) / 1024 * S3_GB_MONTH + ITEM_KB / 1024**2 * DYNAMO_GB_MONTH),
        "Logs": (count * LOG_KB_PER_BATCH + RUNS * LOG_KB_PER_RUN) / 1024**2 * LOGS_GB,
        "Metrics, alarms": METRICS * RUNS * METRIC_HOUR + ALARMS * ALARM_MONTH,
        "Dashboard, key of the topic, a secret": DASHBOARD_MONTH + KMS_KEY_MONTH + SECRET_MONTH,
    }


def table() -> str:
    """The months as a Markdown table."""
    months = [month(size) for size in SIZES]
    rows = [
        ["images a month", *(f"{size:,}" for size in SIZES)],
        ["---", *("---:" for _ in SIZES)],
        *([name, *(f"{prices[name]:.2f}" for prices in months)] for name in months[0]),
        ["**total, USD**", *(f"**{sum(prices.values()):.2f}**" for prices in months)],
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    print(table())
