"""Run Transform over a list of URLs, with a folder for its bucket; print milliseconds per image and peak memory.

python transform_job.py LIST_OF_URLS OUTPUT_FOLDER URLS_PER_BATCH PRESET
"""

from __future__ import annotations

import json
import resource
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "functions"))

from imagelake.lake.bucket import Bucket
from imagelake.lake.staging import Staging
from imagelake.run.models import Batch, PlannedBatch
from imagelake.run.posts import Item
from transform.decisions import Decisions
from transform.download import Downloader
from transform.results import make_results


class Folder:
    """A bucket on disk that Transform can write to; all raw files go into one file, one after the other."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(parents=True)
        self._raw = (root / "raw").open("wb")

    def put_if_unchanged(self, key: str, body: bytes, content_type: str, before: None) -> bool:
        path = self._root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        return True

    def put_once(self, key: str, body: bytes) -> None:
        # Threads may write out of order, but nobody reads the file.
        self._raw.write(body)

    def list(self, prefix: str) -> list[str]:
        return []

    def version(self, key: str) -> None:
        return None

    def exists(self, key: str) -> bool:
        return False


def item(number: int, url: str) -> Item:
    return Item(
        media_id=f"bench-{number}", source="bench", feed="bench:feed", post_id=str(number), media_index=0,
        author_id="a", author_name=None, permalink=None, media_url=url, posted_at=datetime(2026, 1, 1, tzinfo=UTC),
        caption="", alt_text=None, tags=[], license=None, sensitive=False, expires_at=None,
    )  # fmt: skip


def main(urls: str, folder: str, batch_size: int, preset: Any) -> None:
    items = [item(number, url) for number, url in enumerate(Path(urls).read_text().split())]
    origin = urlsplit(items[0].media_url)
    bucket = cast(Bucket, Folder(Path(folder)))
    milliseconds = []
    with Downloader(trusted_origins=frozenset({f"{origin.scheme}://{origin.netloc}"})) as downloader:
        for start in range(0, len(items), batch_size):
            part = items[start : start + batch_size]
            batch = Batch(batch_id=f"b{start}", feed_id="feed", source="bench", dt="2026-01-01", items=len(part))
            plan = PlannedBatch(batch=batch, run_id="run", items=part, preset=preset)
            started = time.perf_counter()
            decisions = Decisions(bucket, batch)
            for number, results in make_results(
                plan, {one.media_id for one in part}, lambda one: downloader.download(one.media_url), lambda: 900.0
            ):
                decisions.decide(number, results)
            counts = Staging(bucket, batch).write(decisions.rows[one.media_id] for one in part)
            milliseconds.append(1000 * (time.perf_counter() - started) / len(part))
            assert counts["ok"] == len(part), counts
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print("RESULT", json.dumps(milliseconds))
    print("PEAK", peak)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
