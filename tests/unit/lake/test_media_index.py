"""The media index: a media item belongs to the batch that claimed it first, and a raw image to its first owner."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from imagelake.lake.media_index import MediaIndex
from imagelake.run.errors import ReconciliationError, StorageDeniedError, StorageUnavailableError
from imagelake.sources import SOURCES
from tests.support.fake_lake import Lake


def finished(media_id: str, batch_id: str, **more: Any) -> dict[str, Any]:
    return {"media_id": media_id, "batch_id": batch_id, "status": "ok", "author_id": "alice", **more}


def test_claim_when_media_are_free(lake: Lake) -> None:
    assert lake.media_index.claim(["a", "b"], "one") == {"a", "b"}
    assert lake.mapping()["a"] == {"media_id": "a", "status": "claimed", "batch_id": "one"}


def test_claim_when_another_batch_has_some(lake: Lake) -> None:
    lake.media_index.claim(["a"], "one")
    assert lake.media_index.claim(["a", "b"], "two") == {"b"}
    assert lake.mapping()["a"]["batch_id"] == "one"


def test_claim_when_the_batch_of_a_claim_is_not_open(lake: Lake) -> None:
    lake.media_index.claim(["a", "b", "c"], "dead")
    lake.media_index.claim(["d"], "open")
    lake.media_index.complete([finished("c", "dead")])
    assert lake.media_index.claim(["a", "b", "c", "d"], "two", lambda: {"open"}) == {"a", "b"}
    batches = {media_id: mapped["batch_id"] for media_id, mapped in lake.mapping().items()}
    assert batches == {"a": "two", "b": "two", "c": "dead", "d": "open"}


def test_claim_that_changes_while_batches_are_listed_is_kept(lake: Lake) -> None:
    lake.media_index.claim(["a", "b"], "one")

    def finish_one() -> set[str]:
        lake.media_index.complete([finished("a", "one")])
        lake.media_index.claim(["b"], "two", set)
        return set()

    assert lake.media_index.claim(["a", "b"], "two", finish_one) == {"b"}
    assert lake.mapping()["a"]["status"] == "ok"


def test_batches_are_not_listed_without_claims_of_others(lake: Lake) -> None:
    lake.media_index.claim(["a"], "one")
    lake.media_index.complete([finished("a", "one")])
    assert lake.media_index.claim(["a", "b"], "two", lambda: pytest.fail("listed")) == {"b"}


def test_claim_again_keeps_what_is_finished(lake: Lake) -> None:
    lake.media_index.claim(["a"], "one")
    lake.media_index.complete([finished("a", "one")])
    assert lake.media_index.claim(["a"], "one") == {"a"}
    assert lake.mapping()["a"]["status"] == "ok"


def test_claim_when_many_batches_want_the_same(lake: Lake) -> None:
    ids = [str(number) for number in range(10)]
    with ThreadPoolExecutor(4) as pool:
        claims = list(pool.map(lambda batch: lake.media_index.claim(ids, batch), ["one", "two", "three", "four"]))
    assert sorted(media_id for claim in claims for media_id in claim) == ids


def test_complete_is_the_same_when_done_again(lake: Lake) -> None:
    item = finished("a", "one", row=3, error_code=None)
    lake.media_index.complete([item])
    lake.media_index.complete([item])
    assert lake.mapping() == {"a": finished("a", "one", row=3)}


def test_complete_when_another_batch_has_it(lake: Lake) -> None:
    lake.media_index.claim(["a"], "one")
    with pytest.raises(ReconciliationError, match="media item a belongs to another batch than two"):
        lake.media_index.complete([finished("a", "two")])
    assert lake.mapping()["a"]["batch_id"] == "one"


def owner_of(lake: Lake, sha256: str) -> tuple[str, str]:
    """The owner and the state of a raw image."""
    entry = lake.owners()[sha256]
    return entry["owner"], entry["state"]


def test_first_item_owns_a_raw_image(lake: Lake) -> None:
    assert lake.media_index.own({"aa": "one", "bb": "two"}) == {"aa": "one", "bb": "two"}
    assert lake.media_index.own({"aa": "three", "cc": "four"}) == {"aa": "one", "cc": "four"}
    assert {sha256: owner_of(lake, sha256) for sha256 in lake.owners()} == {
        "aa": ("one", "held"), "bb": ("two", "held"), "cc": ("four", "held")
    }  # fmt: skip


def test_owner_asks_again(lake: Lake) -> None:
    lake.media_index.own({"aa": "one"})
    entries = lake.owners()
    assert lake.media_index.own({"aa": "one"}) == {"aa": "one"}
    assert lake.owners() == entries


def test_former_owner_loses_a_raw_image(lake: Lake) -> None:
    lake.media_index.own({"aa": "one"})
    assert lake.media_index.own({"aa": "two"}, instead_of={"aa": "one"}) == {"aa": "two"}
    assert owner_of(lake, "aa") == ("two", "held")


def test_owner_stays_when_another_one_is_to_lose_the_image(lake: Lake) -> None:
    lake.media_index.own({"aa": "one"})
    assert lake.media_index.own({"aa": "three"}, instead_of={"aa": "two"}) == {"aa": "one"}
    assert owner_of(lake, "aa") == ("one", "held")


def test_new_owner_that_asks_again_is_not_its_own_duplicate(lake: Lake) -> None:
    lake.media_index.own({"aa": "one"})
    lake.media_index.own({"aa": "two"}, instead_of={"aa": "one"})
    assert lake.media_index.own({"aa": "two"}) == {"aa": "two"}


def test_rejected_item_owns_no_image_but_its_image_leads_to_it(lake: Lake) -> None:
    lake.media_index.note_rejected({"aa": "bad"})
    assert owner_of(lake, "aa") == ("bad", "rejected")
    assert lake.media_index.own({"aa": "good"}) == {"aa": "good"}
    assert owner_of(lake, "aa") == ("good", "held")


def test_rejected_item_takes_no_image_from_an_owner(lake: Lake) -> None:
    lake.media_index.own({"aa": "good"})
    lake.media_index.note_rejected({"aa": "bad"})
    assert owner_of(lake, "aa") == ("good", "held")


def test_image_leads_to_the_first_rejected_item(lake: Lake) -> None:
    lake.media_index.note_rejected({"aa": "one"})
    lake.media_index.note_rejected({"aa": "two"})
    assert owner_of(lake, "aa") == ("one", "rejected")


def race(lake: Lake, items: list[str], **options: Any) -> str:
    """Let many items ask for one raw image at the same time; returns the owner that all of them got."""
    with ThreadPoolExecutor(len(items)) as pool:
        owners = set(pool.map(lambda media_id: lake.media_index.own({"aa": media_id}, **options)["aa"], items))
    (owner,) = owners
    assert owner_of(lake, "aa") == (owner, "held")
    return owner


def test_one_of_many_items_owns_an_image(lake: Lake) -> None:
    items = [str(number) for number in range(16)]
    assert race(lake, items) in items


def test_one_of_many_items_takes_the_place_of_a_former_owner(lake: Lake) -> None:
    lake.media_index.own({"aa": "former"})
    items = [str(number) for number in range(16)]
    assert race(lake, items, instead_of={"aa": "former"}) in items


def test_one_of_many_items_takes_the_place_of_a_rejected_one(lake: Lake) -> None:
    lake.media_index.note_rejected({"aa": "bad"})
    items = [str(number) for number in range(16)]
    assert race(lake, items) in items


def test_raw_image_is_no_media_item(lake: Lake) -> None:
    lake.media_index.own({"aa": "one"})
    assert lake.mapping() == {}
    assert "sha256" not in SOURCES, "media ids start with the name of a network, except for those of a stream"


def test_get_many_when_there_are_more_than_fit_one_call(lake: Lake) -> None:
    ids = [str(number) for number in range(120)]
    lake.media_index.claim(ids, "one")
    found = lake.media_index.get_many([*ids, *ids, "unknown"])
    assert sorted(found) == sorted(ids)
    assert lake.media_index.get_many([]) == {}


def test_get_many_is_consistent_unless_a_stale_read_is_enough(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    class Consistent(Throttled):
        def batch_get_item(self, *, RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803
            asked.extend(wanted["ConsistentRead"] for wanted in RequestItems.values())
            return super().batch_get_item(RequestItems=RequestItems)

    asked: list[bool] = []
    monkeypatch.setattr(lake.media_index, "_dynamo", Consistent(lake.media_index._dynamo, 0))
    lake.media_index.get_many(["a"])
    lake.media_index.get_many(["a"], consistent=False)
    assert asked == [True, False]


class Throttled:
    """A table that reads one key per call, and leaves the others unprocessed, for some calls."""

    def __init__(self, dynamo: Any, times: int) -> None:
        self._dynamo = dynamo
        self._times = times

    def batch_get_item(self, *, RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803
        if not self._times:
            answer: dict[str, Any] = self._dynamo.batch_get_item(RequestItems=RequestItems)
            return answer
        self._times -= 1
        ((table, wanted),) = RequestItems.items()
        first, rest = wanted["Keys"][:1], wanted["Keys"][1:]
        answer = self._dynamo.batch_get_item(RequestItems={table: wanted | {"Keys": first}})
        return answer | {"UnprocessedKeys": {table: wanted | {"Keys": rest}}}


def test_get_many_when_the_table_is_throttled(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.media_index.claim(["a", "b", "c"], "one")
    monkeypatch.setattr(lake.media_index, "_dynamo", Throttled(lake.media_index._dynamo, 2))
    assert sorted(lake.media_index.get_many(["a", "b", "c"])) == ["a", "b", "c"]


def test_error_when_the_table_stays_throttled(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lake.media_index, "_dynamo", Throttled(lake.media_index._dynamo, 99))
    with pytest.raises(StorageUnavailableError, match="keys are still unprocessed after 8 tries"):
        lake.media_index.get_many([str(number) for number in range(50)])


def test_error_when_there_is_no_table(lake: Lake) -> None:
    with pytest.raises(StorageDeniedError, match="no-such-table"):
        MediaIndex("no-such-table").claim(["a"], "one")


def test_only_claims_of_the_batch_itself_are_deleted(lake: Lake) -> None:
    lake.media_index.claim(["a", "b", "c"], "one")
    lake.media_index.claim(["d"], "two")
    lake.media_index.complete([finished("b", "one"), finished("c", "one", processed_key="lake/1")])
    retried = lake.mapping()["c"] | {"status": "claimed", "retried_by": "run-2"}
    lake.media_index.complete([retried | {"media_id": "e"}])
    assert lake.media_index.unclaim("abcdef", "one") == {"a"}
    assert lake.media_index.unclaim("abcdef", "one") == set()
    assert sorted(lake.mapping()) == ["b", "c", "d", "e"]


def test_promoted_duplicate_is_no_duplicate_any_more(lake: Lake) -> None:
    rows = [finished(name, "one", status="duplicate", duplicate_of="owner") for name in "ab"]
    lake.media_index.complete(rows)
    lake.media_index.promote("a", "somebody else")
    lake.media_index.promote("missing", "owner")
    assert lake.mapping() == {row["media_id"]: row for row in rows}
    for _ in range(2):
        lake.media_index.promote("a", "owner")
        promoted = {**rows[0], "status": "ok"}
        del promoted["duplicate_of"]
        assert lake.mapping() == {"a": promoted, "b": rows[1]}
        assert lake.media_index.duplicates_of("owner") == []


@pytest.mark.parametrize("original", ["new", None])
def test_only_the_former_original_is_replaced(lake: Lake, original: str | None) -> None:
    rows = {
        name: finished(name, "one", duplicate_of=of, dt="2026-04-01") for name, of in (("a", "old"), ("b", "other"))
    }
    lake.media_index.complete([*rows.values()])
    for media_id in ("a", "a", "b", "missing"):
        lake.media_index.relink(media_id, "old", original)
    changed = {name: value for name, value in (rows["a"] | {"duplicate_of": original}).items() if value is not None}
    assert lake.mapping() == {"a": changed, "b": rows["b"]}


# ---- Changes of a rebuild --------------------------------------------------------------------------------------------


def test_entry_is_replaced_if_its_status_and_its_original_are_the_same(lake: Lake) -> None:
    before = finished("a", "one", duplicate_of="b", feed="x")
    lake.media_index.complete([before])
    after = {name: value for name, value in before.items() if name != "duplicate_of"} | {"status": "rejected"}
    assert lake.media_index.replace(before, after)
    assert lake.mapping()["a"] == after


@pytest.mark.parametrize("changed", [{"status": "duplicate"}, {"duplicate_of": None}, {"duplicate_of": "c"}], ids=str)
def test_entry_that_has_changed_is_not_replaced(lake: Lake, changed: dict[str, Any]) -> None:
    before = finished("a", "one", duplicate_of="b")
    lake.media_index.complete([before | changed])
    assert not lake.media_index.replace(before, before | {"status": "rejected"})
    assert lake.mapping()["a"] == {name: value for name, value in (before | changed).items() if value is not None}


def test_entry_that_is_gone_is_not_replaced(lake: Lake) -> None:
    before = finished("a", "one")
    assert not lake.media_index.replace(before, before)
    assert lake.mapping() == {}


def test_raw_image_is_disowned_only_by_the_item_that_holds_it(lake: Lake) -> None:
    lake.media_index.own({"1": "a", "2": "b"})
    lake.media_index.note_rejected({"3": "c"})
    before = lake.owners()
    lake.media_index.disown({"1": "a", "2": "another", "3": "c", "4": "d"})
    assert lake.owners() == before | {"1": before["1"] | {"state": "rejected"}}
    # Whoever has the image next becomes its owner.
    assert lake.media_index.own({"1": "z"}) == {"1": "z"}
