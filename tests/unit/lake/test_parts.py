"""Parts: what is decided comes back as it was written, nobody changes it, and any damage is found."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest

from imagelake.lake import object_keys
from imagelake.lake.parts import Part, Parts, StagedRow
from imagelake.lake.rows import Row, Status
from imagelake.run.errors import DamagedObjectError, ObjectMissingError
from tests.support.factories import decide, item, jpeg, plan, result
from tests.support.fake_lake import Lake

BATCH = plan(item("one"), item("two"), item("three")).batch
KEY = object_keys.part(BATCH, 0)
ONE, TWO, THREE = (item(name).media_id for name in ("one", "two", "three"))


@pytest.fixture
def parts(lake: Lake) -> Parts:
    return Parts(lake.bucket, BATCH)


def some_rows() -> list[Row]:
    """Three rows: one with an image and a tensor, one without both, one with an image."""
    rows = [result(item("one")), result(item("two"), Status.FAILED), result(item("three"))]
    rows[0]["image"] = {"bytes": jpeg("red"), "path": "one.jpg"}
    rows[0]["tensor"] = b"numbers"
    return rows


def slices(row: StagedRow) -> tuple[int, int]:
    """Offset and length of a row's image."""
    assert row["image"] is not None
    return row["image"]["offset"], row["image"]["length"]


def test_rows_come_back_with_their_images(lake: Lake, parts: Parts) -> None:
    decided = decide(lake, BATCH, *some_rows())
    part = parts.read(0)
    assert list(part.rows.values()) == decided
    assert part.damaged == []
    assert parts.attach_images(decided) == some_rows()


def test_one_image_is_read_alone(lake: Lake, parts: Parts) -> None:
    third = decide(lake, BATCH, *some_rows())[2]
    assert third["image"] is not None
    assert parts.read_image(third["image"]) == jpeg()


def test_rows_say_where_their_images_are(lake: Lake, parts: Parts) -> None:
    decide(lake, BATCH, *some_rows())
    part = parts.read(0)
    first, second, third = part.rows.values()
    red, teal = jpeg("red"), jpeg()
    assert part.images == red + b"numbers" + teal
    assert lake.bucket.get(KEY).startswith(part.images)
    assert first["image"] == {
        "part": 0, "offset": 0, "length": len(red), "sha256": hashlib.sha256(red).hexdigest(), "path": "one.jpg"
    }  # fmt: skip
    assert first["tensor"] == {
        "part": 0, "offset": len(red), "length": 7, "sha256": hashlib.sha256(b"numbers").hexdigest()
    }  # fmt: skip
    assert slices(third) == (len(red) + 7, len(teal))
    assert second["image"] is second["tensor"] is third["tensor"] is None


def test_missing_part_has_no_rows(parts: Parts) -> None:
    assert parts.read(0) == Part()
    assert parts.numbers() == []


def test_part_without_rows_comes_back(parts: Parts) -> None:
    assert parts.write(0, Part(), []) == {}
    part = parts.read(0)
    assert (part.rows, part.images, part.damaged) == ({}, b"", [])


def test_parts_are_listed_by_number(lake: Lake, parts: Parts) -> None:
    again = BATCH.model_copy(update={"retried_by": "run-2"})
    for number in (0, 12, 3):
        parts.write(number, Part(), [])
    Parts(lake.bucket, again).write(7, Part(), [])
    assert parts.numbers() == [0, 3, 12]
    assert Parts(lake.bucket, again).numbers() == [7]


def test_images_come_from_the_part_that_has_them(parts: Parts) -> None:
    one, two, three = some_rows()
    decided = [parts.write(number, Part(), [row]) for number, row in ((2, three), (0, one), (1, two))]
    rows = [row for part in decided if part for row in part.values()]
    assert parts.attach_images(rows) == [three, one, two]


def test_old_images_keep_their_places_when_a_part_grows(parts: Parts) -> None:
    one, two, three = some_rows()
    before = parts.write(0, Part(), [one])
    after = parts.write(0, parts.read(0), [two, three])
    assert before is not None
    assert after is not None
    assert list(after) == [ONE, TWO, THREE]
    assert after[ONE] == before[ONE]
    assert parts.attach_images(before.values()) == [one]
    assert parts.attach_images(after.values()) == [one, two, three]


def test_row_takes_the_place_of_one_of_the_same_item(parts: Parts) -> None:
    one, two, three = some_rows()
    parts.write(0, Part(), [one, two, three])
    new = result(item("one"), caption="new")
    rows = parts.write(0, parts.read(0), [new])
    assert rows is not None
    assert parts.read(0).rows == rows
    assert parts.attach_images(rows.values()) == [new, two, three]


def test_second_writer_of_a_new_part_loses(lake: Lake, parts: Parts) -> None:
    one, _, three = some_rows()
    found = parts.read(0)
    first = parts.write(0, found, [one])
    stored = lake.bucket.get(KEY)
    assert parts.write(0, found, [three]) is None
    assert lake.bucket.get(KEY) == stored
    assert parts.read(0).rows == first


def test_second_writer_loses_when_a_part_has_grown(lake: Lake, parts: Parts) -> None:
    one, two, three = some_rows()
    parts.write(0, Part(), [one])
    found = parts.read(0)
    parts.write(0, found, [two])
    stored = lake.bucket.get(KEY)
    assert parts.write(0, found, [three]) is None
    assert lake.bucket.get(KEY) == stored


def test_part_that_was_deleted_is_not_written_without_its_images(lake: Lake, parts: Parts) -> None:
    one, two, _ = some_rows()
    parts.write(0, Part(), [one])
    found = parts.read(0)
    lake.bucket.delete(KEY)
    assert parts.write(0, found, [two]) is None


# What can happen to an object, and the items whose rows are still good after it.
DAMAGES: dict[str, tuple[Callable[[bytes], bytes], list[str]]] = {
    "an empty object": (lambda stored: b"", []),
    "less than a footer": (lambda stored: stored[-20:], []),
    "a cut end": (lambda stored: stored[:-1], []),
    "a cut start": (lambda stored: stored[1:], []),
    "a byte more": (lambda stored: stored + b"x", []),
    "a byte before": (lambda stored: b"x" + stored, []),
    "another format": (lambda stored: stored[:-8] + b"ILPART99", []),
    "another checksum": (lambda stored: stored[:-9] + bytes([stored[-9] ^ 1]) + stored[-8:], []),
    "another length of the images": (lambda stored: stored[:-41] + bytes([stored[-41] ^ 1]) + stored[-40:], []),
    "images longer than the object": (lambda stored: stored[:-48] + b"\xff" + stored[-47:], []),
    "other rows": (lambda stored: stored.replace(b"Alice", b"Alike"), []),
    "another image": (lambda stored: bytes([stored[0] ^ 1]) + stored[1:], [TWO, THREE]),
    "another tensor": (lambda stored: stored.replace(b"numbers", b"members"), [TWO, THREE]),
    "another last image": (
        lambda stored: stored.replace(b"numbers" + jpeg(), b"numbers" + jpeg()[:-1] + b"?"),
        [ONE, TWO],
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_rows_without_damage_are_kept(lake: Lake, parts: Parts, damage: str) -> None:
    decide(lake, BATCH, *some_rows())
    change, intact = DAMAGES[damage]
    stored = lake.bucket.get(KEY)
    assert change(stored) != stored
    lake.bucket.put(KEY, change(stored), "")
    assert list(parts.read(0).rows) == intact


@pytest.mark.parametrize("damage", ["another image", "another tensor", "another last image"])
def test_rows_whose_images_are_damaged_are_still_known(lake: Lake, parts: Parts, damage: str) -> None:
    decided = {row["media_id"]: row for row in decide(lake, BATCH, *some_rows())}
    change, intact = DAMAGES[damage]
    lake.bucket.put(KEY, change(lake.bucket.get(KEY)), "")
    (damaged,) = parts.read(0).damaged
    assert damaged == decided[damaged["media_id"]]
    assert sorted([damaged["media_id"], *intact]) == sorted(decided)


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_part_is_replaced(lake: Lake, parts: Parts, damage: str) -> None:
    decide(lake, BATCH, *some_rows())
    change, intact = DAMAGES[damage]
    lake.bucket.put(KEY, change(lake.bucket.get(KEY)), "")
    new = [row for row in some_rows() if row["media_id"] not in intact]
    rows = parts.write(0, parts.read(0), new)
    assert rows is not None
    assert parts.read(0).rows == rows
    assert parts.read(0).damaged == []
    assert parts.attach_images([rows[media_id] for media_id in (ONE, TWO, THREE)]) == some_rows()


def test_damage_is_logged_with_its_key(lake: Lake, parts: Parts, caplog: pytest.LogCaptureFixture) -> None:
    lake.bucket.put(KEY, b"damaged", "")
    parts.read(0)
    (record,) = caplog.records
    assert KEY in record.__dict__["error"]


IN_THE_IMAGES = [
    "an empty object", "less than a footer", "a cut start", "a byte before", "another image", "another tensor",
    "another last image",
]  # fmt: skip


@pytest.mark.parametrize("damage", IN_THE_IMAGES)
def test_error_when_an_image_is_not_where_it_was(lake: Lake, parts: Parts, damage: str) -> None:
    decided = decide(lake, BATCH, *some_rows())
    change, _ = DAMAGES[damage]
    lake.bucket.put(KEY, change(lake.bucket.get(KEY)), "")
    with pytest.raises(DamagedObjectError, match=f"in {KEY} do not match their checksum"):
        parts.attach_images(decided)


@pytest.mark.parametrize("damage", sorted(DAMAGES.keys() - IN_THE_IMAGES))
def test_staged_rows_keep_their_images_when_the_part_is_damaged_elsewhere(
    lake: Lake, parts: Parts, damage: str
) -> None:
    decided = decide(lake, BATCH, *some_rows())
    change, _ = DAMAGES[damage]
    lake.bucket.put(KEY, change(lake.bucket.get(KEY)), "")
    assert parts.attach_images(decided) == some_rows()


@pytest.mark.parametrize("damage", ["an empty object", "less than a footer", "a cut start", "another last image"])
def test_error_names_the_part_whose_image_is_damaged(lake: Lake, parts: Parts, damage: str) -> None:
    third = decide(lake, BATCH, *some_rows())[2]
    change, _ = DAMAGES[damage]
    lake.bucket.put(KEY, change(lake.bucket.get(KEY)), "")
    offset, length = slices(third)
    match = f"the {length} bytes at {offset} in {KEY} do not match their checksum"
    with pytest.raises(DamagedObjectError, match=match):
        parts.attach_images([third])
    assert third["image"] is not None
    with pytest.raises(DamagedObjectError, match=match):
        parts.read_image(third["image"])


def test_error_names_the_part_that_is_missing(lake: Lake, parts: Parts) -> None:
    third = decide(lake, BATCH, *some_rows())[2]
    lake.bucket.delete(KEY)
    with pytest.raises(ObjectMissingError, match=KEY):
        parts.attach_images([third])
    assert third["image"] is not None
    with pytest.raises(ObjectMissingError, match=KEY):
        parts.read_image(third["image"])


def test_rows_without_images_need_no_part(lake: Lake, parts: Parts) -> None:
    second = decide(lake, BATCH, *some_rows())[1]
    lake.bucket.delete(KEY)
    assert parts.attach_images([second]) == [some_rows()[1]]
