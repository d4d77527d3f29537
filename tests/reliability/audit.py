"""The audit of a lake in which no run is at work: rows, mapping and objects agree, in number and in content."""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any

import pyarrow.parquet

from imagelake.imaging import Options, process_all
from imagelake.lake.staging import Staging
from imagelake.run.errors import DamagedObjectError, ImageRejectedError, ObjectMissingError
from imagelake.run.image_options import DEFAULT_PRESET, Preset, Tensor
from imagelake.run.models import Batch
from tests.support.fake_lake import Lake
from transform.near_duplicates import is_comparable

STATUSES = ("ok", "duplicate", "rejected", "failed", "erased")


def rows(lake: Lake) -> list[dict[str, Any]]:
    """Every row of the dataset, with the key and the number it has in its file."""
    return [
        row | {"_key": key, "_row": number}
        for key in lake.bucket.list("lake/images/")
        for number, row in enumerate(pyarrow.parquet.ParquetFile(io.BytesIO(lake.bucket.get(key))).read().to_pylist())
    ]


def problems(
    lake: Lake,
    expected: dict[str, str],
    *,
    preset: Preset = DEFAULT_PRESET,
    tensor: Tensor | None = None,
    may_fail: bool = False,
    is_erased: bool = False,
) -> list[str]:
    """List the problems; ``expected`` is the status of every media item that the lake must have.

    ``preset`` and ``tensor`` are the options of the runs. With ``may_fail``, an image that was lost before it was
    stored is a failed row. With ``is_erased``, the lake has tombstones, and rows that were promoted or have lost their
    original: a promoted row has its image only in the dataset file, and the other one is not in the hash log.
    """
    all_rows = rows(lake)
    found = [row for row in all_rows if not (is_erased and row["status"] == "erased")]
    times = Counter(row["media_id"] for row in found)
    mapping = lake.mapping()
    by_id = {row["media_id"]: row for row in found}
    wrong = [f"lost: {media_id}" for media_id in expected.keys() - times.keys()]
    wrong += [f"not asked for: {media_id}" for media_id in times.keys() - expected.keys()]
    wrong += [f"{number} rows of {media_id}" for media_id, number in times.items() if number > 1]
    wrong += [f"mapped without a row: {media_id}" for media_id in mapping.keys() - times.keys()]
    for row in found:
        status = expected.get(row["media_id"])
        # Of two with the same bytes, the first to be stored is the original: either may be.
        is_lost = may_fail and row["status"] == "failed"
        if row["status"] != status and {row["status"], status} != {"ok", "duplicate"} and not is_lost:
            wrong.append(f"{row['media_id']} is {row['status']}, not {status}")
        mapped = mapping.get(row["media_id"], {})
        if (mapped.get("processed_key"), mapped.get("row"), mapped.get("status"), mapped.get("raw_key")) != (
            row["_key"], row["_row"], row["status"], row["raw_key"],
        ):  # fmt: skip
            wrong.append(f"row {row['media_id']} and its mapping differ: {mapped}")
    by_status = Counter(row["status"] for row in found)
    if by_status != Counter(expected.values()) and not may_fail:
        wrong.append(f"{dict(by_status)}, not {dict(Counter(expected.values()))}")
    raw = set(lake.bucket.list("raw/images/"))
    wrong += [f"raw file of no row: {key}" for key in raw - {row["raw_key"] for row in found}]
    wrong += [f"row without its raw file: {row['raw_key']}" for row in found if row["raw_key"] not in {None, *raw}]
    files = set(lake.bucket.list("lake/images/"))
    tombstones = {row["_key"] for row in all_rows} if is_erased else set()
    mapped_keys = {item.get("processed_key") for item in mapping.values()}
    wrong += [f"file of no mapping: {key}" for key in files - mapped_keys - tombstones]
    wrong += [f"still open: {key}" for key in lake.bucket.list("open/")]
    wrong += wrong_contents(lake, by_id, Options(preset=preset, tensor=tensor), is_erased)
    wrong += wrong_owners(lake, raw, by_id)
    return wrong + unlike_the_log(lake, by_id, is_erased)


def wrong_contents(
    lake: Lake, rows: dict[str, dict[str, Any]], options: Options, is_erased: bool = False
) -> Iterator[str]:
    """Find raw files and images whose bytes are not those of their item; ``rows`` are by media id."""
    raw = {key: lake.bucket.get(key) for key in lake.bucket.list("raw/images/")}
    for key, body in raw.items():
        if key.rpartition("/")[2] != hashlib.sha256(body).hexdigest():
            yield f"raw file of another name: {key}"
    yield from wrong_staging(lake, raw, options, is_erased)
    for media_id, row in rows.items():
        body = raw.get(row["raw_key"], b"")
        if row["raw_key"] is not None and hashlib.sha256(body).hexdigest() != row["raw_sha256"]:
            yield f"{media_id} has another raw file"
        if row["status"] == "duplicate":
            original = rows.get(row["duplicate_of"], {"status": "nothing"})
            if original["status"] != "ok" or original["raw_sha256"] != row["raw_sha256"]:
                yield f"{media_id} is a duplicate of {row['duplicate_of']}, which is {original['status']}"
        has = None if row["image"] is None else row["image"]["bytes"]
        if (has, row["tensor"]) != (_processed(body, options) if row["status"] == "ok" else (None, None)):
            yield f"{media_id} has another image"


def wrong_staging(lake: Lake, raw: dict[str, bytes], options: Options, is_erased: bool = False) -> Iterator[str]:
    """Find staged rows that are damaged, or have other bytes than those of their raw files."""
    for key in lake.bucket.list("work/staged/"):
        batch_id, _, retried_by = key.removeprefix("work/staged/").removesuffix(".jsonl").partition("/")
        batch = Batch(batch_id=batch_id, retried_by=retried_by, feed_id="any", source="any", dt="2026-04-01", items=1)
        try:
            staged, _ = Staging(lake.bucket, batch).read()
        except (DamagedObjectError, ObjectMissingError) as error:
            yield str(error)
            continue
        for row in staged:
            has = None if row["image"] is None else row["image"]["bytes"]
            expected = _processed(raw.get(row["raw_key"] or "", b""), options)
            if is_erased and has is None:
                continue
            if (has, row["tensor"]) != (expected if row["status"] == "ok" else (None, None)):
                yield f"{row['media_id']} has another image in {key}"


def wrong_owners(lake: Lake, raw: set[str], rows: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Find raw images that do not lead to their row; the row of an owner has the image."""
    owners = lake.owners()
    names = {key.rpartition("/")[2] for key in raw}
    for sha256 in names ^ owners.keys():
        yield f"raw image {sha256} is in the lake: {sha256 in names}, and has an entry: {sha256 in owners}"
    for sha256, entry in owners.items():
        row = rows.get(entry["owner"], {"status": "nothing", "raw_sha256": None})
        if row["raw_sha256"] != sha256 or row["status"] != {"held": "ok", "rejected": "rejected"}[entry["state"]]:
            yield f"raw image {sha256} leads to {entry['owner']}, which is {row['status']}"
    for media_id, row in rows.items():
        if row["status"] == "ok" and owners.get(row["raw_sha256"], {}).get("owner") != media_id:
            yield f"{media_id} has the image of another owner"


@cache
def _processed(body: bytes, options: Options) -> tuple[bytes, bytes | None]:
    """The image and the tensor that the pipeline makes of a raw file."""
    (image,) = process_all([body], options)
    return (b"", None) if isinstance(image, ImageRejectedError) else (image.image, image.tensor)


def unlike_the_log(lake: Lake, rows: dict[str, dict[str, Any]], is_erased: bool = False) -> list[str]:
    """Find differences between rows and the hash log, which has each image that is not flat and names no original."""
    log = lake.image_hashes
    entries = list(log.read(0, consistent=True))
    # An erased hash has an empty name.
    originals = [name for entry in entries for name in log.names(entry.seq) if name]
    wrong = [f"{number} times in the log: {name}" for name, number in Counter(originals).items() if number > 1]
    if len({entry.batch_id for entry in entries}) != len(entries):
        wrong.append("a batch is in the log twice")
    for media_id, row in rows.items():
        is_original = row["status"] == "ok" and row["duplicate_of"] is None and is_comparable(row)
        if (media_id in originals) != is_original and not (is_erased and is_original):
            wrong.append(f"{media_id} names {row['duplicate_of']}, and is in the log: {media_id in originals}")
        if row["status"] == "ok" and row["duplicate_of"] not in (None, *originals):
            wrong.append(f"{media_id} looks like {row['duplicate_of']}, which is no original")
    return wrong


def unbalanced(lake: Lake, run_id: str) -> list[str]:
    """List what does not add up in the reconciliation of a run."""
    summary = json.loads(lake.bucket.get(f"reports/{run_id}/run.json"))
    wrong = [f"{feed['name']}: {feed['status']}: {feed['problem']}" for feed in summary["feeds"] if feed["problem"]]
    totals = summary["totals"]
    if totals["planned"] != sum(totals[status] for status in STATUSES):
        wrong.append(f"planned is not the sum of the statuses: {totals}")
    return wrong
