"""Objects that an erasure rewrites or deletes, and their older versions, however often it is killed."""

from __future__ import annotations

from typing import Any

import pytest

from imagelake.lake.bucket import Version
from imagelake.lake.erased_objects import Change, ErasedObject, ErasedObjects, Place
from imagelake.run.aws import client
from tests.support.fake_lake import BUCKET, Lake

KEY = "rejects/one.jsonl"
TEXT = "text/plain"


@pytest.fixture
def objects(lake: Lake) -> ErasedObjects:
    client("s3").put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    return ErasedObjects(lake.bucket, "e1")


def without_bob(body: bytes, version: Version) -> Change | None:
    lines = body.split()
    kept = [line for line in lines if line != b"bob"]
    return None if kept == lines else Change(b" ".join(kept) or None, ["post of bob"])


def bodies(key: str = KEY) -> list[bytes]:
    s3 = client("s3")
    found = s3.list_object_versions(Bucket=BUCKET, Prefix=key)
    return [
        s3.get_object(Bucket=BUCKET, Key=key, VersionId=one["VersionId"])["Body"].read()
        for one in found.get("Versions", [])
        if one["Key"] == key
    ] + [b"" for one in found.get("DeleteMarkers", []) if one["Key"] == key]


def only_note(objects: ErasedObjects) -> ErasedObject:
    (note,) = objects.notes()
    return note


def test_metadata_stays_and_the_note_has_both_bodies(lake: Lake, objects: ErasedObjects) -> None:
    lake.bucket.put(KEY, b"ann bob cat", TEXT, {"url": "https://example.org"})
    lake.bucket.put(KEY + ".other", b"bob", TEXT)
    objects.rewrite(Place.REJECTS, KEY, TEXT, without_bob)
    assert lake.bucket.get(KEY) == b"ann cat"
    assert bodies(KEY + ".other") == [b"bob"]
    assert lake.bucket.get_with_version(KEY)[1].metadata == {"url": "https://example.org"}
    note = only_note(objects)
    assert (note.items, note.place) == (["post of bob"], "rejects")
    assert note.sha256_before != note.sha256_after


def test_an_object_of_which_nothing_stays_is_deleted(lake: Lake, objects: ErasedObjects) -> None:
    lake.bucket.put(KEY, b"bob", TEXT)
    objects.rewrite(Place.REJECTS, KEY, TEXT, without_bob)
    assert not lake.bucket.exists(KEY)
    assert only_note(objects).sha256_after is None
    objects.remove_older_versions(Place.REJECTS, "rejects/")
    assert bodies() == []


@pytest.mark.parametrize(("keys", "left"), [(None, [1, 1, 0]), ({KEY}, [1, 2, 2]), ({KEY + "-3"}, [3, 2, 0])])
def test_older_versions_of_a_folder(lake: Lake, objects: ErasedObjects, keys: set[str] | None, left: list[int]) -> None:
    for number, key in ((3, KEY), (2, KEY + "-2"), (1, KEY + "-3"), (2, "rejects-of-others/one")):
        for version in range(number):
            lake.bucket.put(key, b"%d" % version, TEXT)
    lake.bucket.delete(KEY + "-3")
    number = objects.remove_older_versions(Place.REJECTS, "rejects/", keys)
    assert [len(bodies(KEY + end)) for end in ("", "-2", "-3")] == left
    assert bodies()[0] == b"2"
    assert len(bodies("rejects-of-others/one")) == 2
    note = only_note(objects)
    assert (note.is_folder, note.key, len(note.versions)) == (True, "rejects/", number)
    assert number == 6 - sum(left) + (1 if left[2] == 2 else 0)


@pytest.mark.parametrize("calls", range(9))
def test_the_second_try_ends_what_a_killed_one_began(
    lake: Lake, objects: ErasedObjects, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    for body in (b"bob", b"ann bob"):
        lake.bucket.put(KEY, body, TEXT)
    made = []

    def watched(name: str) -> Any:
        real = getattr(lake.bucket, name)

        def call(*args: Any, **options: Any) -> Any:
            made.append(name)
            if len(made) > calls:
                raise KeyboardInterrupt
            return real(*args, **options)

        return call

    def erase() -> None:
        objects.rewrite(Place.REJECTS, KEY, TEXT, without_bob)
        objects.remove_older_versions(Place.REJECTS, "rejects/")

    for name in ("get_with_version", "put_json", "put_if_unchanged", "all_versions_under", "delete_version"):
        monkeypatch.setattr(lake.bucket, name, watched(name))
    try:
        erase()
    except KeyboardInterrupt:
        monkeypatch.undo()
        erase()
    assert bodies() == [b"ann"]
    folder, note = sorted(objects.notes(), key=lambda one: one.key)
    assert (note.items, len(folder.versions)) == (["post of bob"], 2)
    assert note.sha256_before != note.sha256_after


def test_a_change_by_somebody_else_in_between_is_kept(
    lake: Lake, objects: ErasedObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.bucket.put(KEY, b"ann bob", TEXT)
    others = [b"ann bob dan"]

    def change(body: bytes, version: Version) -> Change | None:
        if others:
            lake.bucket.put(KEY, others.pop(), TEXT)
        return without_bob(body, version)

    objects.rewrite(Place.REJECTS, KEY, TEXT, change)
    assert lake.bucket.get(KEY) == b"ann dan"


def test_nothing_to_erase_changes_nothing(lake: Lake, objects: ErasedObjects) -> None:
    for body in (b"ann", b"ann cat"):
        lake.bucket.put(KEY, body, TEXT)
    objects.rewrite(Place.REJECTS, KEY, TEXT, without_bob)
    objects.rewrite(Place.REJECTS, "rejects/missing", TEXT, without_bob)
    assert sorted(bodies()) == [b"ann", b"ann cat"]
    assert list(objects.notes()) == []


def test_remove_deletes_all_versions(lake: Lake, objects: ErasedObjects) -> None:
    for body in (b"one", b"two"):
        lake.bucket.put(KEY, body, TEXT)
    objects.remove(Place.RAW_IMAGES, KEY, ["a"])
    objects.remove(Place.RAW_IMAGES, KEY, ["a"])
    objects.remove(Place.RAW_IMAGES, "raw/missing", ["b"])
    assert bodies() == []
    assert (only_note(objects).items, len(only_note(objects).versions)) == (["a"], 2)


def test_lines_that_stay_are_the_same_bytes(lake: Lake, objects: ErasedObjects) -> None:
    lake.bucket.put(KEY, b'{"b":1, "a":2}\n7\n{"b\n"bob"\n"dan"\n', TEXT)

    def change(value: Any) -> Any:
        return {"bob": None, "dan": "d"}.get(value, value) if isinstance(value, str) else value

    made = objects.rewrite_lines(Place.REJECTS, KEY, change)
    assert made is not None
    assert lake.bucket.get(KEY) == made.body == b'{"b":1, "a":2}\n7\n{"b\n"d"\n'
    assert len(made.items) == 1
    assert objects.rewrite_lines(Place.REJECTS, KEY, change) is None


def test_reason_of_a_change_stays_in_the_note(lake: Lake, objects: ErasedObjects) -> None:
    lake.bucket.put(KEY, b"bob", TEXT)
    objects.rewrite(Place.REJECTS, KEY, TEXT, lambda *_: Change(b"ann", [], reason="damaged"))
    objects.rewrite(Place.REJECTS, KEY, TEXT, lambda body, _: Change(b"", ["ann"]) if body else None)
    assert (only_note(objects).reason, only_note(objects).items) == ("damaged", ["ann"])
