"""Model of a month's cost: ``python -m tools.costs`` prints the table of ``docs/costs.md``.

The prices, the counted calls and the times are those of ``functions/imagelake/run/prices.py``; the sizes here are
assumptions. Replace them by your own.
"""

from __future__ import annotations

from math import ceil

from imagelake.run import prices

# ---- Assumed ---------------------------------------------------------------------------------------------------------
# Images a month, one column of the table each.
SIZES = (1_000, 100_000, 1_000_000)
RUNS, FEEDS, BATCH_SIZE = 30, 5, 500
# Workers of Transform that a run starts; each reads the last month of the hash log once, and the snapshot of the rest.
COLD_WORKERS = 10
RAW_MB, PROCESSED_MB, ITEM_KB = 0.25, 0.045, 1.0
LOG_KB_PER_BATCH, LOG_KB_PER_RUN = 55.0, 100.0


def hash_log_units(originals: int) -> float:
    """Read units for so many originals of the hash log: half a unit per 4 KB, as the read need not be consistent."""
    return originals * prices.LOG_BYTES_PER_ORIGINAL / 4096 / 2


def batches(images: int) -> int:
    """Batches of a month: full ones, but at least one per day for each feed with new posts."""
    return max(ceil(images / BATCH_SIZE), min(images, RUNS * FEEDS))


def month(images: int) -> dict[str, float]:
    """USD of a month that adds ``images``, by item of the bill."""
    count = batches(images)
    flow = (RUNS * FEEDS * prices.TRANSITIONS_PER_FEED + RUNS * prices.TRANSITIONS_PER_RUN) * prices.TRANSITION
    return {
        "Lambda compute": prices.gb_seconds(RUNS * FEEDS, count, images) * prices.LAMBDA_GB_SECOND,
        "S3 and DynamoDB requests of images": images * prices.usd_per_image(),
        "Step Functions and requests of batches": count * prices.usd_per_batch() + flow,
        "Cold reads of the hash log": RUNS * COLD_WORKERS * hash_log_units(images) * prices.DYNAMO_READ,
        "Storage of the month's images": images
        * ((RAW_MB + PROCESSED_MB) / 1024 * prices.S3_GB_MONTH + ITEM_KB / 1024**2 * prices.DYNAMO_GB_MONTH),
        "Logs": (count * LOG_KB_PER_BATCH + RUNS * LOG_KB_PER_RUN) / 1024**2 * prices.LOGS_GB,
        "Metrics, alarms": prices.METRICS * RUNS * prices.METRIC_HOUR + prices.ALARMS * prices.ALARM_MONTH,
        "Dashboard, key of the topic, a secret": prices.DASHBOARD_MONTH + prices.KMS_KEY_MONTH + prices.SECRET_MONTH,
    }


def table() -> str:
    """The months as a Markdown table."""
    months = [month(size) for size in SIZES]
    rows = [
        ["images a month", *(f"{size:,}" for size in SIZES)],
        ["---", *("---:" for _ in SIZES)],
        *([name, *(f"{one[name]:.2f}" for one in months)] for name in months[0]),
        ["**total, USD**", *(f"**{sum(one.values()):.2f}**" for one in months)],
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    print(table())
