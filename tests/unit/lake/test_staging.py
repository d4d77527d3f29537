"""Staging: the rows of a batch come back as they were staged, nobody changes them, and any damage is found."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

import pytest

from imagelake.lake import object_keys
from imagelake.lake.parts import Parts, StagedRow
from imagelake.lake.rows import Row, Status
from imagelake.lake.staging import Staging
from imagelake.run.aws import client
from imagelake.run.errors import DamagedObjectError, ObjectMissingError, StorageUnavailableError
from tests.support.factories import decide, item, plan, result, stage
from tests.support.fake_lake import BUCKET, Lake

BATCH = plan(item("one"), item("two"), item("three")).batch
KEY = object_keys.staged(BATCH)
PART_KEY = object_keys.part(BATCH, 0)
NONE = dict.fromkeys(Status, 0)


@pytest.fixture
def staging(lake: Lake) -> Staging:
    return Staging(lake.bucket, BATCH)


def some_rows() -> list[Row]:
    """Three rows: one with an image and a tensor, one without both, one with an image."""
    rows = [result(item("one")), result(item("two"), Status.FAILED), result(item("three"))]
    rows[0]["tensor"] = b"numbers"
    return rows


@pytest.fixture
def decided(lake: Lake) -> list[StagedRow]:
    """The same rows, with their images in a part."""
    return decide(lake, BATCH, *some_rows())


def damage(lake: Lake, key: str, change: Callable[[bytes], bytes]) -> None:
    stored = lake.bucket.get(key)
    assert change(stored) != stored
    lake.bucket.put(key, change(stored), "")


def test_rows_come_back_with_their_images(staging: Staging, decided: list[StagedRow]) -> None:
    assert staging.write(decided) == {"ok": 2, "duplicate": 0, "rejected": 0, "failed": 1, "erased": 0}
    rows, sha256 = staging.read()
    assert rows == some_rows()
    assert staging.read_rows() == (decided, sha256)
    assert staging.rows() == decided


def test_staged_object_has_one_row_per_line_and_no_images(
    lake: Lake, staging: Staging, decided: list[StagedRow]
) -> None:
    staging.write(decided)
    stored = lake.bucket.get(KEY)
    first, *lines = stored.splitlines()
    assert [json.loads(line) for line in lines] == decided
    assert first.decode() == hashlib.sha256(stored.partition(b"\n")[2]).hexdigest() == staging.read_rows()[1]
    assert b"numbers" not in stored
    assert client("s3").head_object(Bucket=BUCKET, Key=KEY)["ContentType"] == "application/x-ndjson"


def test_checksum_of_the_rows_depends_on_their_images(lake: Lake, staging: Staging) -> None:
    stage(lake, BATCH, result(item("one"), tensor=b"numbers"))
    sha256 = staging.read_rows()[1]
    lake.bucket.delete(KEY)
    stage(lake, BATCH, result(item("one"), tensor=b"members"))
    assert staging.read_rows()[1] != sha256


@pytest.mark.parametrize("text", ["a\u2028b\x85c\x0bd\ne\rf", "\ud800 alone"])
def test_text_does_not_break_the_lines(lake: Lake, staging: Staging, text: str) -> None:
    stage(lake, BATCH, result(item("one"), caption=text), result(item("two"), caption=text))
    assert [row["caption"] for row in staging.rows()] == [text, text]


def test_one_image_is_read_alone(staging: Staging, decided: list[StagedRow]) -> None:
    staging.write(decided)
    image = some_rows()[2]["image"]
    assert image is not None
    assert staging.read_image(staging.rows()[2]) == image["bytes"]


def test_counts_when_nothing_is_staged(staging: Staging) -> None:
    assert staging.counts() is None
    with pytest.raises(ObjectMissingError, match=KEY):
        staging.rows()
    with pytest.raises(ObjectMissingError, match=KEY):
        staging.read()


def test_decided_rows_are_not_staged(staging: Staging, decided: list[StagedRow]) -> None:
    assert staging.counts() is None


@pytest.mark.parametrize("number", [0, 3])
def test_counts_are_the_same_when_they_are_read(staging: Staging, decided: list[StagedRow], number: int) -> None:
    assert staging.write(decided[:number]) == staging.counts() == NONE | ({"ok": 2, "failed": 1} if number else {})
    assert len(staging.rows()) == number


def test_first_rows_stay_when_another_worker_comes_second(
    lake: Lake, staging: Staging, decided: list[StagedRow]
) -> None:
    counts, stored = staging.write(decided), lake.stored()
    assert staging.write(decided[:1]) == counts
    assert lake.stored() == stored


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "an empty object": lambda stored: b"",
    "a cut checksum": lambda stored: stored[:20],
    "the checksum alone": lambda stored: stored[:64],
    "no rows": lambda stored: stored[:65],
    "another checksum": lambda stored: bytes([stored[0] ^ 1]) + stored[1:],
    "a lost row": lambda stored: stored[: stored.rindex(b"\n", 0, -1) + 1],
    "other rows": lambda stored: stored.replace(b"Alice", b"Alike"),
    "a cut end": lambda stored: stored[:-1],
    "a byte more": lambda stored: stored + b"\n",
    "no text": lambda stored: b"\xff\xfe" + stored[2:],
}


@pytest.mark.parametrize("name", DAMAGES)
def test_error_names_the_rows_that_are_damaged(
    lake: Lake, staging: Staging, decided: list[StagedRow], name: str
) -> None:
    staging.write(decided)
    damage(lake, KEY, DAMAGES[name])
    with pytest.raises(DamagedObjectError, match=f"the rows in {KEY} do not match their checksum"):
        staging.rows()


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_rows_are_replaced(lake: Lake, staging: Staging, decided: list[StagedRow], name: str) -> None:
    counts, stored = staging.write(decided), lake.stored()
    damage(lake, KEY, DAMAGES[name])
    assert staging.counts() is None
    assert staging.write(decided) == counts
    assert lake.stored() == stored


def test_rows_are_replaced_when_an_image_was_damaged(lake: Lake, staging: Staging, decided: list[StagedRow]) -> None:
    counts = staging.write(decided)
    damage(lake, PART_KEY, lambda stored: bytes([stored[0] ^ 1]) + stored[1:])
    assert staging.counts() is None
    # Transform decides the row again, so its image has another place.
    parts = Parts(lake.bucket, BATCH)
    again = parts.write(0, parts.read(0), some_rows()[:1])
    assert again is not None
    assert staging.write(again[row["media_id"]] for row in decided) == counts
    assert staging.read()[0] == some_rows()


def test_rows_are_not_counted_when_a_part_is_missing(lake: Lake, staging: Staging, decided: list[StagedRow]) -> None:
    staging.write(decided)
    lake.bucket.delete(PART_KEY)
    assert staging.counts() is None
    with pytest.raises(ObjectMissingError, match=PART_KEY):
        staging.read()


def test_rows_stay_readable_when_an_image_is_damaged(lake: Lake, staging: Staging, decided: list[StagedRow]) -> None:
    staging.write(decided)
    damage(lake, PART_KEY, lambda stored: bytes([stored[0] ^ 1]) + stored[1:])
    assert staging.rows() == decided
    with pytest.raises(DamagedObjectError, match=PART_KEY):
        staging.read()


def test_rows_stay_when_their_part_grows(lake: Lake, staging: Staging, decided: list[StagedRow]) -> None:
    counts = staging.write(decided)
    decide(lake, BATCH, result(item("four")))
    assert staging.counts() == counts
    assert staging.read()[0] == some_rows()


def test_damaged_rows_are_left_to_a_worker_that_replaced_them_first(
    lake: Lake, staging: Staging, decided: list[StagedRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.bucket.put(KEY, b"damaged", "")
    counts = staging.counts

    def replaced_by_another() -> dict[str, int] | None:
        found = counts()
        monkeypatch.undo()
        Staging(lake.bucket, BATCH).write(decided[:1])
        return found

    monkeypatch.setattr(staging, "counts", replaced_by_another)
    assert staging.write(decided)["ok"] == 1
    assert staging.rows() == decided[:1]


def test_error_when_another_worker_is_always_first(
    staging: Staging, decided: list[StagedRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging._bucket, "put_if_unchanged", lambda *_: False)
    with pytest.raises(StorageUnavailableError, match=f"{KEY}: 5 times another worker was first"):
        staging.write(decided)


def test_versions_come_back_with_the_rows(staging: Staging, decided: list[StagedRow]) -> None:
    staging.write(decided, made_with={"Pillow": "13.0.0"})
    staged = staging.read_staged()
    assert (staged.rows, staged.made_with) == (decided, {"Pillow": "13.0.0"})
    assert staging.read()[0] == some_rows()
    assert staging.counts() == {"ok": 2, "duplicate": 0, "rejected": 0, "failed": 1, "erased": 0}


def test_rows_that_were_staged_without_versions_are_read(staging: Staging, decided: list[StagedRow]) -> None:
    staging.write(decided)
    assert staging.read_staged().made_with == {}
    assert staging.rows() == decided


def test_versions_without_rows_are_no_row(staging: Staging) -> None:
    staging.write([], made_with={"Pillow": "13.0.0"})
    assert staging.rows() == []


def test_equal_rows_of_two_rebuilds_have_two_names(lake: Lake) -> None:
    names = set()
    for rebuild_id in ("", "rebuild-1", "rebuild-2"):
        batch = BATCH.model_copy(update={"rebuilt_by": rebuild_id, "read_etag": "e" if rebuild_id else ""})
        staging = Staging(lake.bucket, batch)
        staging.write(decide(lake, batch, *some_rows()))
        names.add(staging.read_rows()[1])
    assert len(names) == 3
