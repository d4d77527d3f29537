"""Prices of AWS, and the calls and the time of a run: ``tools/costs.py`` and the reports of runs calculate with them.

Prices are list prices of us-east-1 in 2026 without any free tier, and calls are counted from the code. The times are
assumptions.
"""

from __future__ import annotations

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
ALARMS, METRICS = 7, 31
TRANSFORM_MB, WRITE_PARQUET_MB = 3538, 1769

# ---- Assumed: wall time. Transform's depends on the hosts of the images ----------------------------------------------
TRANSFORM_SECONDS_PER_IMAGE = 0.05
WRITE_SECONDS_PER_BATCH, MAP_SECONDS_PER_BATCH, RECONCILE_SECONDS_PER_BATCH = 1.5, 1.0, 0.3
OTHER_GB_SECONDS_PER_FEED = 2.0


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


def gb_seconds(feeds: int, batches: int, images: int) -> float:
    """Memory times duration of all functions."""
    per_batch = (
        WRITE_SECONDS_PER_BATCH * WRITE_PARQUET_MB / 1024 + MAP_SECONDS_PER_BATCH * 0.5 + RECONCILE_SECONDS_PER_BATCH
    )
    return (
        images * TRANSFORM_SECONDS_PER_IMAGE * TRANSFORM_MB / 1024
        + batches * per_batch
        + feeds * OTHER_GB_SECONDS_PER_FEED
    )


def usd_of_run(feeds: int, batches: int, images: int) -> float:
    """USD of one run's calls and compute; storage, logs and the fixed part of a month are not in it."""
    return (
        gb_seconds(feeds, batches, images) * LAMBDA_GB_SECOND
        + images * usd_per_image()
        + batches * usd_per_batch()
        + (feeds * TRANSITIONS_PER_FEED + TRANSITIONS_PER_RUN) * TRANSITION
    )
