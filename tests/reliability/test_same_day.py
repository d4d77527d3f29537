"""The same day again adds nothing; and the audit that all of these tests rely on sees what is wrong."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq

from tests.reliability.audit import problems, rows, unbalanced
from tests.reliability.kill_points import OPTIONS, first_run
from tests.reliability.pipeline import execute
from tests.reliability.world import DAY, FEEDS, World, new_lake
from tests.support.fake_lake import Lake


def swap_images(lake: Lake, key: str) -> None:
    """Give each image in a file to another row."""
    table = pq.read_table(io.BytesIO(lake.bucket.get(key)))
    swapped = pa.array(table["image"].to_pylist()[::-1], table.schema.field("image").type)
    out = io.BytesIO()
    pq.write_table(table.set_column(table.schema.get_field_index("image"), table.schema.field("image"), swapped), out)
    lake.bucket.put(key, out.getvalue(), "")


def statuses(lake: Lake, run_id: str) -> list[str]:
    return [feed["status"] for feed in lake.bucket.get_json(f"reports/{run_id}/run.json")["feeds"]]


def test_same_day_three_times_downloads_and_adds_nothing(clients: None, world: World) -> None:
    with new_lake() as lake:
        first_run(lake)
        stored, downloads = rows(lake), world.downloads()
        # The shared picture and the seven others, each once; what is gone is not asked for again.
        assert sorted(downloads) == sorted(set(downloads))
        assert len(downloads) == len(world.expected) == len(stored)
        for run_id in ("run-2", "run-3"):
            report = execute(lake, run_id, FEEDS, dt=DAY, **OPTIONS)
            assert report["outcome"] == "ok"
            assert statuses(lake, run_id) == ["up_to_date"] * len(FEEDS)
            assert rows(lake) == stored
            assert world.downloads() == downloads
            assert [*problems(lake, world.expected), *unbalanced(lake, run_id)] == []


def test_audit_sees_what_is_wrong(world: World) -> None:
    with new_lake() as lake:
        first_run(lake)
        file_of_a3 = lake.mapping()["bluesky/alice/a3/0"]["processed_key"].removeprefix(f"s3://{lake.bucket.name}/")
        first = next(key for key in lake.bucket.list("lake/images/") if key != file_of_a3)
        lake.bucket.put(first.replace(".parquet", "-again.parquet"), lake.bucket.get(first), "")
        lake.bucket.put("raw/images/00/00", b"", "")
        lake.bucket.put("open/feed/batch.json", b"", "")
        swap_images(lake, file_of_a3)
        (staged, *_) = lake.bucket.list("work/staged/")
        lake.bucket.put(staged, lake.bucket.get(staged)[:-1], "")
        lake.bucket.delete(lake.mapping()["bluesky/alice/a1/0"]["raw_key"])
        lost = {"bluesky/alice/none/0": "ok"}
        wrong = " ".join(problems(lake, world.expected | lost))
        for kind in (
            "lost: ",
            "2 rows of ",
            "differ: ",
            "raw file of no row: ",
            "file of no mapping: ",
            "still open: ",
            "raw file of another name: ",
            "a1/0 has another raw file",
            "a3/0 has another image",
            f"the rows in {staged} do not match",
            "raw image 00 is in the lake: True, and has an entry: False",
        ):
            assert kind in wrong
