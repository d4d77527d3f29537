"""Erase Rows: tombstones, promotions and new originals in one dataset file, in which everything else stays."""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from imagelake.lake import object_keys
from imagelake.lake.rows import Status, image_file, tombstone
from imagelake.run.erasure_models import FileChanges
from imagelake.run.errors import DamagedObjectError, ObjectMissingError, ReconciliationError, StorageUnavailableError
from imagelake.run.models import PlannedBatch
from parquet.replaced_rows import DatasetFile
from tests.support.factories import item, jpeg, result
from tests.support.fake_lake import Lake
from tests.support.row_erasures import (
    BOB,
    FEATURES,
    SHA256,
    close,
    copy_of,
    erase_rows,
    file_of,
    keep_versions,
    of_bob,
    rows_of,
    traces,
    without_columns,
)
from tests.support.sample import full

GONE, COPY, NEAR = (item(name).media_id for name in ("gone", "copy", "near"))


def changes_of(planned: PlannedBatch, **changes: Any) -> FileChanges:
    return FileChanges(key=object_keys.parquet(planned.batch), **changes)


def promotion(planned: PlannedBatch, owners: PlannedBatch, **promote: str) -> FileChanges:
    """Promote items by the names of their posts; the values are those of the owners."""
    key = object_keys.parquet(owners.batch)
    ids = {item(name).media_id: (item(owner).media_id, key) for name, owner in promote.items()}
    return changes_of(planned, promote=ids)


def details(file: pq.ParquetFile) -> list[Any]:
    """Everything of a file but its rows: schema, metadata, row groups, and how each column is stored."""
    metadata = file.metadata
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    columns = [group.column(number) for group in groups for number in range(group.num_columns)]
    return [
        metadata.metadata,
        str(file.schema).partition("\n")[2],
        [group.num_rows for group in groups],
        [(one.path_in_schema, one.compression, one.physical_type, set(one.encodings)) for one in columns],
    ]


@pytest.mark.slow
def test_erased_rows_are_tombstones_and_everything_else_stays(lake: Lake) -> None:
    rows = [result(item(f"p{number}"), [*Status][number % 4], tags=["a", f"{number}"]) for number in range(1001)]
    for number in (0, 499, 500, 1000):
        rows[number] = of_bob(f"p{number}")
    planned = close(lake, *rows)
    before, file = rows_of(lake, planned), file_of(lake, planned)
    erased = [item(f"p{number}").media_id for number in (0, 499, 500, 1000)]
    assert erase_rows(lake, "erase", changes_of(planned, erase=erased)) == {"changed": 4, "erased": 16}
    after = rows_of(lake, planned)
    assert after == [tombstone(row) if row["media_id"] in erased else row for row in before]
    assert file_of(lake, planned).schema_arrow.equals(file.schema_arrow, check_metadata=True)
    assert details(file_of(lake, planned)) == details(file)
    assert b"bob" not in lake.bucket.get(object_keys.parquet(planned.batch))


@pytest.mark.slow
@pytest.mark.parametrize("rows", [1, 501, full(1001)])
def test_file_without_changes_would_be_the_same_byte_for_byte(lake: Lake, rows: int) -> None:
    """So the encoder adds nothing of its own, and whatever differs in a file is what was erased."""
    planned = close(lake, *(of_bob(f"p{number}", tags=[str(number)]) for number in range(rows)))
    body = lake.bucket.get(object_keys.parquet(planned.batch))
    file = DatasetFile("key", body)
    assert file.replaced({}) == file.replaced(file.rows_of({item("p0").media_id})) == body


def test_file_of_an_older_version_keeps_its_own_schema(lake: Lake) -> None:
    planned = close(lake, *(of_bob(name) for name in ("one", "gone", "two", "three", "four")))
    without_columns(lake, planned, "view_hashes", "is_dark", "duplicate_kind")
    before, file = rows_of(lake, planned), file_of(lake, planned)
    erase_rows(lake, "erase", changes_of(planned, erase=[GONE]))
    assert rows_of(lake, planned) == [*before[:1], tombstone(before[1]), *before[2:]]
    new = file_of(lake, planned)
    assert new.schema_arrow.equals(file.schema_arrow, check_metadata=True)
    assert new.schema_arrow.metadata[b"huggingface"] == b"old"
    assert [new.metadata.row_group(number).num_rows for number in range(3)] == [2, 2, 1]


def test_file_that_another_program_wrote_gets_no_schema_of_arrow(lake: Lake) -> None:
    planned = close(lake, of_bob("gone"), result(item("one")))
    key = object_keys.parquet(planned.batch)
    body, version = lake.bucket.get_with_version(key)
    out = io.BytesIO()
    pq.write_table(pq.read_table(io.BytesIO(body)), out, store_schema=False)
    lake.bucket.put(key, out.getvalue(), "application/vnd.apache.parquet", version.metadata)
    before = file_of(lake, planned)
    erase_rows(lake, "erase", changes_of(planned, erase=[GONE]))
    assert file_of(lake, planned).metadata.metadata == before.metadata.metadata
    assert [row["status"] for row in rows_of(lake, planned)] == ["erased", "ok"]


def test_second_call_changes_nothing(lake: Lake) -> None:
    planned = close(lake, of_bob("gone"), result(item("one")))
    changes = changes_of(planned, erase=[GONE, "unknown"])
    erase_rows(lake, "erase", changes)
    stored = lake.stored()
    assert erase_rows(lake, "erase", changes) == {"changed": 0, "erased": 0}
    assert lake.stored() == stored


def test_all_rows_of_a_file(lake: Lake) -> None:
    keep_versions()
    planned = close(lake, of_bob("gone"), of_bob("copy", status=Status.REJECTED, image=None))
    erase_rows(lake, "erase", changes_of(planned, erase=[GONE, COPY]))
    assert {row["status"] for row in rows_of(lake, planned)} == {"erased"}
    assert traces("bob", GONE, COPY, BOB) == set()


def promoted(row: dict[str, Any], owner: dict[str, Any]) -> dict[str, Any]:
    """The row that a duplicate has to become, by its own post and the image of its owner."""
    image = {"bytes": owner["image"]["bytes"], "path": image_file(row["media_id"], b"")["path"]}
    own = (
        "media_id", "source", "feed", "post_id", "media_index", "author_id", "author_name", "permalink", "media_url",
        "posted_at", "caption", "alt_text", "tags", "license", "sensitive", "run_id", "dt", "raw_key", "raw_sha256",
        "raw_bytes",
    )  # fmt: skip
    return {**owner, **{name: row[name] for name in own}, "image": image}


@pytest.mark.slow
@pytest.mark.parametrize("is_one_file", [True, False])
def test_duplicate_gets_the_image_of_an_owner(lake: Lake, is_one_file: bool) -> None:
    owner = of_bob("gone", transform_version=3, image_options='{"old": 1}')
    copy = copy_of(owner, "copy", caption="Alice's cat")
    if is_one_file:
        theirs = ours = close(lake, result(item("one")), owner, copy)
    else:
        theirs = close(lake, owner, result(item("one")))
        ours = close(lake, result(item("two")), copy, dt="2026-04-02")
    before = {row["media_id"]: row for planned in (theirs, ours) for row in rows_of(lake, planned)}
    file = file_of(lake, ours)
    answer = erase_rows(lake, "promote", promotion(ours, theirs, copy="gone"))
    assert answer == {"changed": 3, "erased": 0}
    after = {row["media_id"]: row for planned in (theirs, ours) for row in rows_of(lake, planned)}
    assert after == before | {COPY: promoted(before[COPY], before[GONE])}
    assert after[COPY]["tensor"] == FEATURES["tensor"]
    assert (after[COPY]["transform_version"], after[COPY]["caption"]) == (3, "Alice's cat")
    assert file_of(lake, ours).schema_arrow.equals(file.schema_arrow, check_metadata=True)
    assert lake.owners()[SHA256]["owner"] == COPY
    entry = lake.mapping()[COPY]
    assert entry["status"] == "ok"
    assert "duplicate_of" not in entry
    assert lake.media_index.duplicates_of(GONE) == []


def test_several_successors_of_owners_in_several_files(lake: Lake) -> None:
    owners = [
        of_bob(f"o{n}", raw_sha256=f"{n}" * 64, image=image_file("o", jpeg(color)))
        for n, color in enumerate(("red", "green", "blue"))
    ]
    copies = [copy_of(owner, f"c{n}") for n, owner in enumerate(owners)]
    first, second = close(lake, owners[0], owners[1]), close(lake, owners[2], feed_id="second")
    ours = close(lake, *copies, feed_id="third")
    both = promotion(ours, first, c0="o0", c1="o1").promote | promotion(ours, second, c2="o2").promote
    erase_rows(lake, "promote", changes_of(ours, promote=both))
    images = [row["image"]["bytes"] for row in rows_of(lake, ours)]
    assert images == [jpeg(color) for color in ("red", "green", "blue")]
    assert {sha256[0]: entry["owner"] for sha256, entry in lake.owners().items()} == {
        f"{n}": copies[n]["media_id"] for n in range(3)
    }


@pytest.mark.slow
def test_owner_that_is_a_tombstone_already_was_promoted_before(lake: Lake) -> None:
    """A try that was killed after the file was written; then the owner's file went on."""
    owner = of_bob("gone")
    theirs, ours = close(lake, owner), close(lake, copy_of(owner, "copy"), feed_id="second")
    stored = lake.mapping(), lake.owners()
    changes = promotion(ours, theirs, copy="gone")
    erase_rows(lake, "promote", changes)
    rows = rows_of(lake, ours)
    erase_rows(lake, "erase", changes_of(theirs, erase=[GONE]))
    lake.media_index.own({SHA256: GONE}, instead_of={SHA256: COPY})
    for entry in stored[0].values():
        lake.media_index.complete([entry])
    assert (lake.mapping(), lake.owners()) == stored
    erase_rows(lake, "promote", changes)
    assert rows_of(lake, ours) == rows
    assert (lake.owners()[SHA256]["owner"], lake.mapping()[COPY]["status"]) == (COPY, "ok")


def test_promoted_row_in_a_file_of_an_older_version(lake: Lake) -> None:
    owner = of_bob("gone")
    theirs, ours = close(lake, owner), close(lake, copy_of(owner, "copy"), feed_id="second")
    without_columns(lake, ours, "view_hashes", "is_dark")
    without_columns(lake, theirs, "brightness")
    columns = file_of(lake, ours).schema_arrow
    erase_rows(lake, "promote", promotion(ours, theirs, copy="gone"))
    (row,) = rows_of(lake, ours)
    assert file_of(lake, ours).schema_arrow.equals(columns, check_metadata=True)
    assert (row["status"], row["image"]["bytes"], row["phash"], row["brightness"]) == (
        "ok", jpeg(), FEATURES["phash"], None,
    )  # fmt: skip


def test_near_duplicate_of_the_owner_stays_out_of_the_promoted_row(lake: Lake) -> None:
    """Its original may be erased at the same time, so the id of that must not go on."""
    other = of_bob("other", raw_sha256="cd" * 32)
    owner = of_bob("gone", duplicate_of=other["media_id"], duplicate_distance=3, duplicate_kind="whole")
    theirs, ours = close(lake, owner, other), close(lake, copy_of(owner, "copy"), feed_id="second")
    erase_rows(lake, "promote", promotion(ours, theirs, copy="gone"))
    (row,) = rows_of(lake, ours)
    assert [row[name] for name in ("duplicate_of", "duplicate_distance", "duplicate_kind")] == [None, None, None]


@pytest.mark.slow
@pytest.mark.parametrize("original", [COPY, None])
def test_near_duplicates_and_duplicates_get_another_original(lake: Lake, original: str | None) -> None:
    owner = of_bob("gone")
    kind: dict[str, Any] = {"duplicate_distance": 3, "duplicate_kind": "crop"}
    close(lake, owner, result(item("living")))
    near = result(item("near"), duplicate_of=GONE, **kind)
    unconcerned = result(item("other"), duplicate_of=item("living").media_id, **kind)
    ours = close(lake, near, unconcerned, copy_of(owner, "copy 2"), feed_id="second")
    lake.suppress(("media", GONE))
    before, mapped = rows_of(lake, ours), lake.mapping()
    relink = {NEAR: original, item("copy 2").media_id: COPY, item("other").media_id: COPY}
    erase_rows(lake, "erase", changes_of(ours, relink=relink))
    after = rows_of(lake, ours)
    none = {} if original else {"duplicate_distance": None, "duplicate_kind": None}
    assert after[0] == before[0] | {"duplicate_of": original} | none
    assert after[1] == before[1]
    assert after[2] == before[2] | {"duplicate_of": COPY}
    entries = lake.mapping()
    assert entries[NEAR].get("duplicate_of") == original
    assert entries[item("other").media_id] == mapped[item("other").media_id]
    assert lake.media_index.duplicates_of(GONE) == []


def test_original_that_was_erased_meanwhile_is_not_named(lake: Lake) -> None:
    """Another erasure erased the new original; the next search finds a later one."""
    close(lake, of_bob("gone"))
    ours = close(lake, result(item("near"), duplicate_of=GONE), of_bob("two"), feed_id="second")
    lake.suppress(("media", GONE), ("media", COPY))
    with pytest.raises(StorageUnavailableError, match="a new original was erased meanwhile"):
        erase_rows(lake, "erase", changes_of(ours, erase=[item("two").media_id], relink={NEAR: COPY}))
    assert [(row["status"], row["duplicate_of"]) for row in rows_of(lake, ours)] == [("ok", GONE), ("erased", None)]


def test_item_that_became_the_owner_before_its_entry_changed(lake: Lake) -> None:
    """The promotion was killed before its last step. Then the search finds the item as a duplicate of the owner."""
    owner = of_bob("gone")
    theirs, ours = close(lake, owner), close(lake, copy_of(owner, "copy"), feed_id="second")
    lake.suppress(("media", GONE))
    entry = lake.mapping()[COPY]
    erase_rows(lake, "promote", promotion(ours, theirs, copy="gone"))
    rows = rows_of(lake, ours)
    lake.media_index.complete([entry])
    erase_rows(lake, "erase", changes_of(ours, relink={COPY: COPY}))
    assert rows_of(lake, ours) == rows
    assert lake.mapping()[COPY]["status"] == "ok"
    assert lake.media_index.duplicates_of(GONE) == []


@pytest.mark.slow
@pytest.mark.parametrize("owner", [
    {"status": Status.REJECTED, "image": None},
    {"raw_sha256": "cd" * 32},
    {"media_id": None},
], ids=["without an image", "with other bytes", "missing"])  # fmt: skip
def test_error_when_the_owner_does_not_have_the_image(lake: Lake, owner: dict[str, Any]) -> None:
    theirs = close(lake, of_bob("gone"))
    ours = close(lake, copy_of(of_bob("gone"), "copy"), feed_id="second")
    key = object_keys.parquet(theirs.batch)
    lake.bucket.put(key, DatasetFile(key, lake.bucket.get(key)).replaced({0: rows_of(lake, theirs)[0] | owner}), "")
    stored = lake.stored()
    with pytest.raises(ReconciliationError, match=r"^row 0 of lake/.*\.parquet is a duplicate, but lake/.*") as error:
        erase_rows(lake, "promote", promotion(ours, theirs, copy="gone"))
    assert GONE not in str(error.value)
    assert COPY not in str(error.value)
    assert lake.stored().items() >= stored.items()


def test_error_when_the_duplicate_was_erased_meanwhile(lake: Lake) -> None:
    owner = of_bob("gone")
    theirs, ours = close(lake, owner), close(lake, copy_of(owner, "copy"), feed_id="second")
    erase_rows(lake, "erase", changes_of(ours, erase=[COPY]), "e2")
    with pytest.raises(StorageUnavailableError, match="1 duplicates are gone; start the erasure again"):
        erase_rows(lake, "promote", promotion(ours, theirs, copy="gone"))
    assert lake.owners()[SHA256]["owner"] == GONE


@pytest.mark.parametrize("whose", ["ours", "theirs"])
def test_error_when_a_file_of_a_promotion_is_missing(lake: Lake, whose: str) -> None:
    owner = of_bob("gone")
    files = {"theirs": close(lake, owner), "ours": close(lake, copy_of(owner, "copy"), feed_id="second")}
    lake.bucket.delete(object_keys.parquet(files[whose].batch))
    with pytest.raises(ObjectMissingError, match=object_keys.parquet(files[whose].batch)):
        erase_rows(lake, "promote", promotion(files["ours"], files["theirs"], copy="gone"))


@pytest.mark.parametrize("keep", [slice(0, -5), slice(1000, None), slice(0, 0)])
def test_error_when_a_file_is_damaged(lake: Lake, keep: slice) -> None:
    planned = close(lake, of_bob("gone"))
    key = object_keys.parquet(planned.batch)
    lake.bucket.put(key, lake.bucket.get(key)[keep], "")
    with pytest.raises(DamagedObjectError, match=f"{key} is damaged: "):
        erase_rows(lake, "erase", changes_of(planned, erase=[GONE]))


def test_dictionary_columns_stay_what_they_are(lake: Lake) -> None:
    planned = close(lake, of_bob("gone"), result(item("one")))
    erase_rows(lake, "erase", changes_of(planned, erase=[GONE]))
    assert file_of(lake, planned).schema_arrow.field("source").type == pa.dictionary(pa.int32(), pa.string())
