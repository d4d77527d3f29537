"""After an erasure: caches of warm workers, retries, and working objects that had expired before it."""

from __future__ import annotations

from typing import Any

import pytest

from imagelake.lake import hash_log_cache as cache_module
from imagelake.lake import object_keys
from tests.reliability.audit import rows
from tests.reliability.erased_world import (
    ALICE,
    BOB,
    DAYS,
    FEEDS,
    OPTIONS,
    ErasedWorld,
    erase,
    lake_of,
    of_author,
    wrong,
)
from tests.reliability.pipeline import execute
from tests.reliability.world import photo
from tests.support.fake_lake import BUCKET, IMAGE_HASHES
from tests.support.web_server import WebServer
from transform.near_duplicates import hash_log_cache


@pytest.fixture
def erased_world(one_thread: None, clients: None, website: WebServer, monkeypatch: pytest.MonkeyPatch) -> ErasedWorld:
    return ErasedWorld(website, monkeypatch)


def test_warm_worker_finds_no_erased_hash_and_saves_none(
    erased_world: ErasedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "MIN_ADDED", 1)
    with lake_of() as lake:
        erased_world.fill(lake)
        warm = hash_log_cache(IMAGE_HASHES, BUCKET)
        warm.refresh(consistent=True)
        warm.save_old_entries("2026-06-01")
        (erased,) = (row for row in rows(lake) if row["media_id"] == "bluesky/alice/a2/0")
        hashed = (erased["phash"] % 2**64).to_bytes(8, "big")
        assert hashed in lake.bucket.get(object_keys.HASH_LOG_SNAPSHOT)

        erase(lake, of_author(ALICE))
        assert not lake.bucket.all_versions(object_keys.HASH_LOG_SNAPSHOT)
        # The cache of this process is the one from before the erasure; this image looks like an erased one.
        erased_world.post("bob", "b-late", BOB, "ok", photo(2, quality=50))
        assert wrong(lake, erased_world, erased_world.erased_with(ALICE)) == []
        (late,) = (row for row in rows(lake) if row["media_id"] == "bluesky/bob/b-late/0")
        assert (late["status"], late["duplicate_of"]) == ("ok", None)
        warm.save_old_entries("2026-06-01")
        assert hashed not in lake.bucket.get(object_keys.HASH_LOG_SNAPSHOT)


def test_retry_of_a_run_from_before_the_erasure_brings_nothing_back(erased_world: ErasedWorld) -> None:
    with lake_of() as lake:
        erased_world.fill(lake)
        erase(lake, of_author(ALICE))
        downloads = len(erased_world.downloads())
        for run_id in ("run-1", "run-2"):
            retried: dict[str, Any] = {"run_id": run_id, "error_codes": ["not_found"]}
            execute(lake, f"retry-of-{run_id}", FEEDS, dt=DAYS[5], retry=retried, **OPTIONS)
        # An open batch of the other account is resumed too.
        assert sorted(erased_world.downloads()[downloads:]) == ["/media/bob-b-planned.jpg", "/media/bob-gone.jpg"]
        assert wrong(lake, erased_world, erased_world.erased_with(ALICE)) == []


def test_working_objects_that_have_expired_are_not_needed(erased_world: ErasedWorld) -> None:
    with lake_of() as lake:
        erased_world.fill(lake)
        # This closes the open batches.
        execute(lake, "run-4", FEEDS, dt=DAYS[4], **OPTIONS)
        # The rule of the bucket leaves delete markers, and older versions for another month.
        for key in lake.bucket.list("work/"):
            lake.bucket.delete(key)
        erase(lake, of_author(ALICE))
        assert wrong(lake, erased_world, erased_world.erased_with(ALICE)) == []
