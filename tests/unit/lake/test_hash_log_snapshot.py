"""The snapshot of the hash log: a new worker reads old entries from one object, and everything stays the same."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest

from imagelake.lake import hash_log_cache
from imagelake.lake.hash_log import Entry, HashLog
from imagelake.lake.hash_log_cache import HashLogCache
from imagelake.lake.hash_log_snapshot import HashLogSnapshot
from imagelake.lake.object_keys import HASH_LOG_SNAPSHOT
from tests.support.fake_lake import IMAGE_HASHES, Lake

TODAY = date(2026, 6, 30)


def day(ago: int) -> str:
    return f"{TODAY - timedelta(days=ago):%Y-%m-%d}"


def new_worker(lake: Lake) -> HashLogCache:
    cache = HashLogCache(HashLog(IMAGE_HASHES), HashLogSnapshot(lake.bucket))
    cache.refresh(consistent=True)
    return cache


def fill(days: list[str], originals: int = 4) -> None:
    log, random = HashLog(IMAGE_HASHES), np.random.default_rng(1)
    for seq, dt in enumerate(days, 1):
        assert log.append(Entry(seq, f"b{seq}", dt, random.integers(0, 1 << 64, (originals, 14), np.uint64)), [])


@pytest.fixture(autouse=True)
def small_snapshots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hash_log_cache, "MIN_ADDED", 8)


def state(cache: HashLogCache) -> tuple[object, ...]:
    return cache.hashes.tolist(), cache.offsets, cache.days, cache.seq_by_batch


def test_new_worker_reads_old_entries_from_the_snapshot(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    fill([day(90), day(60), day(32), day(31), day(5)])
    cache = new_worker(lake)
    cache.save_old_entries(day(0))
    asked: list[int] = []
    read = HashLog.read

    def note(log: HashLog, after: int, *, consistent: bool) -> object:
        asked.append(after)
        return read(log, after, consistent=consistent)

    monkeypatch.setattr(HashLog, "read", note)
    assert state(new_worker(lake)) == state(cache)
    assert asked == [3], "entries of the last month are in the table only"


@pytest.mark.parametrize(("days", "saved"), [([90], False), ([90, 80], True), ([90, 10], False), ([10, 90, 80], False)])
def test_snapshot_is_written_when_old_entries_have_become_many(lake: Lake, days: list[int], saved: bool) -> None:
    fill([day(ago) for ago in days])
    new_worker(lake).save_old_entries(day(0))
    assert lake.bucket.exists(HASH_LOG_SNAPSHOT) == saved


@pytest.mark.slow
def test_snapshot_is_written_again_when_it_grows_by_a_tenth(lake: Lake) -> None:
    fill([day(100 - number) for number in range(60)])
    cache = new_worker(lake)
    cache.save_old_entries(day(60))  # 30 entries, 120 originals
    sizes = [len(lake.bucket.get(HASH_LOG_SNAPSHOT))]
    for ago in range(60, 30, -1):
        cache.save_old_entries(day(ago))
        sizes.append(len(lake.bucket.get(HASH_LOG_SNAPSHOT)))
    assert sizes == sorted(sizes)
    assert 8 <= len(set(sizes)) <= 12
    assert state(new_worker(lake)) == state(cache)


@pytest.mark.slow
def test_longer_snapshot_of_another_worker_stays(lake: Lake) -> None:
    fill([day(100 - number) for number in range(50)])
    late, early = new_worker(lake), new_worker(lake)
    early.save_old_entries(day(20))
    longer = lake.bucket.get(HASH_LOG_SNAPSHOT)
    late.save_old_entries(day(60))
    assert lake.bucket.get(HASH_LOG_SNAPSHOT) == longer


@pytest.mark.parametrize("damage", [lambda body: body[:-1], lambda body: body[:40] + b"?" + body[41:], lambda _: b""])
def test_damaged_snapshot_is_not_used_and_is_replaced(lake: Lake, damage: object) -> None:
    fill([day(90), day(80)])
    cache = new_worker(lake)
    cache.save_old_entries(day(0))
    right = lake.bucket.get(HASH_LOG_SNAPSHOT)
    lake.bucket.put(HASH_LOG_SNAPSHOT, damage(right), "")  # type: ignore[operator]
    again = new_worker(lake)
    assert state(again) == state(cache)
    again.save_old_entries(day(0))
    assert lake.bucket.get(HASH_LOG_SNAPSHOT) == right


def test_snapshot_can_be_deleted(lake: Lake) -> None:
    fill([day(90), day(80)])
    cache = new_worker(lake)
    cache.save_old_entries(day(0))
    lake.bucket.delete(HASH_LOG_SNAPSHOT)
    assert state(new_worker(lake)) == state(cache)
