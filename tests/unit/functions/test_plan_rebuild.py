"""Plan Rebuild: a wrong request is refused with its field, and a good one lists the files that can match."""

from __future__ import annotations

from typing import Any

import pytest

from imagelake.lake import object_keys
from imagelake.run.errors import BadInputError
from imagelake.run.models import Batch
from plan_rebuild.app import handler
from tests.support.factories import Context, event
from tests.support.fake_lake import Lake


def plan(request: Any) -> dict[str, Any]:
    answer: dict[str, Any] = handler(event("plan_rebuild") | {"input": request}, Context())
    return answer


def keep_files(lake: Lake, *keys: str) -> None:
    for key in keys:
        lake.bucket.put(key, b"0123456789", "")


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ([], "rebuild request: it has to be an object"),
        ("all", "rebuild request: it has to be an object"),
        ({"image_sise": 256}, "image_sise"),
        ({"image_size": 5}, "image_size: it has to be at least 16"),
        ({"image_size": "256"}, "image_size: it has to be a whole number"),
        ({"networks": "bluesky"}, "networks: it has to be a list"),
        ({"networks": ["../raw"]}, "networks"),
        ({"from_day": "yesterday"}, "from_day"),
        ({"from_day": "2026-04-02", "to_day": "2026-04-01"}, "from_day 2026-04-02 is after to_day 2026-04-01"),
        # Days that no calendar has: 2026 is no leap year. And digits of another script.
        ({"from_day": "2026-02-29"}, "from_day: it has to be a day such as 2026-11-01"),
        ({"to_day": "2026-13-01"}, "to_day: it has to be a day such as 2026-11-01"),
        ({"to_day": "٢٠٢٦-٠١-٠١"}, "to_day: it has to be a day such as 2026-11-01"),
        ({"to_day": "20260101"}, "to_day: it has to be a day such as 2026-11-01"),
        # A program that found no feed must not rebuild all of them.
        ({"feeds": []}, "feeds: it must not be empty"),
        ({"networks": []}, "networks: it must not be empty"),
        ({"error_codes": []}, "error_codes: it must not be empty"),
        ({"tensor": "float16"}, "tensor: it has to be 'uint8', 'float32' or 'none'"),
        ({"error_codes": ["no_code"]}, "error_codes"),
        ({"dry_run": "yes"}, "dry_run: it has to be true or false"),
        ({"transform_version_below": 0}, "transform_version_below: it has to be at least 1"),
        ({"min_image_size": 500, "max_image_area": 100}, "reject every image"),
    ],
    ids=str,
)
def test_wrong_request_is_refused(lake: Lake, request_: Any, sentence: str) -> None:
    with pytest.raises(BadInputError, match="rebuild request: ") as caught:
        plan(request_)
    assert sentence in str(caught.value)
    assert lake.bucket.list("") == []


def test_list_has_the_files_that_can_match(lake: Lake) -> None:
    days = [
        f"lake/images/source={source}/dt={dt}/a.parquet"
        for source in ("rss", "x")
        for dt in ("2026-04-01", "2026-04-02")
    ]
    keep_files(lake, *days, "lake/images/source=rss/dt=2026-04-01/note.txt", "lake/other.parquet")
    for request, expected in (
        ({}, days),
        ({"networks": None, "feeds": None, "from_day": None, "error_codes": None}, days),
        ({"networks": ["rss"]}, days[:2]),
        ({"networks": ["rss", "x"], "from_day": "2026-04-02"}, [days[1], days[3]]),
        ({"to_day": "2026-04-01"}, [days[0], days[2]]),
        ({"networks": ["mastodon"]}, []),
    ):
        answer = plan(request)
        batches = lake.bucket.get_models(answer["list_key"], Batch)
        assert [object_keys.parquet(batch) for batch in batches] == expected
        assert (answer["files"], answer["file_bytes"]) == (len(expected), 10 * len(expected))


def test_run_is_the_execution(lake: Lake) -> None:
    execution = event("plan_rebuild")["execution"]
    run = plan({})["run"]
    assert (run["run_id"], run["execution_arn"]) == (execution["name"], execution["arn"])
    assert execution["started_at"].startswith(run["dt"])
