"""The keys of all objects that are written.

A key depends on content, or on feed, batch and run; never on chance or the clock. So a step that is done again writes
the same keys. Each folder under ``work/`` has one writer, so the role of a function can replace no object of another.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from imagelake.run.models import Batch, Run

# The folder of all open markers, and that of all plans.
OPEN = "open/"
PLANS = "work/plans/"
# What failed batches and the maps of runs have left, with messages that can name media items.
MESSAGES = ("work/failed-batches/", "work/results/")
# Stream records that Lambda has given up, in folders by mapping, shard, year, month and day.
# https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html
DISCARDED_RECORDS = "aws/lambda/"
# The oldest entries of the hash log.
HASH_LOG_SNAPSHOT = "hash-log/snapshot"
# The rows of the tables ``coverage`` and ``runs``, in folders by day.
COVERAGE = "lake/coverage/"
RUNS = "lake/runs/"
# All reports.
REPORTS = "reports/"
# The working objects of all erasures.
ERASURES = "work/erasures/"
# The lake at a glance: its figures and its page. No run id starts with an underscore.
GLANCE = "reports/_glance.json"
GLANCE_PAGE = "reports/index.html"
_PARQUET = re.compile(r"lake/images/source=(?P<source>[^/]+)/dt=(?P<dt>[^/]+)/(?P<batch_id>[^/.]+)\.parquet")


def batch_id(feed_id: str, dt: str, media_ids: Iterable[str]) -> str:
    """Make the id of a batch from its feed, its day and its media items.

    The same items on another day have another Parquet file. So they are another batch, with claims of its own.
    """
    return hashlib.sha256("\n".join([feed_id, dt, *sorted(media_ids)]).encode()).hexdigest()[:20]


def raw_page(run: Run, source: str, feed_id: str, page: int) -> str:
    """Name one page of posts as the network sent it."""
    return f"{raw_pages_prefix(source, run.dt)}{run.run_id}/{feed_id}-{page:05d}.json.gz"


def raw_pages_prefix(source: str, dt: str) -> str:
    """Name the folder of a network's pages of one day; below it, each run has a folder."""
    return f"raw/posts/source={source}/dt={dt}/"


def feed_definition(source: str, dt: str, run_id: str, feed_id: str) -> str:
    """Name the definition of a feed, with which its pages of one run are parsed."""
    return f"{raw_pages_prefix(source, dt)}{run_id}/{feed_id}.json"


def staged_window(window: str) -> str:
    """Name the decoded records of a stream window, which Fetch reads as one page."""
    return f"work/stream/{window}.json"


def staged_windows_prefix(dt: str) -> str:
    """Name the start of the keys of a day's stream windows."""
    return f"work/stream/stream-{dt}-"


def raw_image(sha256: str) -> str:
    """Name an image file as it was downloaded."""
    return f"raw/images/{sha256[:2]}/{sha256}"


def open_prefix(feed_id: str) -> str:
    """Name the folder of a feed's open markers."""
    return f"{OPEN}{feed_id}/"


def open_batch(batch: Batch) -> str:
    """Name the open marker of a batch."""
    return f"{open_prefix(batch.feed_id)}{batch.batch_id}.json"


def planned_batch(batch: Batch) -> str:
    """Name the plan of a batch; a run that retries items of the batch has a plan of its own."""
    if batch.rebuilt_by:
        return f"{_rebuild_folder('plans', batch)}.json"
    return f"work/plans/{batch.work_id}.json"


def first_planned_batch(batch_id: str) -> str:
    """Name the plan of a batch before any retry."""
    return f"work/plans/{batch_id}.json"


def staged(batch: Batch) -> str:
    """Name the staged rows of a batch."""
    if batch.rebuilt_by:
        return f"{_rebuild_folder('staged', batch)}.jsonl"
    return f"work/staged/{batch.work_id}.jsonl"


def parts_prefix(batch: Batch) -> str:
    """Name the folder of a batch's parts; that of a retry is not inside the first one's."""
    if batch.rebuilt_by:
        return f"{_rebuild_folder('parts', batch)}/"
    return f"work/parts/{batch.batch_id}/retry={batch.retried_by}/"


def part(batch: Batch, number: int) -> str:
    """Name one part of a batch, by its number from 0."""
    return f"{parts_prefix(batch)}{number:05d}"


def attempts_prefix(batch: Batch) -> str:
    """Name the folder of the attempts at a batch."""
    if batch.rebuilt_by:
        return f"{_rebuild_folder('attempts', batch)}/"
    return f"work/attempts/{batch.batch_id}/retry={batch.retried_by}/"


def attempt(batch: Batch, number: int) -> str:
    """Name one attempt at a batch, by its number from 0."""
    return f"{attempts_prefix(batch)}{number:05d}"


def batch_prefixes(batch_id: str = "") -> dict[str, str]:
    """Name the beginnings of the keys of all plans, staged rows, parts and attempts of a batch and of its retries.

    Without a batch, these are the folders of all batches.
    """
    return {name: f"work/{name}/{batch_id}" for name in ("plans", "staged", "parts", "attempts")}


def batch_list(run: Run, feed_id: str) -> str:
    """Name the list of the batches that a run processes for a feed."""
    return f"work/lists/{run.run_id}/{feed_id}.json"


def batch_failure(run_id: str, batch_id: str) -> str:
    """Name the failure of a batch, which Record Failure writes and Reconcile reads."""
    return f"work/failed-batches/{run_id}/{batch_id}.json"


def _rebuild_folder(folder: str, batch: Batch) -> str:
    """Name what a rebuild has made of one version of a batch's file."""
    # The batch comes first, so an erasure can list what all rebuilds have made of its file.
    return f"work/rebuild/{folder}/{batch.batch_id}/{batch.rebuilt_by}/{batch.read_etag}"


def rebuild_prefixes(batch_id: str = "") -> list[str]:
    """Name the folders of the rows that rebuilds have planned and made of all files, or of a batch's file."""
    end = f"{batch_id}/" if batch_id else ""
    return [f"work/rebuild/{folder}/{end}" for folder in ("plans", "staged", "parts", "attempts")]


def rebuild_list(rebuild_id: str) -> str:
    """Name the list of the batches whose files a rebuild reads."""
    return f"work/rebuild/lists/{rebuild_id}.json"


def rebuild_selection(rebuild_id: str, batch_id: str) -> str:
    """Name the number of rows that Unpack has selected in a file, and their bytes."""
    return f"work/rebuild/selected/{rebuild_id}/{batch_id}.json"


def rebuild_counts(rebuild_id: str, batch_id: str) -> str:
    """Name the counts of the rows that Rebuild Images has made of a file's raw images."""
    return f"work/rebuild/counts/{rebuild_id}/{batch_id}.json"


def rebuild_report(rebuild_id: str) -> str:
    """Name the report of a rebuild; ``_rebuilds`` is no run, because no run id starts with an underscore."""
    return f"reports/_rebuilds/{rebuild_id}.json"


def lake_files(source: str = "") -> str:
    """Name the folder of all dataset files, or of those of a network."""
    return f"lake/images/source={source}/" if source else "lake/images/"


def batch_of_file(key: str) -> Batch | None:
    """Return the batch of a dataset file, as far as its key tells it; ``None`` if it is the key of another object."""
    match = _PARQUET.fullmatch(key)
    return Batch(**match.groupdict(), feed_id="", items=0) if match else None


def parquet(batch: Batch) -> str:
    """Name the Parquet file of a batch."""
    return f"lake/images/source={batch.source}/dt={batch.dt}/{batch.batch_id}.parquet"


def rejects(run: Run, source: str, feed_id: str) -> str:
    """Name the rejected posts and skipped media items of a feed, one JSON object per line."""
    return f"{rejects_prefix(source, run.dt)}{run.run_id}-{feed_id}.jsonl"


def rejects_prefix(source: str, dt: str) -> str:
    """Name the folder of a network's rejected posts of one day."""
    return f"rejects/source={source}/dt={dt}/"


def failures_prefix(run_id: str) -> str:
    """Name the folder of a run's lists of failed and rejected items."""
    return f"reports/{run_id}/failures/"


def failures(run_id: str, feed_id: str) -> str:
    """Name the failed and rejected items of a feed, one JSON object per line."""
    return f"{failures_prefix(run_id)}{feed_id}.jsonl"


def report_prefix(run: Run) -> str:
    """Name the folder of a run's report."""
    return f"reports/{run.run_id}/"


def run_summary(run_id: str) -> str:
    """Name the summary of a run as JSON."""
    return f"reports/{run_id}/run.json"


def html_report(run_id: str) -> str:
    """Name the report of a run as a page."""
    return f"reports/{run_id}/index.html"


def feed_problem(feed_id: str) -> str:
    """Name the last known problem of a feed; ``_feeds`` is no run, because no run id starts with an underscore."""
    return f"reports/_feeds/{feed_id}.json"


def timeline(feed_id: str) -> str:
    """Name what is known of a feed's coverage after its last run."""
    return f"reports/_feeds/{feed_id}.coverage.json"


def run_plan(run_id: str) -> str:
    """Name the estimate of what a run would read and cost."""
    return f"reports/{run_id}/plan.json"


def run_rows(run: Run) -> str:
    """Name the row of a run in the table ``runs``."""
    return f"{RUNS}dt={run.dt}/{run.run_id}.json.gz"


def coverage_rows(run: Run) -> str:
    """Name the rows of a run in the table ``coverage``."""
    return coverage_rows_of(run.dt, run.run_id)


def coverage_rows_of(dt: str, run_id: str) -> str:
    """Name the rows of a run in the table ``coverage`` by its day and its id."""
    return f"{COVERAGE}dt={dt}/{run_id}.json.gz"


def feed_reconciliation(run: Run, feed_id: str) -> str:
    """Name the checked result of a feed."""
    return f"{feed_reconciliations_prefix(run.run_id)}{feed_id}.json"


def feed_reconciliations_prefix(run_id: str) -> str:
    """Name the folder of the checked results of a run's feeds."""
    return f"reports/{run_id}/feeds/"


def erasure_prefix(erasure_id: str) -> str:
    """Name the folder of an erasure's working objects, which are deleted at its end."""
    return f"{ERASURES}{erasure_id}/"


def erasure_request(erasure_id: str) -> str:
    """Name the request of an erasure."""
    return f"{erasure_prefix(erasure_id)}request.json"


def erasure_list(erasure_id: str, name: str) -> str:
    """Name a list of what an erasure found: its files, days, runs or media items."""
    return f"{erasure_prefix(erasure_id)}{name}.json"


def erasure_files(erasure_id: str) -> str:
    """Name the folder of the changes of dataset files, which are numbered from 0."""
    return f"{erasure_prefix(erasure_id)}files/"


def erasure_file(erasure_id: str, key: str) -> tuple[int, str]:
    """Number a dataset file, and name the object with its changes; every execution gives a file the same number."""
    number = int(hashlib.sha256(key.encode()).hexdigest()[:12], 16)
    return number, erasure_list(erasure_id, f"files/{number}")


def erasure_found(erasure_id: str, execution_arn: str) -> str:
    """Name what one execution of an erasure has found."""
    return erasure_list(erasure_id, f"found/{hashlib.sha256(execution_arn.encode()).hexdigest()[:16]}")


def erasure_notes(erasure_id: str) -> str:
    """Name the folder of the notes of an erasure."""
    return f"{erasure_prefix(erasure_id)}notes/"


def erasure_note(erasure_id: str, key: str) -> str:
    """Name the note of one object that an erasure changes."""
    return f"{erasure_notes(erasure_id)}{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"


def receipt(erasure_id: str, number: int = 1) -> str:
    """Name the receipt of an erasure; one that was repeated later and found more has several."""
    return f"erasures/{erasure_id}{f'-{number}' if number > 1 else ''}.json"


def erasure_suppressed(erasure_id: str) -> str:
    """Name the object with the time at which everything was on the suppression list."""
    return erasure_list(erasure_id, "suppressed")


def receipt_page(receipt_key: str) -> str:
    """Name the page of a receipt."""
    return receipt_key.removesuffix("json") + "html"
