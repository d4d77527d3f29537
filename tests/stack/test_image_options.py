"""Two feeds of one run with different image options: each row has the image and the text that its feed asked for."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from PIL import Image

from imagelake.run.image_option_models import ImageOptions
from local.feed_server import PHOTO_BLOG
from tests.support.deployed_stack import Stack
from tests.support.servers import Servers
from tests.support.wire.sample import SampleServer

OF_RUN = {"image_size": 200, "encode_quality": 60, "min_image_size": 500}
OF_BLOG = {"image_size": 128, "resize_mode": "center_crop", "tensor": "uint8", "min_image_size": 8}


@pytest.fixture(scope="module")
def sample(servers: Servers) -> SampleServer:
    return servers.sample_of_options


@pytest.fixture(scope="module")
def rows(stack: Stack, sample: SampleServer) -> list[dict[str, Any]]:
    """The rows of both feeds; fifteen posts of the first feed are enough."""
    blog = {"source": "rss", "account": f"{sample.url}{PHOTO_BLOG}", **OF_BLOG}
    run = stack.run(feeds=[sample.account | {"limit": 15}, blog], dt="2026-11-23", **OF_RUN)
    assert run["status"] == "SUCCEEDED"
    return stack.rows(sample.url)


def of(rows: list[dict[str, Any]], source: str, status: str = "ok") -> list[dict[str, Any]]:
    return [row for row in rows if (row["source"], row["status"]) == (source, status)]


def test_every_row_says_the_options_of_its_feed(rows: list[dict[str, Any]]) -> None:
    of_run = {**ImageOptions().image_options, **OF_RUN}
    expected = {"bluesky": of_run, "rss": {**of_run, **OF_BLOG}}
    assert {row["source"] for row in rows} == expected.keys()
    assert all(json.loads(row["image_options"]) == expected[row["source"]] for row in rows)


def test_images_have_the_size_that_their_feed_asked_for(rows: list[dict[str, Any]]) -> None:
    large, blog = of(rows, "bluesky"), of(rows, "rss")
    assert large
    assert {max(row["width"], row["height"]) for row in large} == {200}
    assert [(row["width"], row["height"], len(row["tensor"])) for row in blog] == [(128, 128, 224 * 224 * 3)] * 4
    assert all(row["tensor"] is None for row in large)
    for row in (*large, *blog):
        with Image.open(io.BytesIO(row["image"]["bytes"])) as image:
            assert image.size == (row["width"], row["height"])


def test_limit_of_the_run_rejects_and_that_of_the_feed_does_not(rows: list[dict[str, Any]]) -> None:
    small = [row for row in of(rows, "bluesky", "rejected") if row["error_code"] == "too_small"]
    assert small
    assert all(min(row["width"], row["height"]) > 0 for row in of(rows, "rss"))
    assert {min(row["original_width"], row["original_height"]) < 500 for row in of(rows, "bluesky")} == {False}
    assert any(row["original_height"] < 500 for row in of(rows, "rss"))


def test_rows_can_be_selected_by_their_license(rows: list[dict[str, Any]]) -> None:
    assert len([row for row in rows if "creativecommons.org/" in (row["license"] or "")]) == len(of(rows, "rss")) == 4
    assert {row["license"] for row in of(rows, "bluesky")} == {None}


def test_feed_with_a_wrong_option_fails_alone(stack: Stack, sample: SampleServer) -> None:
    blog = {"source": "rss", "account": f"{sample.url}{PHOTO_BLOG}"}
    wrong = sample.account | {"image_size": 5000}
    run = stack.run(feeds=[blog, wrong], dt="2026-11-23")
    assert run["status"] == "SUCCEEDED"
    assert "image_size: it has to be at most 2,048, not 5000" in run["notification"]["Message"]
    assert [feed["status"] for feed in stack.report(run["name"])["feeds"]] == ["up_to_date", "failed"]
