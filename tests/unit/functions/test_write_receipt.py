"""Write Receipt: what was erased is counted once, nobody is named, and an erasure that runs twice has one receipt."""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import suppress
from html import escape
from typing import Any

import pytest

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.erased_objects import ErasedObjects, Place
from imagelake.lake.suppression import hash_of
from imagelake.run.aws import client
from tests.support.factories import Context, event
from tests.support.fake_lake import BUCKET, SUPPRESSION_KEY, Lake
from write_receipt.app import handler
from write_receipt.settings import WriteReceiptSettings

ID = event("write_receipt")["erasure"]["erasure_id"]
AUTHOR = "did:plc:secret-person"
REQUEST = {
    "erase": {"authors": [{"source": "bluesky", "author_id": AUTHOR}]},
    "reason": "author_request",
    "reference": "ticket 17",
}


@pytest.fixture
def noted(lake: Lake) -> Lake:
    """A lake in which an erasure has changed a file and deleted a raw image of the same item."""
    client("s3").put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    lake.suppress(("author", "bluesky", AUTHOR))
    lake.bucket.put_json(object_keys.erasure_request(ID), REQUEST)
    note(lake, "bluesky/one")
    return lake


def note(lake: Lake, media_id: str) -> None:
    objects = ErasedObjects(lake.bucket, ID)
    objects.note(Place.DATASET_FILES, "lake/images/a.parquet", [media_id], b"before", b"after")
    objects.note(Place.RAW_IMAGES, "raw/images/ab/abcd", [media_id])


def receipts(lake: Lake) -> dict[str, Any]:
    return {key: lake.bucket.get_json(key) for key in lake.bucket.list("erasures/") if key.endswith(".json")}


def test_receipt_counts_and_names_nobody(noted: Lake) -> None:
    result = handler(event("write_receipt"), Context())
    (receipt,) = receipts(noted).values()
    assert result["receipt_key"] == f"erasures/{ID}.json"
    assert (receipt["items"], receipt["left_after_verification"]) == (1, 0)
    places = {place["place"]: (place["changed"], place["erased"]) for place in receipt["places"]}
    assert places["dataset_files"] == places["raw_images"] == (1, 1)
    assert places["raw_pages"] == (0, 0)
    key = client("secretsmanager").get_secret_value(SecretId=SUPPRESSION_KEY)["SecretString"].encode()
    assert receipt["requested"] == [{"kind": "author", "hash": hash_of(key, "author", "bluesky", AUTHOR)}]
    file, image = receipt["objects"]
    assert file["key"] == "lake/images/a.parquet"
    assert file["sha256_before"] != file["sha256_after"]
    assert image["key"] == hash_of(key, "key", "raw/images/ab/abcd")
    assert "1 item erased" in result["subject"]
    assert "raw images: 1 entry in 1 object, 0 versions deleted" in result["message"]
    page = noted.bucket.get(f"erasures/{ID}.html").decode()
    assert "on the suppression list, so it cannot come back" in page
    for text in (json.dumps(receipt), page, json.dumps(result)):
        assert AUTHOR not in text
        assert "bluesky/one" not in text
        assert "abcd" not in text.replace("0123456789abcdef0123", "")
        assert "ticket 17" in text


@pytest.mark.slow
@pytest.mark.parametrize("place", [place for place in Place if place != Place.DATASET_FILES])
def test_receipt_confirms_no_guess_about_the_content_of_an_object(noted: Lake, place: Place) -> None:
    """Whoever guesses an account can make the definition of its feed."""
    guess = b'{"source": "bluesky", "account": "alice.example"}'
    ErasedObjects(noted.bucket, ID).note(place, "some/key", ["one"], guess, guess[::-1])
    result = handler(event("write_receipt"), Context())
    stored = noted.bucket.get(result["receipt_key"]).decode()
    assert [one for one in (guess, guess[::-1]) if hashlib.sha256(one).hexdigest() in stored] == []
    (found,) = [one for one in json.loads(stored)["objects"] if one["sha256_after"] and one["place"] == place]
    assert found["sha256_before"] != found["sha256_after"]


@pytest.mark.parametrize("place", [Place.RAW_PAGES, Place.REJECTS, Place.FAILURE_LISTS, Place.REPORT_PAGES])
def test_posts_and_lines_are_no_media_items(noted: Lake, place: Place) -> None:
    ErasedObjects(noted.bucket, ID).note(place, "some/page", ["hash of a post", "hash of another"])
    handler(event("write_receipt"), Context())
    (receipt,) = receipts(noted).values()
    assert receipt["items"] == 1


def test_what_remains_has_its_last_day(noted: Lake) -> None:
    handler(event("write_receipt"), Context())
    (receipt,) = receipts(noted).values()
    remains = {one["place"]: one["until"] for one in receipt["remains"]}
    assert remains["Notifications that were sent"] is None
    assert remains["Point-in-time recovery of the tables"] > remains["Log lines from before the erasure"]
    assert remains["Log lines from before the erasure"] > receipt["finished_at"][:10]


@pytest.mark.parametrize("is_local", [False, True])
def test_everything_that_remains_has_an_end_that_a_reader_understands(
    is_local: bool, noted: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IS_LOCAL", str(is_local).lower())
    WriteReceiptSettings.load.cache_clear()
    message = handler(event("write_receipt"), Context())["message"]
    (receipt,) = receipts(noted).values()
    page = noted.bucket.get(f"erasures/{ID}.html").decode()
    for one in receipt["remains"]:
        end = one["until"] or one["condition"]
        assert one["until"] is not None or re.match("until (you|their) |as long as ", end)
        assert f"  {one['place']}: {end}\n" in message
        assert f"<td>{escape(one['place'])}</td><td>{escape(end)}</td>" in page
    assert "Notifications that were sent: until you delete it" not in message


# Places that only AWS has: docs/erasure.md lists them with their last days.
ONLY_IN_AWS = ["Point-in-time", "Traces", "Records of the stream", "Athena", "work group", "stack", "Notifications"]


@pytest.mark.parametrize("place", ONLY_IN_AWS)
def test_receipt_of_a_lake_on_one_machine_names_no_place_of_aws(
    place: str, noted: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler(event("write_receipt"), Context())
    assert place in json.dumps(receipts(noted)[f"erasures/{ID}.json"]["remains"])
    noted.bucket.put_json(object_keys.erasure_request(ID), REQUEST)
    ErasedObjects(noted.bucket, ID).note(Place.RAW_IMAGES, "raw/images/cd/cdef", ["bluesky/two"])
    monkeypatch.setenv("IS_LOCAL", "true")
    WriteReceiptSettings.load.cache_clear()
    handler(event("write_receipt"), Context())
    remains = receipts(noted)[f"erasures/{ID}-2.json"]["remains"]
    assert place not in json.dumps(remains)
    ends = {one["place"]: one["until"] or one["condition"] for one in remains}
    (history,) = [end for place, end in ends.items() if "the request of this erasure" in place]
    assert history == "until you delete the lake"


def test_working_objects_are_deleted_with_all_versions(noted: Lake) -> None:
    noted.bucket.put_json(object_keys.erasure_request(ID), REQUEST)
    handler(event("write_receipt"), Context())
    versions = client("s3").list_object_versions(Bucket=BUCKET, Prefix="work/erasures/")
    assert "Versions" not in versions
    assert "DeleteMarkers" not in versions


def test_erasure_that_runs_again_without_finding_anything_keeps_its_receipt(noted: Lake) -> None:
    first = handler(event("write_receipt"), Context())
    before = receipts(noted)
    noted.bucket.put_json(object_keys.erasure_request(ID), REQUEST)
    assert handler(event("write_receipt"), Context()) == first
    assert receipts(noted) == before
    versions = client("s3").list_object_versions(Bucket=BUCKET, Prefix="erasures/")["Versions"]
    assert [one["Key"] for one in versions] == [f"erasures/{ID}.html", f"erasures/{ID}.json"]


@pytest.mark.parametrize("place", [Place.RAW_PAGES, Place.REJECTS, Place.FAILURE_LISTS, Place.BOOKMARKS])
def test_posts_and_lines_do_not_count_as_items(noted: Lake, place: Place) -> None:
    """docs/erasure.md: items are media items; a raw page has whole posts, and a post is in several pages."""
    ErasedObjects(noted.bucket, ID).note(place, "some/key", ["a hash of a post", "of another one"])
    handler(event("write_receipt"), Context())
    (receipt,) = receipts(noted).values()
    assert receipt["items"] == 1
    assert {one["place"]: one["erased"] for one in receipt["places"]}[place] == 2


def test_killed_after_the_receipt_it_writes_no_second_one(noted: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as killed:
        killed.setattr("imagelake.lake.bucket.Bucket.delete_folder", lambda self, prefix: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            handler(event("write_receipt"), Context())
    handler(event("write_receipt"), Context())
    assert list(receipts(noted)) == [f"erasures/{ID}.json"]
    assert len(noted.bucket.all_versions(f"erasures/{ID}.html")) == 1


@pytest.mark.slow
@pytest.mark.parametrize("calls", range(1, 8))
def test_killed_while_it_deletes_working_objects_it_writes_no_second_receipt(
    noted: Lake, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    # A note has older versions, which say less than the current one.
    ErasedObjects(noted.bucket, ID).note(Place.RAW_IMAGES, "raw/images/ab/abcd", ["bluesky/two"])
    delete, left = Bucket.delete_version, iter(range(calls))
    with monkeypatch.context() as killed:
        killed.setattr(Bucket, "delete_version", lambda *call: (next(left), delete(*call)))
        with suppress(StopIteration):
            handler(event("write_receipt"), Context())
    noted.bucket.put_json(object_keys.erasure_request(ID), REQUEST)
    handler(event("write_receipt"), Context())
    assert list(receipts(noted)) == [f"erasures/{ID}.json"]


def test_erasure_that_finds_more_later_has_a_second_receipt(noted: Lake) -> None:
    handler(event("write_receipt"), Context())
    noted.bucket.put_json(object_keys.erasure_request(ID), REQUEST)
    ErasedObjects(noted.bucket, ID).note(Place.RAW_IMAGES, "raw/images/cd/cdef", ["bluesky/two"])
    assert handler(event("write_receipt"), Context())["receipt_key"] == f"erasures/{ID}-2.json"
    assert len(receipts(noted)) == 2


def test_dry_run_has_numbers_and_a_price_and_stores_nothing(noted: Lake) -> None:
    example = event("write_receipt")
    example["erasure"]["dry_run"] = True
    result = handler(example, Context())
    assert result["receipt_key"] == ""
    assert result["subject"] == "Imagelake erasure dry run: 2 items found"
    assert "about 0.01 USD" in result["message"]
    assert noted.bucket.list("erasures/") == []
    assert noted.bucket.list("work/erasures/") == []


@pytest.mark.parametrize("name", [None, "items", "files", "open_batches", "raw_images"])
def test_dry_run_that_matches_nothing_says_so(noted: Lake, name: str | None) -> None:
    """Pages and reports are those of the whole lake, because an erasure looks into all of them."""
    example = event("write_receipt")
    example["erasure"]["dry_run"] = True
    example["found"]["counts"] |= dict.fromkeys(("items", "files", "open_batches", "raw_images"), 0)
    example["found"]["counts"] |= {"pages": 12, "reports": 3} | ({name: 1} if name else {})
    result = handler(example, Context())
    assert ("nothing matches" in result["subject"]) == (name is None)
    assert ("nothing: no image, row or open batch" in result["message"]) == (name is None)
    assert "look into:\n  12 raw pages, 3 reports" in result["message"]
