"""Near duplicates: an image that looks like an earlier one of any network and day names it, on every try the same."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError

from imagelake.lake.bucket import Bucket
from imagelake.lake.hash_log import Entry, Hashes, HashLog
from imagelake.lake.media_index import MediaIndex
from imagelake.lake.parts import StagedRow
from imagelake.lake.rows import DuplicateKind, Row, Status
from imagelake.run.aws import client
from imagelake.run.errors import StorageDeniedError, StorageUnavailableError
from imagelake.run.models import Batch
from tests.support.factories import item, plan, result
from tests.support.fake_lake import BUCKET, IMAGE_HASHES, IMAGE_KEYS, Lake
from transform import comparisons
from transform.comparisons import COMPARISONS, DHASH_BITS, PHASH_BITS, compare
from transform.near_duplicates import MIN_CONTRAST, find, hash_log_cache, mark_near_duplicates

# Far from one another and from their complements.
PHASH = [0x0123456789ABCDEF, 0x7FFFFFFF00000000, 0x00FF00FF00FF00FF, 0x5555555555555555]


DAY = "2026-04-01"
FLAT_VIEWS = (0,) * 28


def hashes(*phashes: int) -> Hashes:
    """The hashes of originals with these phashes and nothing else."""
    return np.array([(phash, *(0,) * 13) for phash in phashes], np.uint64)


def signed(bits: int) -> int:
    return bits - (1 << 64) if bits >> 63 else bits


def looks(name: str, phash: int, dhash: int = 0, **changes: Any) -> StagedRow:
    """An image with these hashes."""
    values = {"phash": signed(phash), "dhash": signed(dhash), "view_hashes": FLAT_VIEWS}
    values |= {"is_low_information": False, "contrast": 0.2}
    return without_image(result(item(name), **{**values, **changes}))


def without_image(row: Row) -> StagedRow:
    """The row as if its image were in a part; near duplicates are found by the hashes alone."""
    return {**row, "image": None, "tensor": None}


def flipped(hash_: int, bits: int) -> int:
    """The hash with so many bits changed."""
    return hash_ ^ ((1 << bits) - 1)


def batch(name: str) -> Batch:
    return plan(item(name)).batch


def mark(name: str, *rows: StagedRow) -> list[tuple[str | None, int | None]]:
    """Mark the near duplicates of a batch, after it has claimed its items as Transform does."""
    media_index = MediaIndex(IMAGE_KEYS)
    Bucket(BUCKET).put(f"open/feed/{name}.json", b"", "")
    media_index.claim((row["media_id"] for row in rows), name)
    cache = hash_log_cache(IMAGE_HASHES, BUCKET)
    marked = mark_near_duplicates(list(rows), batch(name), cache, media_index, Bucket(BUCKET))
    unmarked: Any = {"duplicate_of": None, "duplicate_distance": None, "duplicate_kind": None}
    assert [row | unmarked for row in marked] == [row | unmarked for row in rows], "nothing else changes"
    marks = [(row["duplicate_of"], row["duplicate_distance"]) for row in marked]
    json.dumps(marks)  # The rows are staged as JSON, which has no numbers of NumPy.
    return marks


def another_worker() -> None:
    hash_log_cache.cache_clear()


def called(log_calls: list[dict[str, Any]], operation: str) -> list[dict[str, Any]]:
    return [call for call in log_calls if call["operation"] == operation]


def names_read(log_calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The reads of names; each batch also reads the number of erasures."""
    return [call for call in called(log_calls, "GetItem") if call["Key"]["log"]["S"].startswith("names-1")]


@pytest.fixture
def calls(lake: Lake) -> Iterator[list[dict[str, Any]]]:
    """Calls of DynamoDB."""
    seen: list[dict[str, Any]] = []

    def note(params: dict[str, Any], model: Any, **_: Any) -> None:
        seen.append({"operation": model.name, **params})

    events = client("dynamodb").meta.events
    events.register("provide-client-params.dynamodb", note)
    yield seen
    events.unregister("provide-client-params.dynamodb", note)


def refuse(
    monkeypatch: pytest.MonkeyPatch, operation: str, code: str, reasons: Sequence[str | None] | None = None
) -> None:
    """Make a call of DynamoDB fail; a reason that is ``None`` has no code."""
    answer: Any = {"Error": {"Code": code, "Message": "no"}}
    if reasons is not None:
        answer["CancellationReasons"] = [{"Code": reason} if reason else {} for reason in reasons]

    def refused(**_: Any) -> None:
        raise ClientError(answer, operation)

    monkeypatch.setattr(client("dynamodb"), operation, refused)


def test_image_like_one_of_an_earlier_batch_names_it(lake: Lake) -> None:
    assert mark("b1", looks("a", PHASH[0]), looks("b", PHASH[1])) == [(None, None)] * 2
    later = looks("c", flipped(PHASH[1], 3))
    assert mark("b2", looks("d", PHASH[2]), later) == [(None, None), (item("b").media_id, 3)]


def test_image_of_another_network_is_found_by_another_worker(lake: Lake) -> None:
    mark("b1", looks("a", PHASH[0], media_id="mastodon/ä/1", source="mastodon"))
    another_worker()
    assert mark("b2", looks("c", flipped(PHASH[0], 2))) == [("mastodon/ä/1", 2)]


def test_image_like_one_before_it_in_its_batch_names_it(lake: Lake, calls: list[dict[str, Any]]) -> None:
    like_a, like_b = looks("d", flipped(PHASH[0], 2)), looks("c", flipped(PHASH[1], 1))
    assert mark("b1", looks("a", PHASH[0]), looks("b", PHASH[1]), like_b, like_a) == [
        (None, None),
        (None, None),
        (item("b").media_id, 1),
        (item("a").media_id, 2),
    ]
    assert names_read(calls) == [], "the names of its own originals are not read"


def test_only_originals_are_named(lake: Lake) -> None:
    chain = [flipped(PHASH[0], PHASH_BITS * steps) for steps in range(3)]
    assert mark("b1", *(looks(f"p{number}", phash) for number, phash in enumerate(chain))) == [
        (None, None),
        (item("p0").media_id, PHASH_BITS),
        (None, None),
    ]
    assert mark("b2", looks("again", chain[1])) == [(item("p0").media_id, PHASH_BITS)]


def test_nearest_original_is_named_and_of_equals_the_earliest(lake: Lake) -> None:
    near, far = flipped(PHASH[0], 0), PHASH[0] ^ (((1 << PHASH_BITS + 1) - 1) << 20)
    mark("b1", looks("far", far))
    mark("b2", looks("near", near))
    between = PHASH[0] ^ (0b11 << 20)
    assert mark("b3", looks("c", between)) == [(item("near").media_id, 2)]
    middle = PHASH[0] ^ (((1 << 4) - 1) << 20)
    assert mark("b4", looks("d", middle)) == [(item("near").media_id, 4)]
    mark("b5", looks("even", PHASH[1]), looks("odd", PHASH[1] ^ (((1 << 12) - 1) << 40)))
    tied = PHASH[1] ^ (((1 << 6) - 1) << 40)
    assert mark("b6", looks("e", tied)) == [(item("even").media_id, 6)]


def close(lake: Lake, name: str, status: Status) -> None:
    """Give an item of an earlier batch its final status."""
    entry = lake.mapping()[item(name).media_id]
    lake.media_index.complete([{"media_id": item(name).media_id, "batch_id": entry["batch_id"], "status": status}])


def test_original_is_named_when_its_batch_is_closed(lake: Lake) -> None:
    mark("b1", looks("a", PHASH[0]))
    close(lake, "a", Status.OK)
    assert mark("b2", looks("b", PHASH[0])) == [(item("a").media_id, 0)]


@pytest.mark.parametrize("status", [Status.FAILED, Status.REJECTED, Status.DUPLICATE])
def test_original_without_an_image_is_not_named(lake: Lake, status: Status) -> None:
    mark("b1", looks("a", PHASH[0]), looks("b", PHASH[1]))
    close(lake, "a", status)
    assert mark("b2", looks("c", PHASH[0]), looks("d", PHASH[1])) == [(None, None), (item("b").media_id, 0)]


def test_original_that_nobody_knows_is_not_named(lake: Lake) -> None:
    assert lake.image_hashes.append(Entry(1, "gone", DAY, hashes(PHASH[0])), ["gone"])
    assert mark("b2", looks("a", PHASH[0])) == [(None, None)]


def test_dhash_has_to_agree(lake: Lake) -> None:
    mark("b1", looks("a", PHASH[0], dhash=PHASH[2]))
    assert mark("b2", looks("b", PHASH[0], dhash=flipped(PHASH[2], DHASH_BITS + 1))) == [(None, None)]
    another_worker()
    assert mark("b3", looks("c", PHASH[0], dhash=flipped(PHASH[2], DHASH_BITS))) == [(item("a").media_id, 0)]


def test_phash_beyond_its_limit_is_another_image(lake: Lake) -> None:
    mark("b1", looks("a", PHASH[0]))
    assert mark("b2", looks("b", flipped(PHASH[0], PHASH_BITS + 1))) == [(None, None)]


def test_hashes_of_negative_sign_are_compared_bit_by_bit(lake: Lake) -> None:
    top = 1 << 63
    assert mark("b1", looks("a", PHASH[0] | top, dhash=top)) == [(None, None)]
    another_worker()
    assert mark("b2", looks("b", PHASH[0], dhash=0)) == [(item("a").media_id, 1)]


@pytest.mark.parametrize(
    ("phash_bits", "dhash_bits", "distance"), [(8, 12, 8), (9, 0, None), (0, 13, None), (0, 12, 0)]
)
def test_limits_are_those_that_the_benchmark_chose(
    lake: Lake, phash_bits: int, dhash_bits: int, distance: int | None
) -> None:
    mark("b1", looks("a", PHASH[0], dhash=PHASH[2]))
    ((_, marked),) = mark("b2", looks("b", flipped(PHASH[0], phash_bits), dhash=flipped(PHASH[2], dhash_bits)))
    assert marked == distance


@pytest.mark.parametrize(("contrast", "distance"), [(0.05, 0), (0.0499, None)])
def test_least_contrast_that_is_compared(lake: Lake, contrast: float, distance: int | None) -> None:
    mark("b1", looks("a", PHASH[0]))
    ((_, marked),) = mark("b2", looks("b", PHASH[0], contrast=contrast))
    assert marked == distance


def test_two_images_like_originals_of_one_batch_name_them(lake: Lake, calls: list[dict[str, Any]]) -> None:
    mark("b1", looks("a", PHASH[0]), looks("b", PHASH[1]))
    assert mark("b2", looks("c", PHASH[1]), looks("d", PHASH[0])) == [(item("b").media_id, 0), (item("a").media_id, 0)]
    assert len(names_read(calls)) == 1, "the names of a batch are read once"


@pytest.mark.parametrize(("bits", "name", "distance"), [(3, "a", 3), (7, "b", 3)])
def test_nearest_original_is_in_the_same_batch_or_in_an_earlier_one(
    lake: Lake, bits: int, name: str, distance: int
) -> None:
    mark("b1", looks("a", PHASH[0]))
    marks = mark("b2", looks("b", flipped(PHASH[0], 10)), looks("c", flipped(PHASH[0], bits)))
    assert marks == [(None, None), (item(name).media_id, distance)]


def test_nearest_original_of_the_same_batch_is_named(lake: Lake) -> None:
    images = looks("a", PHASH[0]), looks("b", flipped(PHASH[0], 10)), looks("c", flipped(PHASH[0], 7))
    assert mark("b1", *images)[2] == (item("b").media_id, 3)


@pytest.mark.parametrize(("bits", "distance"), [(12, 0), (13, None)])
def test_dhash_has_to_agree_in_one_batch(lake: Lake, bits: int, distance: int | None) -> None:
    marks = mark("b1", looks("a", PHASH[0], dhash=PHASH[2]), looks("b", PHASH[0], dhash=flipped(PHASH[2], bits)))
    assert marks[1][1] == distance


def test_log_of_many_pages_is_read_to_its_end(lake: Lake) -> None:
    log = HashLog(IMAGE_HASHES)
    # A page of a query has at most 1 MB.
    entries = [Entry(number, f"b{number}", DAY, hashes(*range(2_700))) for number in range(1, 6)]
    assert all(log.append(entry, []) for entry in entries)
    read = list(log.read(0, consistent=False))
    assert [entry[:3] for entry in read] == [entry[:3] for entry in entries]
    assert all((entry.hashes == entries[0].hashes).all() for entry in read)


def test_names_of_the_logs_stay_or_all_earlier_images_are_lost(lake: Lake) -> None:
    mark("b1", looks("a", PHASH[0]))
    assert sorted(entry["log"]["S"] for entry in lake.hashes()) == ["names-1", "phash-1"]


def test_flat_images_and_rows_without_image_are_left_out(lake: Lake) -> None:
    for flat in ({"is_low_information": True}, {"contrast": MIN_CONTRAST / 2}):
        assert mark("b1", looks("a", PHASH[0], **flat), looks("b", PHASH[0], **flat)) == [(None, None)] * 2
    others = [without_image(result(item(status.value), status)) for status in (Status.FAILED, Status.REJECTED)]
    exact = looks("d", PHASH[0], status=Status.DUPLICATE, duplicate_of="x", duplicate_distance=0)
    assert mark("b2", *others, exact) == [(None, None), (None, None), ("x", 0)]
    assert lake.hashes() == []


def test_loser_of_two_batches_at_once_decides_again(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    append = HashLog.append
    first: list[Entry] = []

    def late(log: HashLog, entry: Entry, names: list[str]) -> bool:
        if not first:
            first.append(entry)
            # Another worker adds this after we have read and before we write.
            assert append(log, Entry(1, "theirs", DAY, hashes(PHASH[0])), ["their image"])
            lake.media_index.claim(["their image"], "theirs")
            lake.bucket.put("open/feed/theirs.json", b"", "")
        return append(log, entry, names)

    monkeypatch.setattr(HashLog, "append", late)
    assert mark("ours", looks("a", flipped(PHASH[0], 2)), looks("b", PHASH[1])) == [("their image", 2), (None, None)]
    assert len(first[0].hashes) == 2, "at first, both of ours were originals"
    (theirs, ours) = HashLog(IMAGE_HASHES).read(0, consistent=True)
    assert (theirs.seq, ours.seq, ours.hashes.tolist()) == (1, 2, hashes(PHASH[1]).tolist())


def test_same_marks_when_it_died_after_its_entry(lake: Lake) -> None:
    def images() -> list[StagedRow]:
        return [looks("c", flipped(PHASH[0], 1)), looks("d", PHASH[1]), looks("e", flipped(PHASH[1], 1))]

    mark("b1", looks("a", PHASH[0]))
    marks = mark("b2", *images())
    assert marks == [(item("a").media_id, 1), (None, None), (item("d").media_id, 1)]
    # A later batch with an image nearer to ours changes nothing.
    mark("b3", looks("f", PHASH[1] ^ (((1 << PHASH_BITS + 1) - 1) << 20)))
    stored = lake.hashes()
    assert mark("b2", *images()) == marks
    another_worker()
    assert mark("b2", *images()) == marks
    assert lake.hashes() == stored


def test_warm_worker_reads_only_what_is_new(lake: Lake, calls: list[dict[str, Any]]) -> None:
    for number, phash in enumerate(PHASH[:3]):
        mark(f"b{number}", looks(f"p{number}", phash))
    after = [call["ExpressionAttributeValues"][":after"]["N"] for call in called(calls, "Query")]
    assert after == ["0", "0", "1"]
    assert names_read(calls) == [], "names are read only after a match"
    another_worker()
    mark("b3", looks("c", flipped(PHASH[1], 1)))
    assert called(calls, "Query")[-1]["ExpressionAttributeValues"][":after"]["N"] == "0"
    (names,) = names_read(calls)
    assert names["Key"]["seq"] == {"N": "2"}
    assert names["ConsistentRead"], "another worker may have written them just now"


def test_read_that_breaks_off_does_not_part_images_from_their_names(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark("b1", looks("a", PHASH[0]))
    mark("b2", looks("b", PHASH[1]))
    another_worker()
    read = HashLog.read

    def breaks_off(log: HashLog, after: int, *, consistent: bool) -> Iterator[Entry]:
        yield next(read(log, after, consistent=consistent))
        raise StorageUnavailableError("the second page")

    with monkeypatch.context() as broken:
        broken.setattr(HashLog, "read", breaks_off)
        with pytest.raises(StorageUnavailableError):
            mark("b3", looks("c", PHASH[1]))
    assert mark("b3", looks("c", PHASH[0]), looks("d", PHASH[1])) == [
        (item("a").media_id, 0),
        (item("b").media_id, 0),
    ]


def test_no_gap_is_skipped_when_a_read_misses_an_entry(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, phash in enumerate(PHASH[:3]):
        mark(f"b{number}", looks(f"p{number}", phash))
    another_worker()
    read = HashLog.read

    def stale(log: HashLog, after: int, *, consistent: bool) -> Iterator[Entry]:
        return (entry for entry in read(log, after, consistent=consistent) if consistent or entry.seq != 2)

    monkeypatch.setattr(HashLog, "read", stale)
    assert mark("b3", looks("c", flipped(PHASH[1], 1)), looks("d", flipped(PHASH[2], 1))) == [
        (item("p1").media_id, 1),
        (item("p2").media_id, 1),
    ]


@pytest.mark.parametrize(
    ("operation", "code", "reasons"),
    [
        ("query", "ProvisionedThroughputExceededException", None),
        ("get_item", "ThrottlingException", None),
        ("transact_write_items", "ThrottlingException", None),
        ("transact_write_items", "TransactionCanceledException", ["None", "ThrottlingError"]),
        ("transact_write_items", "TransactionCanceledException", ["ProvisionedThroughputExceeded", "None"]),
    ],
)
def test_error_is_transient_when_the_log_is_throttled(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, operation: str, code: str, reasons: list[str] | None
) -> None:
    mark("b1", looks("a", PHASH[0]))
    refuse(monkeypatch, operation, code, reasons)
    with pytest.raises(StorageUnavailableError, match=IMAGE_HASHES) as error:
        mark("b2", looks("b", flipped(PHASH[0], 1)))
    assert "another batch" not in str(error.value), "it does not count as a lost write"


def test_error_is_permanent_when_the_entry_is_not_allowed(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, "transact_write_items", "TransactionCanceledException", ["ValidationError", "None"])
    with pytest.raises(StorageDeniedError, match=IMAGE_HASHES):
        mark("b1", looks("a", PHASH[0]))


def test_error_is_transient_when_others_are_always_first(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("imagelake.run.retries.time.sleep", pauses.append)
    refuse(monkeypatch, "transact_write_items", "TransactionCanceledException", ["TransactionConflict", None])
    with pytest.raises(StorageUnavailableError, match=f"^{IMAGE_HASHES}: .* 40 times"):
        mark("b1", looks("a", PHASH[0]))
    assert lake.hashes() == []
    assert len(pauses) == 39
    assert 0 < max(pauses) <= 0.1


def test_log_is_read_at_the_full_price_only_after_a_lost_write(
    lake: Lake, calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    mark("b1", looks("a", PHASH[0]))
    append, lost = HashLog.append, iter([False, True])
    monkeypatch.setattr(HashLog, "append", lambda log, *entry: next(lost) and append(log, *entry))
    mark("b2", looks("b", PHASH[1]))
    assert [call["ConsistentRead"] for call in called(calls, "Query")] == [False, False, True]


def plain_matches(image: list[int], originals: list[list[int]]) -> list[tuple[int, int, int]]:
    """Rank, distance and index of each original that a comparison finds, by a loop over all conditions."""
    found = []
    for index, original in enumerate(originals):
        for comparison in COMPARISONS:
            pairs = [(image[one.image], original[one.original], one) for one in comparison.conditions]
            if all(
                (a ^ b).bit_count() <= one.bits and (one.image < 2 or a) and (one.original < 2 or b)
                for a, b, one in pairs
            ):
                rank = list(DuplicateKind).index(comparison.kind)
                found.append((rank, (pairs[0][0] ^ pairs[0][1]).bit_count(), index))
    return found


@pytest.mark.slow
def test_comparisons_find_what_a_plain_loop_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(7)
    earlier = random.integers(0, 1 << 64, (200, 14), np.uint64)
    images = random.integers(0, 1 << 64, (160, 30), np.uint64)
    # Each image fulfils one comparison with an original, or all of its conditions but one.
    for number, image in enumerate(images):
        original = earlier[random.integers(0, 200)]
        conditions = list(COMPARISONS[number % len(COMPARISONS)].conditions)
        for condition in conditions[: len(conditions) - (number % 5 == 0)]:
            image[condition.image] = original[condition.original] ^ np.uint64(random.integers(0, 1 << condition.bits))
    images[::7, 2:] = 0
    monkeypatch.setattr(comparisons, "_IMAGES_AT_ONCE", 3)
    monkeypatch.setattr(comparisons, "_ORIGINALS_AT_ONCE", 7)
    originals = earlier.tolist()
    plain = []
    for image in images.tolist():
        matches = plain_matches(image, originals)
        plain.append(min(matches, default=None))
        if not matches:
            originals.append(image[:14])
    assert find(images, earlier) == plain
    assert {match[0] for match in plain if match is not None} == {1, 2, 3, 4}
    assert {comparison.kind for comparison in COMPARISONS} == set(DuplicateKind) - {DuplicateKind.BYTES}


def test_erased_original_matches_no_image(lake: Lake) -> None:
    """Its zeros differ in no more bits from a phash and a dhash with few bits than near duplicates may differ."""
    mark("b1", looks("a", PHASH[0]), looks("b", PHASH[1]))
    lake.image_hashes.replace(1, {item("a").media_id: ""})
    lake.image_hashes.raise_generation()
    few_bits = looks("c", 1, dhash=1)
    assert mark("b2", few_bits, looks("d", PHASH[0]), looks("e", PHASH[1])) == [
        (None, None),
        (None, None),
        (item("b").media_id, 0),
    ]


def test_warm_worker_reads_the_log_again_after_an_erasure(lake: Lake, calls: list[dict[str, Any]]) -> None:
    mark("b1", looks("a", PHASH[0]))
    lake.image_hashes.replace(1, {item("a").media_id: ""})
    lake.image_hashes.raise_generation()
    assert mark("b2", looks("b", PHASH[0])) == [(None, None)]
    after = [call["ExpressionAttributeValues"][":after"]["N"] for call in called(calls, "Query")]
    assert after == ["0", "0"]


def test_original_that_is_erased_after_its_hash_was_read_is_not_named(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark("b1", looks("a", PHASH[0]), looks("b", PHASH[1]))
    another_worker()
    names = HashLog.names

    def erase_first(log: HashLog, seq: int) -> list[str]:
        log.replace(1, {item("a").media_id: ""})
        return names(log, seq)

    monkeypatch.setattr(HashLog, "names", erase_first)
    assert mark("b2", looks("c", PHASH[0]), looks("d", PHASH[1])) == [(None, None), (item("b").media_id, 0)]


def test_image_of_a_promoted_duplicate_keeps_its_hash(lake: Lake) -> None:
    mark("b1", looks("a", PHASH[0]))
    lake.media_index.claim([item("new").media_id], "b1")
    lake.image_hashes.replace(1, {item("a").media_id: item("new").media_id})
    another_worker()
    assert mark("b2", looks("b", flipped(PHASH[0], 2))) == [(item("new").media_id, 2)]


def test_flat_views_equal_no_other() -> None:
    flat = np.zeros((1, 30), np.uint64)
    flat[0, 0] = PHASH[0]  # An original that has nothing but zeros was erased.
    assert {match.kind for _, match in compare(flat, flat[:, :14])} == {DuplicateKind.WHOLE}


def test_rows_and_entries_of_an_earlier_version_are_compared_as_a_whole(lake: Lake) -> None:
    client("dynamodb").put_item(
        TableName=IMAGE_HASHES,
        Item={
            "log": {"S": "phash-1"},
            "seq": {"N": "1"},
            "batch_id": {"S": "old"},
            "hashes": {"B": np.array([PHASH[0], 0], ">u8").tobytes()},
        },
    )
    client("dynamodb").put_item(
        TableName=IMAGE_HASHES,
        Item={"log": {"S": "names-1"}, "seq": {"N": "1"}, "names": {"B": zlib.compress(b'["a"]')}},
    )
    lake.media_index.claim(["a"], "old")
    lake.bucket.put("open/feed/old.json", b"", "")
    row = looks("b", flipped(PHASH[0], 2))
    del row["view_hashes"]  # type: ignore[misc]
    assert mark("b2", row) == [("a", 2)]


def test_names_above_the_size_of_an_item_are_several_items(lake: Lake) -> None:
    log = HashLog(IMAGE_HASHES)
    random = Random(1)
    names = [f"cms/{random.randbytes(250).hex()}" for _ in range(2_000)]
    assert log.append(Entry(1, "b1", DAY, hashes(*range(len(names)))), names)
    assert log.names(1) == names
    assert sorted(entry["log"]["S"] for entry in lake.hashes()) == ["names-1", "names-1/1", "phash-1"]


def test_names_of_an_earlier_version_are_read(lake: Lake) -> None:
    client("dynamodb").put_item(
        TableName=IMAGE_HASHES,
        Item={"log": {"S": "names-1"}, "seq": {"N": "1"}, "names": {"B": zlib.compress(b'["a"]')}},
    )
    assert HashLog(IMAGE_HASHES).names(1) == ["a"]
