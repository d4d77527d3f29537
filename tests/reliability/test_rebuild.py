"""A rebuild of the lake: the same code and options give the same bytes, and a change only changes what it should."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from itertools import count
from typing import Any

import pytest

import imagelake.imaging
import map_keys.app
import rebuild_images.app
import write_parquet.app
from imagelake.imaging.features import measure
from imagelake.run.aws import client
from imagelake.run.errors import StorageUnavailableError
from imagelake.run.settings import Settings
from tests.reliability.audit import problems, rows, wrong_owners
from tests.reliability.kill_points import OPTIONS
from tests.reliability.pipeline import execute
from tests.reliability.rebuild import execute_rebuild
from tests.reliability.world import DAY, FEEDS, NEXT_DAY, Stored, World, restore, stored
from tests.support.fake_lake import BUCKET, Lake
from tests.support.sample import full
from tests.support.web_server import WebServer


@pytest.fixture(scope="module")
def server() -> Iterator[WebServer]:
    """One server for all tests, so that a lake that was filled for one of them has the URLs of the others."""
    with WebServer() as server:
        yield server


@pytest.fixture
def website(environment: None, server: WebServer, monkeypatch: pytest.MonkeyPatch) -> WebServer:
    monkeypatch.setenv("TRUSTED_ORIGINS", server.origin)
    Settings.load.cache_clear()
    return server


@pytest.fixture(scope="module")
def first_run() -> list[Stored]:
    """Keep what the lake held after the first run, when a test has made it."""
    return []


@pytest.fixture
def filled(lake: Lake, world: World, first_run: list[Stored]) -> Lake:
    """A lake with rows of every status, which no image server can give again."""
    if first_run:
        restore(first_run[0])
    else:
        execute(lake, "run-1", FEEDS, dt=DAY, **OPTIONS)
        first_run.append(stored())
    world.expire()
    return lake


def files(lake: Lake) -> dict[str, str]:
    """The SHA-256 of every dataset file."""
    return {key: hashlib.sha256(lake.bucket.get(key)).hexdigest() for key in lake.bucket.list("lake/")}


def changed(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> set[str]:
    """The names of all columns that differ in a row; the rows must be in the same places."""
    assert [(row["_key"], row["_row"], row["media_id"]) for row in before] == [
        (row["_key"], row["_row"], row["media_id"]) for row in after
    ]
    return {name for old, new in zip(before, after, strict=True) for name in old if old[name] != new[name]}


def report(lake: Lake, answer: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = lake.bucket.get_json(answer["report_key"])
    return found


def test_same_code_and_options_give_the_same_bytes(filled: Lake, world: World) -> None:
    before, downloads = files(filled), len(world.downloads())
    mapping, owners = filled.mapping(), filled.owners()
    answer = execute_rebuild(filled, "rebuild-1")
    assert answer["outcome"] == "ok", answer["message"]
    assert files(filled) == before
    assert len(world.downloads()) == downloads
    assert (filled.mapping(), filled.owners()) == (mapping, owners)
    assert problems(filled, world.expected) == []
    counts = report(filled, answer)["counts"]
    assert counts["changed"] == counts["unreadable"] == counts["kept"] == 0
    assert min(counts["ok"], counts["duplicate"], counts["rejected"]) > 0


# Columns that say how a row was made.
MADE = {"transform_version", "image_options"}
FEATURES = {
    "mean_rgb", "brightness", "contrast", "sharpness", "entropy", "colorfulness", "dominant_colors", "thumbhash",
    "phash", "dhash", "view_hashes", "is_dark", "is_light", "is_blurry", "is_low_information", "is_odd_aspect_ratio",
    "is_odd_size", "is_grayscale",
}  # fmt: skip


@pytest.mark.parametrize(
    ("request_", "columns"),
    [
        # The photos have 72 pixels, so another size makes other pixels and features.
        ({"image_size": 48}, {"image", "width", "height", "image_options"}),
        ({"encode_quality": 40}, {"image", "image_options"}),
        ({"tensor": "uint8"}, {"tensor", "image_options"}),
        full({"tensor": "float32"}, {"tensor", "image_options"}),
        ({"min_image_size": 20}, {"image_options"}),
        full({"resize_mode": "border"}, {"image", "width", "height", "image_options"}),
    ],
    # The order of a set differs between processes, and they have to name a test alike.
    ids=lambda given: str(given if isinstance(given, dict) else sorted(given)),
)
def test_new_options_change_their_columns_alone(
    filled: Lake, world: World, request_: dict[str, Any], columns: set[str]
) -> None:
    before, mapping = rows(filled), filled.mapping()
    answer = execute_rebuild(filled, "rebuild-1", **request_)
    assert answer["outcome"] == "ok", answer["message"]
    after = rows(filled)
    of_pixels = FEATURES | {"duplicate_distance"} if "image_size" in request_ else set()
    assert columns <= changed(before, after) <= columns | of_pixels
    assert filled.mapping() == mapping
    # What failed has no raw image, so it stays as it was.
    (failed,) = (row for row in before if row["status"] == "failed")
    assert failed in after


def test_changed_feature_changes_its_column_alone(filled: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    before = rows(filled)
    monkeypatch.setattr(imagelake.imaging, "measure", lambda *given: replace(measure(*given), entropy=7.5))
    for module in ("imagelake.lake.rows", "transform.results"):
        monkeypatch.setattr(f"{module}.TRANSFORM_VERSION", 99)
    assert execute_rebuild(filled, "rebuild-1", transform_version_below=99)["outcome"] == "ok"
    assert changed(before, rows(filled)) == {"entropy", "transform_version"}
    again = execute_rebuild(filled, "rebuild-2", transform_version_below=99)
    # A rejected row has a version too, but the failed one stays old.
    assert report(filled, again)["images"] == 0


def test_back_and_forth_gives_the_first_bytes(filled: Lake) -> None:
    before = files(filled)
    execute_rebuild(filled, "rebuild-1", encode_quality=40)
    assert files(filled) != before
    execute_rebuild(filled, "rebuild-2", encode_quality=85)
    assert files(filled) == before
    execute_rebuild(filled, "rebuild-3", encode_quality=40)
    assert files(filled) != before


def test_tensor_comes_and_goes(filled: Lake) -> None:
    before = files(filled)
    for name, tensor in (("rebuild-1", "uint8"), ("rebuild-3", "float32")):
        execute_rebuild(filled, name, tensor=tensor)
        assert any(row["tensor"] for row in rows(filled))
        execute_rebuild(filled, f"{name}-away", tensor="none")
        assert files(filled) == before


@pytest.mark.parametrize("damage", ["missing", "damaged", "archived"])
def test_row_without_its_raw_image_stays(filled: Lake, damage: str) -> None:
    before = rows(filled)
    lost = next(row for row in before if row["status"] == "ok")
    if damage == "missing":
        filled.bucket.delete(lost["raw_key"])
    elif damage == "damaged":
        filled.bucket.put(lost["raw_key"], b"other bytes", "")
    else:
        # In this storage class, S3 answers InvalidObjectState, and so does moto.
        client("s3").copy_object(
            Bucket=BUCKET,
            Key=lost["raw_key"],
            CopySource={"Bucket": BUCKET, "Key": lost["raw_key"]},
            StorageClass="GLACIER",
        )
    answer = execute_rebuild(filled, "rebuild-1", encode_quality=40)
    assert answer["outcome"] == "partial"
    assert "raw images are missing or damaged" in answer["message"]
    after = rows(filled)
    assert lost in after
    with_it = [row for row in before if row["raw_sha256"] == lost["raw_sha256"]]
    assert report(filled, answer)["counts"]["unreadable"] == len(with_it)


def test_dry_run_changes_nothing_and_names_the_price(filled: Lake) -> None:
    before, objects = filled.stored(), set(filled.bucket.list(""))
    answer = execute_rebuild(filled, "rebuild-1", encode_quality=40, dry_run=True)
    assert answer["outcome"] == "ok"
    found = report(filled, answer)
    selected = [row for row in rows(filled) if row["status"] != "failed"]
    assert (found["files"], found["images"]) == (3, len(selected))
    assert found["raw_bytes"] == sum(row["raw_bytes"] for row in selected)
    assert 0 < found["estimate"]["usd"] < found["estimate"]["usd_glacier"]
    after = filled.stored()
    assert {key: after[key] for key in before} == before
    assert all(key.startswith(("work/rebuild/", "reports/_rebuilds/")) for key in set(filled.bucket.list("")) - objects)


@pytest.mark.parametrize(
    ("request_", "selected"),
    [
        ({"networks": ["mastodon"]}, 0),
        ({"networks": ["bluesky"]}, 7),
        ({"feeds": ["bluesky:bob.example"]}, 3),
        ({"error_codes": ["not_an_image"]}, 1),
        ({"error_codes": ["corrupt"]}, 0),
        ({"from_day": NEXT_DAY}, 0),
        ({"to_day": DAY}, 7),
        ({"transform_version_below": 1}, 0),
    ],
    ids=str,
)
def test_selection(filled: Lake, request_: dict[str, Any], selected: int) -> None:
    answer = execute_rebuild(filled, "rebuild-1", dry_run=True, **request_)
    of_all = [row for row in rows(filled) if row["status"] != "failed"]
    if selected in (3, 7):
        feeds = request_.get("feeds")
        selected = sum(feeds is None or row["feed"] in feeds for row in of_all)
    assert report(filled, answer)["images"] == selected


# ---- Other statuses --------------------------------------------------------------------------------------------------


def by_id(lake: Lake) -> dict[str, dict[str, Any]]:
    return {row["media_id"]: row for row in rows(lake)}


def statuses(lake: Lake) -> dict[str, str]:
    return {media_id: row["status"] for media_id, row in by_id(lake).items()}


def test_rejected_image_that_is_accepted_now_gets_its_image(lake: Lake, world: World) -> None:
    """An image of 72 pixels is too small for the first run, and large enough for the rebuild."""
    execute(lake, "run-1", FEEDS, dt=DAY, min_image_size=100, **{**OPTIONS, "failure_tolerance_percent": 100})
    assert set(statuses(lake).values()) == {"rejected", "failed"}
    answer = execute_rebuild(lake, "rebuild-1", min_image_size=8, error_codes=["too_small"])
    assert answer["outcome"] == "ok", answer["message"]
    assert statuses(lake) == {**world.expected, **{one: statuses(lake)[one] for one in same_bytes(lake)}}
    assert problems(lake, world.expected) == []


def same_bytes(lake: Lake) -> list[str]:
    """Items of which one is the owner, and the others are duplicates."""
    found = rows(lake)
    shas = [row["raw_sha256"] for row in found]
    return [row["media_id"] for row in found if row["raw_sha256"] and shas.count(row["raw_sha256"]) > 1]


def test_image_that_is_rejected_now_loses_its_image_unless_duplicates_need_it(filled: Lake) -> None:
    before = by_id(filled)
    owner = before[next(row["duplicate_of"] for row in before.values() if row["status"] == "duplicate")]
    needed = {row["duplicate_of"] for row in before.values()} - {None}
    answer = execute_rebuild(filled, "rebuild-1", min_image_size=100, feeds=[owner["feed"]])
    assert answer["outcome"] == "partial"
    assert report(filled, answer)["counts"]["kept"] >= 1
    for media_id, row in by_id(filled).items():
        if media_id == owner["media_id"] or row["feed"] != owner["feed"]:
            assert row == before[media_id]
        elif row["status"] not in ("failed", "ok") or media_id not in needed:
            assert row["image"] is None
            assert filled.mapping()[media_id]["status"] == row["status"]
    # After the duplicates are rejected too, nobody refers to the images that were kept.
    execute_rebuild(filled, "rebuild-2a", min_image_size=100)
    assert execute_rebuild(filled, "rebuild-2b", min_image_size=100)["outcome"] == "ok"
    assert set(statuses(filled).values()) == {"rejected", "failed"}
    assert {entry["state"] for entry in filled.owners().values()} == {"rejected"}
    # And back again.
    assert execute_rebuild(filled, "rebuild-3", min_image_size=8)["outcome"] == "ok"
    assert sorted(statuses(filled).values()) == sorted(row["status"] for row in before.values())
    assert list(wrong_owners(filled, set(filled.bucket.list("raw/images/")), by_id(filled))) == []


def test_suppressed_and_erased_rows_stay_out(filled: Lake, world: World) -> None:
    before = by_id(filled)
    # In one file, which has other rows too: a file without any row to make again is left to the erasure.
    keys = [row["_key"] for row in before.values() if row["status"] != "failed"]
    full = max(keys, key=keys.count)
    gone, listed = [one for one, row in before.items() if row["_key"] == full and row["status"] != "failed"][:2]
    filled.suppress(("media", gone))
    execute_rebuild(filled, "rebuild-1", encode_quality=40)
    filled.suppress(("media", listed))
    execute_rebuild(filled, "rebuild-2", encode_quality=40)
    after = rows(filled)
    assert [row["status"] for row in after].count("erased") == 2
    assert not {gone, listed} & {row["media_id"] for row in after}
    assert len(after) == len(before)


# ---- Beside other work -----------------------------------------------------------------------------------------------


def test_file_that_changes_after_it_was_read_is_read_again(filled: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """A retry, an erasure or another rebuild writes the file while the images are made."""
    original, others = rebuild_images.app.handler, iter(["other-1", "other-2"])

    def interrupted(event: Any, context: Any) -> Any:
        name = next(others, None)
        if name is not None:
            execute_rebuild(filled, name, encode_quality=50, tensor="uint8")
        return original(event, context)

    monkeypatch.setattr(rebuild_images.app, "handler", interrupted)
    answer = execute_rebuild(filled, "rebuild-1", encode_quality=40)
    assert answer["outcome"] == "ok", answer["message"]
    options = {row["image_options"] for row in rows(filled) if row["status"] == "ok"}
    assert all('"encode_quality":40' in text for text in options)


def test_run_and_retry_after_a_rebuild(filled: Lake, world: World) -> None:
    execute_rebuild(filled, "rebuild-1", encode_quality=40)
    world.restore()
    execute(filled, "retry-1", FEEDS, dt=NEXT_DAY, retry={"run_id": "run-1", "error_codes": ["not_found"]})
    assert "failed" not in statuses(filled).values()
    answer = execute_rebuild(filled, "rebuild-2", encode_quality=85)
    assert answer["outcome"] == "ok", answer["message"]
    assert problems(filled, world.expected) == []


@pytest.mark.parametrize("step", ["unpack", "rebuild_images", "write_parquet"])
def test_run_beside_a_rebuild(lake: Lake, world: World, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Before a step of the first file, the run of the next day meets images that the rebuild is about to accept."""
    too_small = {**OPTIONS, "min_image_size": 100, "failure_tolerance_percent": 100}
    execute(lake, "run-1", FEEDS[:1], dt=DAY, **too_small)
    module = import_module(f"{step}.app")
    original, is_first = module.handler, iter([True])

    def interrupted(event: Any, context: Any) -> Any:
        if next(is_first, False):
            monkeypatch.setattr(module, "handler", original)
            execute(lake, "run-2", FEEDS, dt=NEXT_DAY, **{**OPTIONS, "failure_tolerance_percent": 100})
        return original(event, context)

    monkeypatch.setattr(module, "handler", interrupted)
    assert execute_rebuild(lake, "rebuild-1", min_image_size=8)["outcome"] == "ok"
    assert execute_rebuild(lake, "rebuild-2")["outcome"] == "ok"
    assert problems(lake, world.expected) == []


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize(("first", "new"), [(100, 8), (8, 100)], ids=["accepts", "rejects"])
def test_file_is_rebuilt_only_after_its_rows_are_mapped(
    lake: Lake, world: World, monkeypatch: pytest.MonkeyPatch, number: int, first: int, new: int
) -> None:
    """Between Write Parquet and Map Keys of a run, its file is in the lake; Map Keys maps the rows that are staged."""
    options = {**OPTIONS, "min_image_size": first, "failure_tolerance_percent": 100}
    original, calls = map_keys.app.handler, count(1)

    def rebuilt(event: Any, context: Any) -> Any:
        if next(calls) == number:
            with pytest.raises(StorageUnavailableError, match="is open"):
                execute_rebuild(lake, "rebuild-1", min_image_size=new)
        return original(event, context)

    monkeypatch.setattr(map_keys.app, "handler", rebuilt)
    execute(lake, "run-1", FEEDS, dt=DAY, **options)
    assert {one: entry["status"] for one, entry in lake.mapping().items()} == statuses(lake)
    for name in ("rebuild-2", "rebuild-3"):
        answer = execute_rebuild(lake, name, min_image_size=new)
    assert answer["outcome"] == "ok", answer["message"]
    assert {one: entry["status"] for one, entry in lake.mapping().items()} == statuses(lake)
    assert list(wrong_owners(lake, set(lake.bucket.list("raw/images/")), by_id(lake))) == []


def test_item_that_is_suppressed_while_its_image_is_rebuilt_gets_a_tombstone(
    filled: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = by_id(filled)
    gone = next(media_id for media_id, row in before.items() if row["status"] == "ok")
    original = write_parquet.app.handler

    def suppressed(event: Any, context: Any) -> Any:
        monkeypatch.setattr(write_parquet.app, "handler", original)
        filled.suppress(("media", gone))
        return original(event, context)

    monkeypatch.setattr(write_parquet.app, "handler", suppressed)
    execute_rebuild(filled, "rebuild-1", encode_quality=40)
    places = {(row["_key"], row["_row"]): row["media_id"] for row in rows(filled)}
    assert places[before[gone]["_key"], before[gone]["_row"]] is None
    assert gone not in by_id(filled)
