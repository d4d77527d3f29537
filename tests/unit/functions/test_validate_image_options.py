"""Validate: a batch has the image options of its feed or its run, and so many images that it stays below 60 MB."""

from __future__ import annotations

import gzip
import json
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagelake.imaging import Options, process, resize
from imagelake.lake import object_keys
from imagelake.run.image_option_models import ImageOptions
from imagelake.run.image_options import MAX_RESULT_PIXELS
from imagelake.run.models import Batch, FeedEntry, PlannedBatch
from local.sample_feed import SAMPLES
from tests.support.asl import ROOT
from tests.support.factories import ENTRY, FEED, RUN, Context, event, item, keep_plan, plan, post
from tests.support.fake_lake import Lake
from tests.support.fake_network import Network, page
from tests.support.image_options import SOME
from tests.support.sample import full
from validate.app import handler
from validate.batch_size import MAX_IMAGE_BYTES, TENSOR_BYTES, max_area, max_images

CONFIG = {"source": FEED.source, "account": FEED.account}


def planned(lake: Lake, posts: int, run: dict[str, Any], feed: dict[str, Any] | None = None) -> list[PlannedBatch]:
    """Validate a page of new posts; return the batches of the batch list."""
    body = page(*(post(f"new{number}") for number in range(posts)))
    key = object_keys.raw_page(RUN, FEED.source, ENTRY.feed_id, 0)
    lake.bucket.put(key, gzip.compress(body, mtime=0), "application/gzip", {"url": "https://a.test/", "status": "200"})
    entry = FeedEntry(feed_id=ENTRY.feed_id, name=ENTRY.name, config=CONFIG | (feed or {}))
    answer = handler(event("validate", run=RUN.model_copy(update=run), feed=entry), Context())
    batches = [Batch.model_validate(batch) for batch in lake.bucket.get_json(answer["list_key"])]
    return [lake.bucket.get_model(object_keys.planned_batch(batch), PlannedBatch) for batch in batches]


def test_batch_has_the_options_of_its_run(lake: Lake, network: Network) -> None:
    options = {"image_size": 256, "encode_quality": 60, "tensor": "uint8", "max_aspect_ratio": 2.5}
    (made,) = planned(lake, 1, options)
    assert made.image_options == ImageOptions().image_options | options


def test_option_of_the_feed_comes_before_that_of_the_run(lake: Lake, network: Network) -> None:
    run = {"image_size": 256, "preset": "fast", "resize_only_if_bigger": True}
    (made,) = planned(lake, 1, run, {"image_size": 1024, "resize_only_if_bigger": False, "preset": None})
    assert (made.image_size, made.preset, made.resize_only_if_bigger) == (1024, "fast", False)


def test_open_batch_of_an_earlier_day_keeps_its_options(lake: Lake, network: Network) -> None:
    left = plan(item("held"), run_id="daily-2026-03-30", dt="2026-03-30").model_copy(update={"image_size": 128})
    keep_plan(lake, left)
    earlier, new = planned(lake, 1, {"image_size": 256}, {"encode_quality": 50})
    assert earlier == left
    assert (new.image_size, new.encode_quality) == (256, 50)


def test_plan_of_an_older_version_has_the_defaults_for_options_that_it_lacks(lake: Lake, network: Network) -> None:
    left = plan(item("held"), run_id="daily-2026-03-30", dt="2026-03-30")
    older: dict[str, Any] = {
        "batch": left.batch.model_dump(),
        "run_id": left.run_id,
        "preset": "fast",
        "tensor": "uint8",
    }
    older["items"] = [one.model_dump(mode="json") for one in left.items]
    lake.bucket.put(object_keys.open_batch(left.batch), json.dumps(older).encode(), "application/json")
    (resumed,) = planned(lake, 0, {"image_size": 256})
    assert resumed == left.model_copy(update={"preset": "fast", "tensor": "uint8"})


def documented() -> list[tuple[dict[str, Any], int]]:
    rows = re.findall(r"^\| `(\{.*\})` \| (\d+) \|$", (ROOT / "docs" / "dataset.md").read_text(), re.MULTILINE)
    return [(json.loads(options), int(images)) for options, images in rows]


@pytest.mark.parametrize(
    ("options", "images"),
    [
        *documented(),
        ({"image_size": 256}, 1000),
        ({"image_size": 2048}, 64),
        ({"resize_mode": "keep_ratio"}, 51),
        ({"resize_mode": "keep_ratio", "max_aspect_ratio": 2}, 517),
    ],
)
def test_number_of_images_that_stay_below_60_mb(options: dict[str, Any], images: int) -> None:
    assert min(1000, max_images(ImageOptions(**options))) == images


@pytest.mark.parametrize(
    ("run", "feed", "sizes"),
    [
        ({"batch_size": 1000}, {}, [80]),
        ({"batch_size": 1000, "image_size": 2048}, {}, [64, 16]),
        ({"batch_size": 1000, "image_size": 2048}, {"image_size": 64}, [80]),
        ({"batch_size": 1000}, {"image_size": 2048, "encode_quality": 95}, [37, 37, 6]),
        ({"batch_size": 30, "image_size": 2048}, {}, [30, 30, 20]),
    ],
)
def test_batches_are_smaller_if_their_images_are_large(
    lake: Lake, network: Network, run: dict[str, Any], feed: dict[str, Any], sizes: list[int]
) -> None:
    batches = planned(lake, 80, run, feed)
    assert [len(made.items) for made in batches] == [made.batch.items for made in batches] == sizes


@given(SOME, st.integers(1, 20_000), st.integers(1, 20_000))
def test_no_image_is_larger_than_the_estimate_says(values: dict[str, Any], width: int, height: int) -> None:
    chosen = ImageOptions(**values)
    options = Options(**chosen.imaging_arguments)
    short, long = sorted((width, height))
    if width * height > min(options.max_pixels, options.max_image_area) or long > options.max_aspect_ratio * short:
        return  # This image is rejected.
    size = resize.compute_geometry(width, height, options).size
    if options.resize_mode == "border":
        size = (max(options.image_size, *size),) * 2
    # A side is rounded, and it has at least one pixel; a larger result than 25 million pixels is rejected.
    assert size[0] * size[1] <= max_area(chosen) + max(size) or size[0] * size[1] > MAX_RESULT_PIXELS
    assert max_images(chosen) == 1 or max_images(chosen) * TENSOR_BYTES[chosen.tensor] < MAX_IMAGE_BYTES


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "quality"), [full(512, 60), full(512, 75), (512, 85), full(512, 90), (512, 95), full(1024, 85)]
)
def test_photos_have_no_more_bytes_than_the_estimate_says(size: int, quality: int) -> None:
    """The sample photos, enlarged if they are smaller, and cut to the largest area."""
    options = ImageOptions(
        image_size=size, encode_quality=quality, resize_mode="center_crop", resize_only_if_bigger=False
    )
    photos = [photo.read_bytes() for photo in sorted((SAMPLES / "photos").iterdir())]
    made = [len(process(photo, Options(**options.imaging_arguments)).image) for photo in photos]
    assert np.mean(made) * max_images(options) < MAX_IMAGE_BYTES


@pytest.mark.parametrize("tensor", ["uint8", "float32"])
def test_tensor_has_the_bytes_that_the_estimate_says(tensor: Any) -> None:
    photo = (SAMPLES / "photos" / "rocket.jpg").read_bytes()
    made = process(photo, Options(tensor=tensor)).tensor
    assert made is not None
    assert len(made) == TENSOR_BYTES[tensor]
