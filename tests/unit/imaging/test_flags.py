"""Each flag is set on images that deserve it, and not on others."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from imagelake.imaging import process
from imagelake.imaging.flags import _blur_score, _brightness_percentiles
from tests.support.images import encoded, photo


def flags_of(image: Image.Image) -> set[str]:
    result = process(encoded(image, "PNG"))
    return {name for name, value in vars(result).items() if name.startswith("is_") and value}


def gradient(low: int, high: int) -> Image.Image:
    values = np.add.outer(np.linspace(low, high, 300), np.random.default_rng(0).normal(0, 4, 300)).clip(0, 255)
    return Image.fromarray(values.astype(np.uint8)).convert("RGB")


def test_a_photo_has_no_flag() -> None:
    assert flags_of(photo(600, 400).filter(ImageFilter.SHARPEN)) == set()


def test_a_dark_and_a_light_image_are_flagged() -> None:
    assert "is_dark" in flags_of(gradient(0, 60))
    assert "is_light" in flags_of(gradient(248, 255))
    assert not {"is_dark", "is_light"} & flags_of(gradient(0, 255))


@pytest.mark.parametrize(
    ("gray", "flag", "is_set"),
    [(81, "is_dark", True), (82, "is_dark", False), (242, "is_light", False), (243, "is_light", True)],
)
def test_brightness_is_flagged_beyond_the_thresholds(gray: int, flag: str, is_set: bool) -> None:
    """The thresholds are 0.32 and 0.95 of 255: https://github.com/cleanlab/cleanvision."""
    assert (flag in flags_of(Image.new("RGB", (64, 64), (gray,) * 3))) is is_set


def test_a_blurred_photo_is_flagged() -> None:
    soft = gradient(60, 140).filter(ImageFilter.GaussianBlur(20))
    assert "is_blurry" in flags_of(soft)
    board = Image.fromarray(np.indices((600, 400)).sum(axis=0).astype(np.uint8) // 16 % 2 * 180).convert("RGB")
    assert "is_blurry" not in flags_of(board)


def test_a_drawing_on_a_plain_ground_is_not_blurry() -> None:
    page = Image.new("RGB", (400, 400), "white")
    ImageDraw.Draw(page).ellipse((180, 180, 220, 220), fill="#8080c0")
    assert "is_blurry" not in flags_of(page)


def test_a_plain_image_is_of_low_information() -> None:
    assert "is_low_information" in flags_of(Image.new("RGB", (300, 300), (120, 60, 200)))
    assert "is_low_information" not in flags_of(photo(300, 300))


@pytest.mark.slow
@pytest.mark.parametrize(("size", "is_odd"), [((1000, 349), True), ((1000, 350), False), ((349, 1000), True)])
def test_an_aspect_ratio_is_odd_below_the_threshold(size: tuple[int, int], is_odd: bool) -> None:
    assert ("is_odd_aspect_ratio" in flags_of(photo(*size))) is is_odd


@pytest.mark.slow
@pytest.mark.parametrize(("size", "is_odd"), [((255, 256), True), ((256, 256), False), ((4200, 4096), True)])
def test_a_size_is_odd_beyond_the_thresholds(size: tuple[int, int], is_odd: bool) -> None:
    assert ("is_odd_size" in flags_of(Image.new("RGB", size))) is is_odd


def test_gray_pixels_are_flagged_whatever_the_mode_of_the_file() -> None:
    gray = photo(300, 300).convert("L")
    assert "is_grayscale" in flags_of(gray)
    assert "is_grayscale" in flags_of(gray.convert("RGB"))
    assert "is_grayscale" not in flags_of(photo(300, 300))


def test_percentiles_are_those_of_the_formula() -> None:
    pixels = np.asarray(photo(64, 48))
    brightness = np.sqrt(pixels.astype(float) ** 2 @ (0.241, 0.691, 0.068)) / 255
    expected = np.percentile(brightness, [5, 99], method="lower")
    assert _brightness_percentiles(np.moveaxis(pixels, 2, 0), 5, 99) == pytest.approx(expected)


def test_blur_is_that_of_the_formula() -> None:
    luma = photo(64, 48).convert("L")
    edges = np.asarray(luma.filter(ImageFilter.FIND_EDGES)).astype(float)
    plainness = 1 - math.exp(-np.std(np.bincount(np.asarray(luma).ravel(), minlength=256)) / 100)
    expected = 1 - math.exp(-edges.std() / 100) + (plainness if plainness > 0.18 else 0)
    assert _blur_score(luma) == pytest.approx(expected)
