"""Erased originals in the hash log: zeros in their places, and nothing else changes."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest

from imagelake.lake import hash_log, hash_log_cache
from imagelake.lake.hash_log import Entry, Hashes, HashLog
from imagelake.lake.hash_log_cache import HashLogCache
from imagelake.lake.hash_log_snapshot import HashLogSnapshot
from imagelake.lake.object_keys import HASH_LOG_SNAPSHOT
from tests.support.fake_lake import IMAGE_HASHES, Lake

TODAY = date(2026, 6, 30)
OLD = f"{TODAY - timedelta(days=90):%Y-%m-%d}"


@pytest.fixture
def log(lake: Lake) -> HashLog:
    return lake.image_hashes


def some_hashes(originals: int) -> Hashes:
    return np.random.default_rng(originals).integers(1, 1 << 63, (originals, 14), np.uint64)


def append(log: HashLog, seq: int, *names: str) -> Hashes:
    hashes = some_hashes(len(names))
    assert log.append(Entry(seq, f"b{seq}", OLD, hashes), list(names))
    return hashes


def stored(log: HashLog, seq: int) -> list[list[int]]:
    (entry,) = [entry for entry in log.read(0, consistent=True) if entry.seq == seq]
    return [[int(one) for one in row] for row in entry.hashes]


def test_only_erased_originals_change(log: HashLog) -> None:
    append(log, 1, "a")
    hashes = append(log, 2, "b", "c", "d")
    assert log.replace(2, {"c": "", "z": ""}) == 1
    assert log.names(2) == ["b", "", "d"]
    assert stored(log, 2) == [hashes[0].tolist(), [0] * 14, hashes[2].tolist()]
    assert (log.names(1), log.batch_ids()) == (["a"], {1: "b1", 2: "b2"})


def test_successor_keeps_the_hash(log: HashLog) -> None:
    hashes = append(log, 1, "a", "b")
    assert log.replace(1, {"a": "new"}) == 1
    assert (log.names(1), stored(log, 1)) == (["new", "b"], hashes.tolist())


def test_second_try_changes_nothing(log: HashLog, lake: Lake) -> None:
    append(log, 1, "a", "b")
    log.replace(1, {"a": ""})
    before = lake.hashes()
    assert log.replace(1, {"a": ""}) == 0
    assert lake.hashes() == before


def test_names_in_several_items(log: HashLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hash_log, "MAX_NAMES_BYTES", 50)
    names = [f"bluesky/{number * 7919}/{number}" for number in range(40)]
    append(log, 1, *names)
    log.replace(1, dict.fromkeys(names[5:], ""))
    assert log.names(1) == [*names[:5], *[""] * 35]
    log.replace(1, {names[0]: "a longer name than before, of a duplicate" * 9})
    assert log.names(1)[0].startswith("a longer name")
    assert len(log.names(1)) == 40


def test_two_erasures_of_one_entry_at_once(log: HashLog, monkeypatch: pytest.MonkeyPatch) -> None:
    append(log, 1, "a", "b", "c")
    zero, other = HashLog._zero, HashLog(IMAGE_HASHES)

    def second_first(self: HashLog, seq: int, positions: list[int]) -> Any:
        monkeypatch.setattr(HashLog, "_zero", zero)
        other.replace(1, {"b": ""})
        return zero(self, seq, positions)

    monkeypatch.setattr(HashLog, "_zero", second_first)
    assert log.replace(1, {"a": ""}) == 1
    assert log.names(1) == ["", "", "c"]
    assert stored(log, 1)[:2] == [[0] * 14] * 2


def test_generation_is_no_entry(log: HashLog) -> None:
    assert log.generation() == 0
    append(log, 1, "a")
    log.raise_generation()
    log.raise_generation()
    assert log.generation() == 2
    assert [entry.seq for entry in log.read(0, consistent=True)] == [1]


class TestSnapshot:
    @pytest.fixture(autouse=True)
    def small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hash_log_cache, "MIN_ADDED", 1)

    def worker(self, lake: Lake) -> HashLogCache:
        cache = HashLogCache(HashLog(IMAGE_HASHES), HashLogSnapshot(lake.bucket))
        cache.refresh(consistent=True)
        return cache

    def erase(self, lake: Lake) -> None:
        lake.image_hashes.replace(1, {"a": ""})
        lake.bucket.delete(HASH_LOG_SNAPSHOT)
        lake.image_hashes.raise_generation()

    @pytest.mark.parametrize("has_snapshot", [False, True])
    def test_warm_worker_does_not_write_erased_hashes(self, lake: Lake, has_snapshot: bool) -> None:
        append(lake.image_hashes, 1, "a", "b")
        warm = self.worker(lake)
        if has_snapshot:
            self.worker(lake).save_old_entries(f"{TODAY}")
            assert lake.bucket.exists(HASH_LOG_SNAPSHOT)
        self.erase(lake)
        warm.save_old_entries(f"{TODAY}")
        assert not lake.bucket.exists(HASH_LOG_SNAPSHOT)

    def test_worker_that_was_late_is_found_and_its_snapshot_is_not_read(self, lake: Lake) -> None:
        hashes = append(lake.image_hashes, 1, "a", "b")
        warm = self.worker(lake)
        self.erase(lake)
        snapshot = HashLogSnapshot(lake.bucket)
        assert not snapshot.is_older_than(1)
        snapshot.write(list(warm._entries(1)), 0, lambda: 0)
        assert snapshot.is_older_than(1)
        assert self.worker(lake).hashes.tolist() == [[0] * 14, hashes[1].tolist()]

    def test_next_worker_writes_a_snapshot_without_erased_hashes(self, lake: Lake) -> None:
        append(lake.image_hashes, 1, "a", "b")
        self.worker(lake).save_old_entries(f"{TODAY}")
        self.erase(lake)
        self.worker(lake).save_old_entries(f"{TODAY}")
        (entry,) = HashLogSnapshot(lake.bucket).read(1)
        assert not entry.hashes[0].any()
        assert HashLogSnapshot(lake.bucket).read(0) == []

    def test_warm_worker_that_reads_again_keeps_order_and_positions(self, lake: Lake) -> None:
        append(lake.image_hashes, 1, "a", "b")
        append(lake.image_hashes, 2, "c")
        warm = self.worker(lake)
        before = (warm.offsets, warm.days, warm.seq_by_batch)
        self.erase(lake)
        warm.refresh(consistent=False)
        assert (warm.offsets, warm.days, warm.seq_by_batch) == before
        assert not warm.hashes[0].any()
