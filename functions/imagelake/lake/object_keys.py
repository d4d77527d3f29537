"""Every object key that is written: a function of content, or of feed, batch and run, never of chance or the clock."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from imagelake.run.models import Batch, Run


def batch_id(feed_id: str, dt: str, media_ids: Iterable[str]) -> str:
    """The same media make the same batch, if it is planned for the same feed and day.

    Otherwise it has another file, so it is another batch: by this name a claim tells the two apart.
    """
    return hashlib.sha256("\n".join([feed_id, dt, *sorted(media_ids)]).encode()).hexdigest()[:20]


def raw_page(run: Run, source: str, feed_id: str, page: int) -> str:
    return f"raw/posts/source={source}/dt={run.dt}/{run.run_id}/{feed_id}-{page:05d}.json.gz"


def staged_window(window: str) -> str:
    """Decoded records of a stream, for Fetch to read as one page."""
    return f"work/stream/{window}.json"


def raw_image(sha256: str) -> str:
    return f"raw/images/{sha256[:2]}/{sha256}"


def open_prefix(feed_id: str) -> str:
    return f"open/{feed_id}/"


def open_batch(batch: Batch) -> str:
    return f"{open_prefix(batch.feed_id)}{batch.batch_id}.json"


def planned_batch(batch: Batch) -> str:
    return f"work/{batch.work_id}/plan.json"


def first_planned_batch(batch_id: str) -> str:
    """The plan of a batch as it was before any retry."""
    return f"work/{batch_id}/plan.json"


def rows(batch: Batch) -> str:
    return f"work/{batch.work_id}/rows.jsonl"


def images(batch: Batch) -> str:
    return f"work/{batch.work_id}/images.bin"


def parts_prefix(batch: Batch) -> str:
    return f"work/parts/{batch.work_id}/"


def part(batch: Batch, before: int) -> str:
    """What one try made of a batch that it could not finish; ``before`` is how many rows earlier tries had made."""
    return f"{parts_prefix(batch)}{before:05d}"


def batch_list(run: Run, feed_id: str) -> str:
    return f"work/runs/{run.run_id}/{feed_id}/batches.json"


def batch_failure(run_id: str, batch_id: str) -> str:
    """Written by the state machine when a batch fails, read by Reconcile."""
    return f"work/runs/{run_id}/failed-batches/{batch_id}.json"


def parquet(batch: Batch) -> str:
    return f"lake/images/source={batch.source}/dt={batch.dt}/{batch.batch_id}.parquet"


def rejects(run: Run, source: str, feed_id: str) -> str:
    return f"rejects/source={source}/dt={run.dt}/{run.run_id}-{feed_id}.jsonl"


def failures(run_id: str, feed_id: str) -> str:
    """Every failed or rejected item of a feed, one JSON object a line."""
    return f"reports/{run_id}/failures/{feed_id}.jsonl"


def run_summary(run_id: str) -> str:
    return f"reports/{run_id}/run.json"


def html_report(run: Run) -> str:
    return f"reports/{run.run_id}/index.html"


def feed_problem(feed_id: str) -> str:
    """What a feed was in problem with when it was last read; no run has an id that begins with a line."""
    return f"reports/_feeds/{feed_id}.json"


def feed_reconciliation(run: Run, feed_id: str) -> str:
    return f"reports/{run.run_id}/feeds/{feed_id}.json"
