"""The media index: a media item belongs to the batch that claimed it first."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from imagelake.lake.media_index import MediaIndex
from imagelake.run.errors import ReconciliationError, StorageDeniedError, StorageUnavailableError
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


def test_get_many_when_there_are_more_than_fit_one_call(lake: Lake) -> None:
    ids = [str(number) for number in range(120)]
    lake.media_index.claim(ids, "one")
    found = lake.media_index.get_many([*ids, *ids, "unknown"])
    assert sorted(found) == sorted(ids)
    assert lake.media_index.get_many([]) == {}


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
    with pytest.raises(StorageUnavailableError, match="keys are still unprocessed"):
        lake.media_index.get_many([str(number) for number in range(50)])


def test_error_when_there_is_no_table(lake: Lake) -> None:
    with pytest.raises(StorageDeniedError, match="no-such-table"):
        MediaIndex("no-such-table").claim(["a"], "one")
