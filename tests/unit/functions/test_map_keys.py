"""Map Keys: the media index leads from a raw file to its row and back, and the batch is closed last."""

from __future__ import annotations

from typing import Any

import pytest

from imagelake.lake import object_keys
from imagelake.lake.rows import TRANSFORM_VERSION, Status
from imagelake.run.errors import ObjectMissingError, ReconciliationError
from imagelake.run.models import PlannedBatch
from map_keys.app import handler
from tests.support.factories import RUN, Context, event, item, keep_plan, keep_rows, plan, result
from tests.support.fake_bus import Bus
from tests.support.fake_lake import BUCKET, Lake
from tests.support.sent_metrics import sent_metrics


def map_keys(planned: PlannedBatch) -> dict[str, Any]:
    answer: dict[str, Any] = handler(event("map_keys", batch=planned.batch), Context())
    return answer


def test_mapping_leads_from_raw_image_to_row_and_back(lake: Lake) -> None:
    planned = keep_rows(lake, plan(item("one"), item("two")))
    assert map_keys(planned) == {"mapped": 2}
    two = lake.mapping()[item("two").media_id]
    row = lake.bucket.get_lines(object_keys.rows(planned.batch))[1]
    assert two == {
        "media_id": item("two").media_id,
        "source": "bluesky",
        "feed": "bluesky:alice.example.com",
        "author_id": "did:plc:alice",
        "status": "ok",
        "raw_key": row["raw_key"],
        "raw_sha256": row["raw_sha256"],
        "run_id": "daily-2026-04-01",
        "transform_version": TRANSFORM_VERSION,
        "dt": "2026-04-01",
        "batch_id": planned.batch.batch_id,
        "processed_key": object_keys.parquet(planned.batch),
        "row": 1,
    }
    assert lake.indexed("by-raw-sha256", "raw_sha256", row["raw_sha256"]) == [item("two").media_id]
    assert lake.indexed("by-author-id", "author_id", "did:plc:alice") == sorted(one.media_id for one in planned.items)


def test_mapping_of_every_status(lake: Lake) -> None:
    planned = plan(*(item(status) for status in Status))
    rows = [result(one, status) for one, status in zip(planned.items, Status, strict=True)]
    rows[1]["duplicate_of"] = planned.items[0].media_id
    map_keys(keep_rows(lake, planned, *rows))
    mapping = lake.mapping()
    assert [mapping[one.media_id]["status"] for one in planned.items] == list(Status)
    duplicate, rejected, failed = (mapping[one.media_id] for one in planned.items[1:])
    assert duplicate["duplicate_of"] == planned.items[0].media_id
    assert (rejected["error_code"], failed["error_code"]) == ("corrupt", "not_found")
    assert "raw_key" not in failed


def test_retried_item_keeps_its_place(lake: Lake) -> None:
    planned = plan(item("one"), item("two"))
    map_keys(keep_rows(lake, planned, result(item("one")), result(item("two"), Status.FAILED)))
    batch = planned.batch.model_copy(update={"items": 1, "retried_by": "retry-1"})
    again = planned.model_copy(update={"batch": batch, "items": [item("two")]})
    assert map_keys(keep_rows(lake, again)) == {"mapped": 1}
    one, two = (lake.mapping()[one.media_id] for one in planned.items)
    assert (one["row"], two["row"], two["status"]) == (0, 1, "ok")
    assert "error_code" not in two
    assert two["processed_key"] == object_keys.parquet(planned.batch)
    assert lake.bucket.list("open/") == []


def test_batch_is_closed(lake: Lake) -> None:
    planned = keep_rows(lake, plan(item("one")))
    map_keys(planned)
    assert lake.bucket.list("open/") == []
    assert lake.bucket.exists(object_keys.rows(planned.batch))


def test_closed_batch_is_published_and_counted(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bus = Bus()
    monkeypatch.setattr("imagelake.run.events._client", lambda: bus)
    planned = keep_rows(lake, plan(item("one"), item("two")))
    map_keys(planned)
    ((name, detail),) = bus.published
    assert detail.pop("event_id")
    assert (name, detail) == (
        "Batch Written",
        {
            "version": "1",
            "run_id": RUN.run_id,
            "dt": RUN.dt,
            "feed_id": planned.batch.feed_id,
            "source": "bluesky",
            "batch_id": planned.batch.batch_id,
            "bucket": BUCKET,
            "key": object_keys.parquet(planned.batch),
            "rows": 2,
        },
    )
    assert sent_metrics(capsys) == {"MediaMapped": 2}


def test_same_call_again_leaves_the_same_items(lake: Lake) -> None:
    planned = keep_rows(lake, plan(item("one"), item("two")))
    answer, stored = map_keys(planned), lake.stored()
    assert map_keys(planned) == answer
    assert lake.stored() == stored


def test_closed_without_items_when_there_are_no_rows(lake: Lake) -> None:
    planned = keep_plan(lake, plan(item("theirs")))
    lake.bucket.put_lines(object_keys.rows(planned.batch), [])
    assert map_keys(planned) == {"mapped": 0}
    assert (lake.bucket.list("open/"), lake.mapping()) == ([], {})


def test_error_when_an_item_is_of_another_batch(lake: Lake) -> None:
    lake.media_index.claim([item("two").media_id], "another batch")
    planned = keep_rows(lake, plan(item("one"), item("two")))
    with pytest.raises(ReconciliationError, match=f"{item('two').media_id} belongs to another batch"):
        map_keys(planned)
    assert lake.mapping()[item("two").media_id]["batch_id"] == "another batch"
    assert lake.bucket.exists(object_keys.open_batch(planned.batch))


def test_error_leaves_the_batch_open_when_nothing_is_staged(lake: Lake) -> None:
    planned = keep_plan(lake, plan(item("one")))
    with pytest.raises(ObjectMissingError):
        map_keys(planned)
    assert lake.bucket.exists(object_keys.open_batch(planned.batch))
