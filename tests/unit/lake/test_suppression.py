"""The suppression list: keyed hashes, read once per worker and again after a change."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest

from imagelake.lake.suppression import SuppressionList, Suppressions, hash_of, suppressions
from imagelake.run.aws import client
from imagelake.run.errors import StorageDeniedError
from imagelake.run.posts import Post
from imagelake.sources import Reject
from tests.support.factories import item, media, post, result
from tests.support.fake_lake import SUPPRESSION_KEY, SUPPRESSIONS, Lake
from tests.support.watched_calls import watch

ALICE = ("author", "bluesky", "did:plc:alice")
BOB_MEDIA = ("media", "bluesky/bob/1/0")
KEY = b"a key"


def listed(*names: tuple[str, ...]) -> SuppressionList:
    return SuppressionList(KEY, frozenset(hash_of(KEY, *name) for name in names))


def test_hash_is_an_hmac_of_json() -> None:
    """HMAC-SHA-256: https://www.rfc-editor.org/rfc/rfc2104"""
    expected = hmac.new(KEY, b'["author", "x", "1"]', hashlib.sha256).hexdigest()
    assert hash_of(KEY, "author", "x", "1") == expected
    assert hash_of(b"another key", "author", "x", "1") != expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("author", "x", "1"), ("author", "mastodon", "1")),
        (("post", "x", "1", "23"), ("post", "x", "12", "3")),
        (("media", "x/1"), ("image", "x/1")),
        (("post", "x", "1", "2"), ("author", "x", "1")),
    ],
)
def test_ids_of_different_kinds_and_networks_do_not_meet(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    assert hash_of(KEY, *one) != hash_of(KEY, *other)


@pytest.mark.parametrize(
    "name",
    [
        ALICE,
        ("post", "bluesky", "did:plc:alice", "one"),
        ("media", "bluesky/alice/one/0"),
    ],
)
def test_item_post_and_row_are_covered_by_each_of_their_ids(name: tuple[str, ...]) -> None:
    one, other = item("one"), item("two").model_copy(update={"author_id": "did:plc:bob"})
    suppressed = listed(name)
    assert suppressed.covers_item(one)
    assert suppressed.covers_item(result(one))
    assert suppressed.covers("bluesky", post("one", media("one")))
    assert not suppressed.covers_item(other)
    assert not suppressed.covers_item(result(other))
    assert not suppressed.covers("x", post("two", author_id="did:plc:bob"))
    assert not SuppressionList().covers_item(one)


def test_row_is_covered_by_its_image() -> None:
    row = result(item("one"))
    assert row["raw_sha256"] is not None
    assert listed(("image", row["raw_sha256"])).covers_item(row)
    assert not listed(("image", row["raw_sha256"])).covers_item(item("one"))


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"post": {"author": {"did": "did:plc:alice"}}}, True),
        ({"reposts": [{"by": ["did:plc:alice"]}]}, True),
        ({"author": "did:plc:alice2", "text": "about did:plc:alice"}, False),
        (None, False),
        ("did:plc:alice", True),
        (7, False),
    ],
)
def test_reject_is_covered_if_it_names_an_author(raw: Any, expected: bool) -> None:
    assert listed(ALICE).covers("bluesky", Reject("one", "a reason", raw)) is expected
    assert not listed(ALICE).covers("x", Reject("one", "a reason", raw))


def test_reject_is_covered_by_the_author_that_its_adapter_knows() -> None:
    suppressed = listed(("author", "mastodon", "alice@server.example"))
    assert suppressed.covers("mastodon", Reject("1", "a reason", {"acct": "Alice"}, ("alice@server.example",)))
    assert not suppressed.covers("mastodon", Reject("1", "a reason", {"acct": "Alice"}, ("alice@other.example",)))


def test_reject_is_covered_as_a_post_of_its_author() -> None:
    suppressed = listed(("post", "x", "8", "17"))
    assert suppressed.covers("x", Reject("17", "a reason", {"id": "17", "author_id": 8}))
    assert not suppressed.covers("x", Reject("18", "a reason", {"id": "18", "author_id": 8}))
    assert not suppressed.covers("x", Reject(None, "a reason", {"author_id": 8}))


def test_list_is_read_again_only_after_a_change(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.suppress(ALICE)
    table = suppressions(SUPPRESSIONS, SUPPRESSION_KEY)
    calls = watch(monkeypatch, "GetItem", "Query", "GetSecretValue")
    assert table.read().has_author("bluesky", "did:plc:alice")
    table.read()
    assert calls == ["GetItem", "GetSecretValue", "Query", "GetItem"]
    assert suppressions(SUPPRESSIONS, SUPPRESSION_KEY) is table
    assert not table.read().has_media("bluesky/bob/1/0")
    lake.suppress(("media", "bluesky/bob/1/0"))
    assert table.read().has_media("bluesky/bob/1/0")
    assert table.read().has_author("bluesky", "did:plc:alice")


def test_empty_list_needs_no_key(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = watch(monkeypatch, "GetItem", "Query", "GetSecretValue")
    assert Suppressions(SUPPRESSIONS, SUPPRESSION_KEY).read() == SuppressionList()
    assert calls == ["GetItem"]


def test_list_that_cannot_be_read_is_no_empty_list(lake: Lake) -> None:
    with pytest.raises(StorageDeniedError, match="GetItem on nowhere"):
        Suppressions("nowhere", SUPPRESSION_KEY).read()
    lake.suppress(ALICE)
    client("secretsmanager").delete_secret(SecretId=SUPPRESSION_KEY, ForceDeleteWithoutRecovery=True)
    table = Suppressions(SUPPRESSIONS, SUPPRESSION_KEY)
    for _ in range(2):
        with pytest.raises(StorageDeniedError, match="the key of the suppression list"):
            table.read()


def test_table_has_no_names(lake: Lake) -> None:
    lake.suppress(ALICE, ("post", "bluesky", "did:plc:alice", "one"))
    stored = repr(client("dynamodb").scan(TableName=SUPPRESSIONS)["Items"])
    assert not [name for name in ("alice", "bluesky", "one'") if name in stored]


def test_long_list_has_several_pages(lake: Lake) -> None:
    lake.suppress(*(("media", f"x/{number}") for number in range(20)))
    read = Suppressions(SUPPRESSIONS, SUPPRESSION_KEY).read()
    assert all(read.has_media(f"x/{number}") for number in range(20))
    assert len(read.hashes) == 20


def test_post_of_an_author_with_odd_characters() -> None:
    odd = Post.model_validate(post("one").model_dump() | {"author_id": '\u56fe\u0000"]'})
    assert listed(("author", "rss", odd.author_id)).covers("rss", odd)


def test_names_that_are_added_again_stay_once(lake: Lake) -> None:
    lake.suppress(ALICE)
    table = Suppressions(SUPPRESSIONS, SUPPRESSION_KEY)
    table.add([ALICE, BOB_MEDIA], reason="opt_out", erasure="e-1")
    assert Suppressions(SUPPRESSIONS, SUPPRESSION_KEY).read().hashes == {
        hash_of(KEY, *ALICE),
        hash_of(KEY, *BOB_MEDIA),
    }
    items = client("dynamodb").scan(TableName=SUPPRESSIONS)["Items"]
    facts = sorted(item["reason"]["S"] for item in items if "reason" in item)
    assert facts == ["opt_out", "opt_out"]


def test_version_changes_after_the_hashes(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that dies in between begins again; no worker has read a version without its hashes."""
    lake.suppress()
    calls = watch(monkeypatch, "PutItem", "UpdateItem", "GetSecretValue")
    Suppressions(SUPPRESSIONS, SUPPRESSION_KEY).add([ALICE, BOB_MEDIA])
    assert calls == ["GetSecretValue", "PutItem", "PutItem", "UpdateItem"]


def test_listed_name_keeps_the_facts_of_its_first_erasure(lake: Lake) -> None:
    lake.suppress()
    table = Suppressions(SUPPRESSIONS, SUPPRESSION_KEY)
    name = ("author", "bluesky", "did:plc:alice")
    table.add([name], reason="opt_out", erasure="first")
    assert table.add([name, ("media", "x/1")], reason="takedown", erasure="second") == 2
    items = client("dynamodb").scan(TableName=SUPPRESSIONS)["Items"]
    facts = sorted((one["erasure"]["S"], one["reason"]["S"]) for one in items if "erasure" in one)
    assert facts == [("first", "opt_out"), ("second", "takedown")]
