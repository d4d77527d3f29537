"""Transform: every item of a batch becomes one row, whatever its URL leads to."""

from __future__ import annotations

import gc
import hashlib
import io
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image

import map_keys.app
import write_parquet.app
from imagelake.imaging import Options, process
from imagelake.lake import object_keys
from imagelake.lake.rows import COLUMNS, Status, tombstone
from imagelake.lake.staging import Staging
from imagelake.lake.unmapping import Unmapping
from imagelake.run.errors import BatchDeadlineError, ObjectMissingError, StorageUnavailableError
from imagelake.run.image_option_models import ImageOptions
from imagelake.run.models import PlannedBatch
from tests.support.factories import Context, decide, event, item, jpeg, keep_file, keep_plan, plan, result
from tests.support.fake_lake import IMAGE_KEYS, Lake
from tests.support.private_parts import calls_of_aws
from tests.support.web_server import Answer, WebServer
from transform.app import handler
from transform.batch import transform_batch
from transform.comparisons import PHASH_BITS
from transform.results import Result
from transform.settings import TransformSettings

# The calls that can write an object.
WRITES = ("PutObject", "CopyObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload")
SAMPLES = Path(__file__).resolve().parents[3] / "samples"


def transform(planned: PlannedBatch, context: Context | None = None) -> dict[str, int]:
    counts: dict[str, int] = handler(event("transform", batch=planned.batch), context or Context())
    return counts


def rows_of(lake: Lake, planned: PlannedBatch) -> list[Any]:
    return Staging(lake.bucket, planned.batch).read()[0]


def time_for(items: int) -> Context:
    """The context of a call that has the time to begin so many items; threads begin them in the order of the plan."""
    seconds = iter([300.0] * items + [10.0] * 100)
    return Context(seconds=lambda: next(seconds))


def open_image(row: Any) -> Image.Image:
    return Image.open(io.BytesIO(row["image"]["bytes"]))


def test_raw_image_is_never_written_without_if_none_match(
    lake: Lake, website: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    puts: list[dict[str, Any]] = []
    client_class, method = calls_of_aws()
    call = getattr(client_class, method)

    def watch(client: Any, operation: str, arguments: dict[str, Any]) -> Any:
        if operation in WRITES and arguments["Key"].startswith("raw/images/"):
            puts.append({"operation": operation, **arguments})
        return call(client, operation, arguments)

    monkeypatch.setattr(client_class, method, watch)
    answers: dict[str, bytes | Answer] = {"ok": jpeg(), "same": jpeg(), "bad": b"<html>", "gone": Answer(b"", 404)}
    for dt in ("2026-04-01", "2026-04-02"):
        items = [item(f"{name}-{dt}", website.put(f"/{name}", answer)) for name, answer in answers.items()]
        transform(keep_plan(lake, plan(*items, dt=dt)))
    assert [(put["operation"], put["IfNoneMatch"]) for put in puts] == [("PutObject", "*")] * 4


def test_row_when_the_image_is_ok(lake: Lake, website: WebServer) -> None:
    body = jpeg("teal", (1024, 512))
    planned = keep_plan(lake, plan(item("one", website.put("/one", body))))
    assert transform(planned) == {"ok": 1, "duplicate": 0, "rejected": 0, "failed": 0, "erased": 0}
    (row,) = rows_of(lake, planned)
    sha256 = hashlib.sha256(body).hexdigest()
    assert list(row) == [column.name for column in COLUMNS]
    assert {name: row[name] for name in ("media_id", "run_id", "dt", "status", "error_code", "duplicate_of")} == {
        "media_id": "bluesky/alice/one/0",
        "run_id": "daily-2026-04-01",
        "dt": "2026-04-01",
        "status": "ok",
        "error_code": None,
        "duplicate_of": None,
    }
    assert (row["raw_key"], row["raw_sha256"], row["raw_bytes"]) == (object_keys.raw_image(sha256), sha256, len(body))
    assert lake.bucket.get(row["raw_key"]) == body
    assert (row["content_type"], row["original_width"], row["original_height"]) == ("image/jpeg", 1024, 512)
    assert (row["width"], row["height"]) == (512, 256)
    assert len(row["mean_rgb"]) == 3
    assert all(row[name] is not None for name in ("brightness", "phash", "thumbhash", "dominant_colors"))
    with open_image(row) as small:
        assert (small.format, small.size) == ("JPEG", (512, 256))


def test_rows_keep_the_order_of_the_plan(lake: Lake, website: WebServer) -> None:
    colors = ["red", "green", "blue", "white", "black", "teal"]
    items = [item(color, website.put(f"/{color}", jpeg(color))) for color in colors]
    planned = keep_plan(lake, plan(*items))
    transform(planned)
    rows = rows_of(lake, planned)
    assert [row["media_id"] for row in rows] == [one.media_id for one in items]
    for row, expected in zip(rows, [(254, 0, 0), (0, 128, 1)], strict=False):
        with open_image(row) as small:
            assert small.getpixel((5, 5)) == pytest.approx(expected, abs=3)


def test_row_when_the_image_cannot_be_downloaded(lake: Lake, website: WebServer) -> None:
    planned = keep_plan(lake, plan(item("gone", f"{website.origin}/gone?sig=s3cret")))
    assert transform(planned) == {"ok": 0, "duplicate": 0, "rejected": 0, "failed": 1, "erased": 0}
    (row,) = rows_of(lake, planned)
    assert (row["status"], row["error_code"]) == ("failed", "not_found")
    assert "404" in row["error_message"]
    assert "s3cret" not in row["error_message"]
    assert row["raw_key"] is row["image"] is row["width"] is row["phash"] is None


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "empty"),
        (b"<html>hello</html>", "not_an_image"),
        (jpeg()[:400], "truncated"),
        (jpeg("red", (4, 4)), "too_small"),
    ],
)
def test_row_when_the_image_is_not_acceptable(lake: Lake, website: WebServer, body: bytes, code: str) -> None:
    planned = keep_plan(lake, plan(item("bad", website.put("/bad", body))))
    assert transform(planned)["rejected"] == 1
    (row,) = rows_of(lake, planned)
    assert (row["status"], row["error_code"], row["image"]) == ("rejected", code, None)
    assert lake.bucket.get(row["raw_key"]) == body


def test_row_when_the_url_is_not_allowed(lake: Lake, website: WebServer) -> None:
    planned = keep_plan(lake, plan(item("inside", "http://169.254.169.254/latest/meta-data/")))
    transform(planned)
    assert rows_of(lake, planned)[0]["error_code"] == "url_refused"


def test_first_item_of_the_plan_has_the_image_that_others_of_its_batch_have_too(lake: Lake, website: WebServer) -> None:
    url = website.put("/same", jpeg())
    planned = keep_plan(lake, plan(item("a", url), item("b", url), item("c", url)))
    assert transform(planned) == {"ok": 1, "duplicate": 2, "rejected": 0, "failed": 0, "erased": 0}
    rows = rows_of(lake, planned)
    first, *copies = rows
    assert [row["status"] for row in rows] == ["ok", "duplicate", "duplicate"]
    assert {row["duplicate_of"] for row in copies} == {first["media_id"]}
    assert {row["raw_key"] for row in rows} == {first["raw_key"]}
    assert all(row["image"] is row["width"] is None and row["phash"] == first["phash"] for row in copies)


def test_duplicate_in_another_batch(lake: Lake, website: WebServer) -> None:
    url = website.put("/same", jpeg())
    transform(keep_plan(lake, plan(item("первый", url))))
    later = keep_plan(lake, plan(item("later", url), dt="2026-04-02"))
    assert transform(later)["duplicate"] == 1
    assert rows_of(lake, later)[0]["duplicate_of"] == "bluesky/alice/первый/0"


@pytest.mark.slow
def test_near_duplicate_keeps_its_image_and_names_the_original(lake: Lake, website: WebServer) -> None:
    photo = (SAMPLES / "photos" / "chelsea-cat.jpg").read_bytes()
    with Image.open(io.BytesIO(photo)) as image:
        out = io.BytesIO()
        image.resize((image.width // 2, image.height // 2)).save(out, "WEBP", quality=60)
    transform(keep_plan(lake, plan(item("cat", website.put("/cat", photo)))))
    later = [item("small", website.put("/small", out.getvalue())), item("again", website.put("/again", photo))]
    planned = keep_plan(lake, plan(*later, dt="2026-04-02"))
    assert transform(planned) == {"ok": 1, "duplicate": 1, "rejected": 0, "failed": 0, "erased": 0}
    near, exact = rows_of(lake, planned)
    assert (near["duplicate_of"], exact["duplicate_of"]) == (item("cat").media_id,) * 2
    assert exact["duplicate_distance"] == 0
    assert near["duplicate_distance"] <= PHASH_BITS
    with open_image(near) as small:
        assert small.format == "JPEG"
    stored = lake.stored()
    lake.bucket.delete(object_keys.staged(planned.batch))
    transform(planned)
    assert lake.stored() == stored


def test_media_of_another_batch_are_left_out(lake: Lake, website: WebServer) -> None:
    url = website.put("/one", jpeg())
    planned = keep_plan(lake, plan(item("ours", url), item("theirs", url)))
    theirs = keep_plan(lake, plan(item("theirs", url), feed_id="another")).batch.batch_id
    lake.media_index.claim([item("theirs").media_id], theirs)
    assert transform(planned)["ok"] == 1
    assert [row["media_id"] for row in rows_of(lake, planned)] == [item("ours").media_id]
    assert lake.mapping() == {
        item("ours").media_id: {
            "media_id": item("ours").media_id, "status": "claimed", "batch_id": planned.batch.batch_id
        },
        item("theirs").media_id: {
            "media_id": item("theirs").media_id, "status": "claimed", "batch_id": theirs
        },
    }  # fmt: skip


def test_no_rows_when_all_media_are_of_another_batch(lake: Lake, website: WebServer) -> None:
    theirs = keep_plan(lake, plan(item("theirs"), feed_id="another"))
    lake.media_index.claim([item("theirs").media_id], theirs.batch.batch_id)
    planned = keep_plan(lake, plan(item("theirs")))
    assert sum(transform(planned).values()) == 0
    assert (rows_of(lake, planned), website.asked) == ([], [])


def test_same_call_again_leaves_the_same_objects(lake: Lake, website: WebServer) -> None:
    url = website.put("/same", jpeg())
    planned = keep_plan(lake, plan(item("a", url), item("b", url), item("gone", f"{website.origin}/gone")))
    counts, stored = transform(planned), lake.stored()
    assert transform(planned) == counts
    assert lake.stored() == stored


def test_same_rows_when_it_was_killed_before_its_last_act(lake: Lake, website: WebServer) -> None:
    url = website.put("/same", jpeg())
    planned = keep_plan(lake, plan(item("a", url), item("b", url), item("c", website.put("/c", jpeg("red")))))
    counts, stored = transform(planned), lake.stored()
    lake.bucket.delete(object_keys.staged(planned.batch))
    assert transform(planned) == counts
    assert lake.stored() == stored


def test_same_rows_when_urls_expire_before_the_next_try(lake: Lake, website: WebServer) -> None:
    planned = keep_plan(lake, plan(item("one", website.put("/one", jpeg()))))
    counts, stored = transform(planned), lake.stored()
    website.put("/one", Answer(b"gone", 410))
    assert transform(planned) == counts == {"ok": 1, "duplicate": 0, "rejected": 0, "failed": 0, "erased": 0}
    assert lake.stored() == stored


@pytest.mark.slow
def test_error_when_time_runs_out(lake: Lake, website: WebServer) -> None:
    items = [item(f"p{number}", website.put(f"/{number}", jpeg())) for number in range(20)]
    planned = keep_plan(lake, plan(*items))
    with pytest.raises(BatchDeadlineError, match=rf"{planned.batch.batch_id}: out of time after 5 of 20 items"):
        transform(planned, time_for(5))
    assert object_keys.staged(planned.batch) not in lake.bucket.list("work/")
    assert len(website.asked) == 5
    assert sum(transform(planned).values()) == 20


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["fast", "quality"])
@pytest.mark.parametrize("tensor", ["uint8", "float32"])
def test_tensor_and_preset_are_those_of_the_plan(lake: Lake, website: WebServer, tensor: Any, preset: Any) -> None:
    bodies = [gradient(640, 480), gradient(300, 700)]
    items = [item(f"p{number}", website.put(f"/{number}", body)) for number, body in enumerate(bodies)]
    asked = plan(*items, item("gone", f"{website.origin}/gone")).model_copy(update={"tensor": tensor, "preset": preset})
    planned = keep_plan(lake, asked)
    with pytest.raises(BatchDeadlineError):
        transform(planned, time_for(1))
    transform(planned)
    write_parquet.app.handler(event("write_parquet", batch=planned.batch), Context())
    table = pq.read_table(io.BytesIO(lake.bucket.get(object_keys.parquet(planned.batch)))).to_pylist()
    for row, body in zip(table, bodies, strict=False):
        made = process(body, Options(preset=preset, tensor=tensor))
        assert (row["tensor"], row["image"]["bytes"]) == (made.tensor, made.image)
    assert table[2]["tensor"] is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "sizes"),
    [
        ({}, [(512, 384), (219, 512), (100, 80)]),
        ({"image_size": 128, "encode_quality": 30}, [(128, 96), (55, 128), (100, 80)]),
        ({"image_size": 128, "resize_mode": "center_crop"}, [(128, 128), (128, 128), (100, 80)]),
        ({"image_size": 128, "resize_mode": "keep_ratio"}, [(171, 128), (128, 299), (100, 80)]),
        ({"image_size": 256, "resize_mode": "border"}, [(256, 256)] * 3),
        ({"image_size": 200, "resize_only_if_bigger": False}, [(200, 150), (86, 200), (200, 160)]),
        ({"resize_mode": "no", "preset": "quality"}, [(640, 480), (300, 700), (100, 80)]),
        ({"image_size": 128, "min_image_size": 200}, [(128, 96), (55, 128), "too_small"]),
        ({"max_image_area": 300_000}, ["too_many_pixels", (219, 512), (100, 80)]),
        ({"max_aspect_ratio": 2.0}, [(512, 384), "odd_aspect_ratio", (100, 80)]),
    ],
)
def test_rows_say_the_image_options_of_the_plan_and_have_their_images(
    lake: Lake, website: WebServer, options: dict[str, Any], sizes: list[Any]
) -> None:
    """The right sizes follow from the sizes of the originals; 384 is 480 * 512 / 640."""
    bodies = [gradient(640, 480), gradient(300, 700), gradient(100, 80)]
    items = [item(f"p{number}", website.put(f"/{number}", body)) for number, body in enumerate(bodies)]
    asked = plan(*items, item("gone", f"{website.origin}/gone")).model_copy(update=options)
    planned = keep_plan(lake, asked)
    transform(planned)
    rows = rows_of(lake, planned)
    assert [row["error_code"] or (row["width"], row["height"]) for row in rows] == [*sizes, "not_found"]
    expected = {**ImageOptions().image_options, **options}
    assert [json.loads(row["image_options"]) for row in rows] == [expected] * 4
    for row, body in zip(rows, bodies, strict=False):
        if row["image"] is not None:
            assert row["image"]["bytes"] == process(body, Options(**options)).image


def test_there_is_no_tensor_unless_asked_for(lake: Lake, website: WebServer) -> None:
    planned = keep_plan(lake, plan(item("one", website.put("/one", jpeg()))))
    transform(planned)
    write_parquet.app.handler(event("write_parquet", batch=planned.batch), Context())
    (row,) = pq.read_table(io.BytesIO(lake.bucket.get(object_keys.parquet(planned.batch)))).to_pylist()
    assert row["tensor"] is None


def gradient(width: int, height: int) -> bytes:
    image = Image.linear_gradient("L").resize((width, height)).convert("RGB")
    buffer = io.BytesIO()
    image.save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.slow
def test_later_tries_go_on_from_what_was_made(lake: Lake, website: WebServer) -> None:
    colors = ["red", "green", "blue", "white", "black", "teal", "navy", "olive"]
    items = [item(color, website.put(f"/{color}", jpeg(color))) for color in colors]
    planned = keep_plan(lake, plan(*items, item("gone", f"{website.origin}/gone")))
    for begun in (3, 0, 4):
        with pytest.raises(BatchDeadlineError):
            transform(planned, time_for(begun))
    website.put("/red", Answer(b"expired", 410))
    assert transform(planned) == {"ok": 8, "duplicate": 0, "rejected": 0, "failed": 1, "erased": 0}
    assert sorted(website.asked) == sorted([*(f"/{color}" for color in colors), "/gone"])
    rows = rows_of(lake, planned)
    assert [row["media_id"] for row in rows] == [one.media_id for one in planned.items]
    for row, color in zip(rows, colors, strict=False):
        with open_image(row) as small, Image.open(io.BytesIO(jpeg(color))) as original:
            assert small.getpixel((5, 5)) == pytest.approx(original.getpixel((5, 5)), abs=3)


def test_error_when_the_plan_is_gone(lake: Lake) -> None:
    with pytest.raises(ObjectMissingError, match=r"work/plans/\w+\.json does not exist"):
        transform(plan(item("one")))


def test_damaged_staging_is_made_again(lake: Lake, website: WebServer) -> None:
    planned = keep_plan(lake, plan(item("one", website.put("/one", jpeg()))))
    counts, stored = transform(planned), lake.stored()
    lake.bucket.put(object_keys.staged(planned.batch), b"damaged", "")
    assert transform(planned) == counts
    assert lake.stored() == stored
    assert website.asked == ["/one"]


def three_images(lake: Lake, website: WebServer) -> PlannedBatch:
    """A batch of three images, one of them refused, whose URLs each give their image once."""
    colors = {"red": jpeg("red"), "blue": jpeg("blue"), "bad": b"<html>"}
    items = [item(name, website.put(f"/{name}", body, Answer(b"expired", 410))) for name, body in colors.items()]
    return keep_plan(lake, plan(*items))


def without_places(rows: list[Any]) -> list[Any]:
    """The rows with the checksum of each image; an image that was made again has another place."""
    return [row | {"image": row["image"] and row["image"]["sha256"]} for row in rows]


PART_DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "another image": lambda body: b"?" + body[1:],
    "an empty object": lambda body: b"",
    "a cut start": lambda body: body[1:],
}


@pytest.mark.slow
@pytest.mark.parametrize("damage", PART_DAMAGES)
def test_damaged_part_is_made_again_without_a_download(lake: Lake, website: WebServer, damage: str) -> None:
    planned = three_images(lake, website)
    counts, raw = transform(planned), lake.bucket.list("raw/")
    rows, asked = Staging(lake.bucket, planned.batch).rows(), list(website.asked)
    key = object_keys.part(planned.batch, 0)
    lake.bucket.put(key, PART_DAMAGES[damage](lake.bucket.get(key)), "")
    assert transform(planned) == counts
    again = Staging(lake.bucket, planned.batch)
    assert without_places(again.rows()) == without_places(rows)
    assert len(again.read()[0]) == 3
    assert (website.asked, lake.bucket.list("raw/")) == (asked, raw)


def test_staged_rows_stay_when_only_the_rows_of_a_part_are_damaged(lake: Lake, website: WebServer) -> None:
    planned = three_images(lake, website)
    counts = transform(planned)
    key = object_keys.part(planned.batch, 0)
    lake.bucket.put(key, lake.bucket.get(key)[:-1], "")
    stored = lake.stored()
    assert transform(planned) == counts
    assert lake.stored() == stored


@pytest.mark.slow
def test_lost_part_is_made_again_without_a_download(lake: Lake, website: WebServer) -> None:
    planned = three_images(lake, website)
    counts, stored, asked = transform(planned), lake.stored(), list(website.asked)
    lake.bucket.delete(object_keys.part(planned.batch, 0))
    assert transform(planned) == counts
    assert {key: body for key, body in lake.stored().items() if "work/" not in key} == {
        key: body for key, body in stored.items() if "work/" not in key
    }
    assert len(Staging(lake.bucket, planned.batch).read()[0]) == 3
    assert website.asked == asked


def test_damaged_part_of_an_unfinished_batch_is_made_again_without_a_download(lake: Lake, website: WebServer) -> None:
    planned = three_images(lake, website)
    with pytest.raises(BatchDeadlineError):
        transform(planned, time_for(2))
    assert len(website.asked) == 2
    key = object_keys.part(planned.batch, 0)
    lake.bucket.put(key, b"?" + lake.bucket.get(key)[1:], "")
    assert transform(planned)["ok"] == 2
    assert sorted(website.asked) == ["/bad", "/blue", "/red"]


@pytest.mark.slow
def test_image_is_downloaded_when_its_raw_image_is_damaged_too(lake: Lake, website: WebServer) -> None:
    planned = keep_plan(lake, plan(item("one", website.put("/one", jpeg()))))
    counts = transform(planned)
    lake.bucket.delete(object_keys.part(planned.batch, 0))
    lake.bucket.put(rows_key(lake, planned), b"damaged", "")
    assert transform(planned) == counts
    assert website.asked == ["/one", "/one"]


def rows_key(lake: Lake, planned: PlannedBatch) -> str:
    """The key of the first row's raw image."""
    return str(Staging(lake.bucket, planned.batch).rows()[0]["raw_key"])


@pytest.mark.slow
def test_downloads_stop_when_rows_cannot_be_decided(
    lake: Lake, website: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise StorageUnavailableError("no part")

    url = website.put("/one", jpeg("red", (600, 600)))
    planned = keep_plan(lake, plan(*(item(f"p{number}", url) for number in range(200))))
    monkeypatch.setattr("transform.decisions.Decisions.decide", fail)
    with pytest.raises(StorageUnavailableError, match="no part"):
        transform(planned)
    assert len(website.asked) < 200


@pytest.mark.slow
def test_image_that_is_lost_does_not_stop_the_others(lake: Lake, website: WebServer) -> None:
    """A worker died before it stored one raw image, and each URL gives its image once."""
    gone = Answer(b"expired", 410)
    items = [
        item(f"p{number}", website.put(f"/{number}", jpeg("red", (64, 40 + number)), gone)) for number in range(60)
    ]
    planned = keep_plan(lake, plan(*items))
    with pytest.raises(BatchDeadlineError):
        transform(planned, time_for(1))
    (lost,) = lake.bucket.list("raw/images/")
    lake.bucket.delete(lost)
    with pytest.raises(StorageUnavailableError, match=f"1 raw images are not stored yet, .* of {items[0].media_id}"):
        transform(planned)
    assert len(lake.bucket.list("raw/images/")) == 59
    with pytest.raises(StorageUnavailableError, match="1 raw images are not stored yet"):
        transform(planned)
    assert website.asked.count("/0") == 3
    assert len(website.asked) == 62


@pytest.mark.slow
def test_results_that_are_decided_leave_the_memory(
    lake: Lake, website: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The backlog counts them no more as soon as the next one is asked for."""

    def in_memory() -> int:
        return sum(isinstance(kept, Result) for kept in gc.get_objects())

    def two_parts(*_: Any) -> Iterator[tuple[int, list[Result]]]:
        for number, one in enumerate(planned.items):
            yield number, [Result(result(one, Status.FAILED), None)]
            left.append(in_memory() - before)

    left: list[int] = []
    before = in_memory()
    planned = keep_plan(lake, plan(item("a"), item("b")))
    monkeypatch.setattr("transform.batch.make_results", two_parts)
    transform(planned)
    assert left == [0, 0]


def try_until_done(lake: Lake, planned: PlannedBatch) -> dict[str, int]:
    """Work on a batch; a worker that comes between a part of another one and its raw images tries again."""
    for _ in range(50):
        try:
            return transform_batch(planned.batch, TransformSettings.load(), lake.bucket, lambda: 300.0)
        except StorageUnavailableError:
            time.sleep(0.1)
    pytest.fail("the raw images never came")


@pytest.mark.slow
def test_two_workers_that_get_different_images_stage_the_same_rows(lake: Lake, website: WebServer) -> None:
    names = [f"p{number}" for number in range(60)]
    items = [item(name, website.put(f"/{name}", jpeg("red"), jpeg("blue"), jpeg("teal"))) for name in names]
    planned = keep_plan(lake, plan(*items))
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: try_until_done(lake, planned), range(2))
    assert first == second
    rows = Staging(lake.bucket, planned.batch).rows()
    assert {row["raw_key"] for row in rows} == set(lake.bucket.list("raw/images/"))
    originals = {row["duplicate_of"] for row in rows} - {None}
    assert originals <= {row["media_id"] for row in rows if row["status"] == "ok"}


def test_items_without_a_row_are_counted_whatever_rows_other_items_have(lake: Lake, website: WebServer) -> None:
    planned = keep_plan(lake, plan(item("ours", website.put("/ours", jpeg())), item("theirs")))
    decide(lake, planned.batch, result(item("theirs"), Status.FAILED))
    theirs = keep_plan(lake, plan(item("theirs"), feed_id="another")).batch.batch_id
    lake.media_index.claim([item("theirs").media_id], theirs)
    with pytest.raises(BatchDeadlineError, match="out of time after 0 of 1 items"):
        transform(planned, time_for(0))


BOB = ("author", "bluesky", "did:plc:bob")
ONE_OF_EACH = {"ok": 1, "duplicate": 0, "rejected": 0, "failed": 0, "erased": 1}


def with_bob(website: WebServer) -> tuple[PlannedBatch, str]:
    """A plan with a suppressed item between two others that show one image, and the URL of the suppressed one."""
    url = website.put("/gone", jpeg("red"))
    return plan(item("gone", url, author_id="did:plc:bob"), item("one", website.put("/one", jpeg("teal")))), url


def ids_of(rows: list[Any]) -> list[str | None]:
    return [row["media_id"] for row in rows]


def test_suppressed_item_is_neither_claimed_nor_downloaded(lake: Lake, website: WebServer) -> None:
    planned, url = with_bob(website)
    keep_plan(lake, planned)
    lake.suppress(BOB)
    assert transform(planned) == ONE_OF_EACH
    gone, one = rows_of(lake, planned)
    assert gone == tombstone(one) | {"status": "erased"}
    assert [*lake.mapping()] == [item("one").media_id]
    assert website.asked == ["/one"]
    work = [lake.bucket.get(key) for key in lake.bucket.list("work/") if not key.startswith("work/plans/")]
    assert not [body for body in work if b"bob" in body or url.encode() in body]
    write_parquet.app.handler(event("write_parquet", batch=planned.batch), Context())
    assert map_keys.app.handler(event("map_keys", batch=planned.batch), Context()) == {"mapped": 2}
    assert lake.mapping()[item("one").media_id]["row"] == 1


def test_suppressed_image_is_not_stored(lake: Lake, website: WebServer) -> None:
    """Its item stays in the media index as erased, so that no later run downloads it again."""
    planned = keep_plan(lake, with_bob(website)[0])
    sha256 = hashlib.sha256(jpeg("red")).hexdigest()
    lake.suppress(("image", sha256))
    assert transform(planned) == ONE_OF_EACH
    gone, one = rows_of(lake, planned)
    assert {name for name, value in gone.items() if value is not None} == {
        "media_id", "source", "feed", "post_id", "author_id", "status", "run_id", "transform_version", "image_options",
        "dt",
    }  # fmt: skip
    assert lake.bucket.list("raw/images/") == [one["raw_key"]]
    assert not [key for key in lake.bucket.list("work/") if jpeg("red") in lake.bucket.get(key)]
    write_parquet.app.handler(event("write_parquet", batch=planned.batch), Context())
    map_keys.app.handler(event("map_keys", batch=planned.batch), Context())
    entry = lake.mapping()[item("gone").media_id]
    assert (entry["status"], entry["author"], entry.get("raw_sha256")) == ("erased", "bluesky#did:plc:bob", None)


@pytest.mark.slow
@pytest.mark.parametrize("name", [BOB, ("image", hashlib.sha256(jpeg("red")).hexdigest())])
def test_row_that_was_staged_before_it_was_suppressed_is_erased(
    lake: Lake, website: WebServer, name: tuple[str, ...]
) -> None:
    planned = keep_plan(lake, with_bob(website)[0])
    assert transform(planned)["ok"] == 2
    lake.suppress(name)
    assert transform(planned) == ONE_OF_EACH
    gone, one = rows_of(lake, planned)
    # This batch has claimed it, so Map Keys needs its ids; the erasure then finds it by its author.
    assert (gone["status"], gone["media_id"], gone["media_url"], gone["image"]) == (
        "erased", item("gone").media_id, None, None,
    )  # fmt: skip
    assert one["status"] == "ok"
    staged = lake.stored()
    assert transform(planned) == ONE_OF_EACH
    assert lake.stored() == staged


def test_row_that_was_decided_before_it_was_suppressed_is_erased(lake: Lake, website: WebServer) -> None:
    planned, _ = with_bob(website)
    lake.media_index.claim([item("gone").media_id], planned.batch.batch_id)
    keep_plan(lake, planned)
    decide(lake, planned.batch, result(planned.items[0], Status.FAILED))
    lake.suppress(BOB)
    assert transform(planned) == ONE_OF_EACH
    assert rows_of(lake, planned)[0]["media_url"] is None


def test_suppressed_item_of_another_batch_has_its_row_there(lake: Lake, website: WebServer) -> None:
    planned = keep_plan(lake, with_bob(website)[0])
    theirs = plan(planned.items[0], feed_id="another")
    map_keys.app.handler(event("map_keys", batch=keep_file(lake, theirs).batch), Context())
    lake.suppress(BOB)
    assert transform(planned) == ONE_OF_EACH | {"erased": 0}


def near_cat(lake: Lake, website: WebServer) -> PlannedBatch:
    """A closed batch with an image, and the plan of another batch with a smaller copy of it."""
    photo = (SAMPLES / "photos" / "chelsea-cat.jpg").read_bytes()
    with Image.open(io.BytesIO(photo)) as image:
        out = io.BytesIO()
        image.resize((image.width // 2, image.height // 2)).save(out, "WEBP", quality=60)
    transform(keep_plan(lake, plan(item("cat", website.put("/cat", photo)))))
    return keep_plan(lake, plan(item("small", website.put("/small", out.getvalue())), dt="2026-04-02"))


@pytest.mark.slow
@pytest.mark.parametrize("is_staged", [False, True])
def test_near_duplicate_does_not_name_an_original_that_is_being_erased(
    lake: Lake, website: WebServer, is_staged: bool
) -> None:
    planned = near_cat(lake, website)
    if is_staged:
        transform(planned)
        assert rows_of(lake, planned)[0]["duplicate_of"] == item("cat").media_id
    lake.suppress(("media", item("cat").media_id))
    assert transform(planned)["ok"] == 1
    (near,) = rows_of(lake, planned)
    assert (near["duplicate_of"], near["duplicate_distance"], near["duplicate_kind"]) == (None, None, None)


def test_warm_worker_that_had_cached_a_hash_does_not_find_it(lake: Lake, website: WebServer) -> None:
    planned = near_cat(lake, website)
    transform(keep_plan(lake, plan(item("warm", website.put("/warm", jpeg("red"))), dt="2026-04-03")))
    lake.image_hashes.replace(1, {item("cat").media_id: ""})
    lake.image_hashes.raise_generation()
    transform(planned)
    assert rows_of(lake, planned)[0]["duplicate_of"] is None


def test_batch_waits_while_the_owner_of_its_bytes_is_being_erased(lake: Lake, website: WebServer) -> None:
    transform(keep_plan(lake, plan(item("one", website.put("/one", jpeg())))))
    planned = keep_plan(lake, plan(item("two", website.put("/two", jpeg())), dt="2026-04-02"))
    (sha256,) = lake.owners()
    unmapping = Unmapping(IMAGE_KEYS)
    unmapping.mark_erasing({sha256: item("one").media_id})
    with pytest.raises(StorageUnavailableError, match="is being erased") as caught:
        transform(planned)
    assert "alice" not in str(caught.value)
    unmapping.delete(lake.media_index.get_many([f"sha256/{sha256}"]).values())
    assert transform(planned)["ok"] == 1
    assert lake.owners()[sha256]["owner"] == item("two").media_id


def test_duplicate_whose_original_was_erased_gets_the_image(lake: Lake, website: WebServer) -> None:
    transform(keep_plan(lake, plan(item("one", website.put("/one", jpeg())))))
    planned = keep_plan(lake, plan(item("two", website.put("/two", jpeg())), dt="2026-04-02"))
    assert transform(planned)["duplicate"] == 1
    (sha256,) = lake.owners()
    Unmapping(IMAGE_KEYS).delete(lake.media_index.get_many([f"sha256/{sha256}", item("one").media_id]).values())
    rows = [row | {"duplicate_of": None} for row in rows_of(lake, planned)]
    lake.bucket.delete(object_keys.staged(planned.batch))
    Staging(lake.bucket, planned.batch).write(rows)
    assert transform(planned)["ok"] == 1
    assert lake.owners()[sha256]["owner"] == item("two").media_id
    assert rows_of(lake, planned)[0]["image"] is not None


@pytest.mark.parametrize("names", [["one"], ["one", "two"]], ids=["some items", "all items"])
def test_item_that_an_erasure_has_taken_from_the_plan_counts_as_erased(
    lake: Lake, website: WebServer, names: list[str]
) -> None:
    items = [item(name, website.put(f"/{name}", jpeg())) for name in ("one", "two")]
    planned = keep_plan(lake, plan(*items).without({item(name).media_id for name in names}))
    counts = transform(planned)
    assert (counts["ok"], counts["erased"]) == (2 - len(names), len(names))
    write_parquet.app.handler(event("write_parquet", batch=planned.batch), Context())
    assert map_keys.app.handler(event("map_keys", batch=planned.batch), Context()) == {"mapped": 2}
    rows = pq.read_table(io.BytesIO(lake.bucket.get(object_keys.parquet(planned.batch)))).to_pylist()
    assert [row["status"] for row in rows] == ["erased", "erased" if len(names) == 2 else "ok"]
    assert lake.mapping().keys() == {one.media_id for one in planned.items}


def test_claim_that_goes_while_a_batch_is_at_work_leaves_no_ids(
    lake: Lake, website: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = keep_plan(lake, with_bob(website)[0])
    gone = item("gone").media_id
    lake.media_index.claim([gone], planned.batch.batch_id)
    lake.suppress(BOB)
    monkeypatch.setattr(
        "transform.batch.mark_duplicates",
        lambda rows, *_: lake.media_index.unclaim([gone], planned.batch.batch_id) and rows,
    )
    assert transform(planned) == ONE_OF_EACH
    assert ids_of(rows_of(lake, planned)) == [None, item("one").media_id]
