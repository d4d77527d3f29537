"""Each feature equals the formula that defines it, written out plainly."""

from __future__ import annotations

import base64
import math
from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from imagelake.imaging import process
from imagelake.imaging.features import Features, find_dominant_colors, split_channels
from imagelake.imaging.features import measure as measure_of
from imagelake.imaging.hashes import fingerprints
from imagelake.imaging.thumbhash import thumbhash
from tests.support.images import encoded, photo, quarters

IMAGES = {
    "photo": photo(300, 200),
    "tall photo": photo(120, 512, seed=1),
    "noise": Image.fromarray(np.random.default_rng(2).integers(0, 256, (90, 90, 3), dtype=np.uint8)),
    "quarters": quarters(),
    "black": Image.new("RGB", (40, 30)),
    "white": Image.new("RGB", (40, 30), "white"),
    "one color": Image.new("RGB", (33, 65), (201, 37, 90)),
    "thin": photo(200, 10, seed=3),
}
every_image = pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES.keys())


def measure(image: Image.Image) -> Features:
    return measure_of(image, image.size)


def sampled(image: Image.Image) -> Image.Image:
    """Take the sample for light and color: every second pixel and row, then at most 128 evenly spaced per side."""
    for step in (2, math.ceil(math.ceil(max(image.size) / 2) / 128)):
        size = math.ceil(image.width / step), math.ceil(image.height / step)
        image = image.resize(size, Image.Resampling.NEAREST)
    assert max(image.size) <= 128
    return image


def luma(image: Image.Image) -> NDArray[np.float64]:
    return np.asarray(image.convert("L")).astype(float)


@every_image
def test_light_is_that_of_the_formulas(image: Image.Image) -> None:
    features, image = measure(image), sampled(image)
    gray = luma(image)
    assert features.mean_rgb == pytest.approx(np.asarray(image).reshape(-1, 3).mean(axis=0), abs=1e-9)
    assert features.brightness == pytest.approx(gray.mean() / 255)
    assert features.contrast == pytest.approx(gray.std() / 255, abs=1e-9)


@every_image
def test_entropy_is_shannons(image: Image.Image) -> None:
    _, counts = np.unique(luma(sampled(image)), return_counts=True)
    expected = -sum(n / counts.sum() * math.log2(n / counts.sum()) for n in counts.tolist())
    assert measure(image).entropy == pytest.approx(expected, abs=1e-9)


@every_image
def test_sharpness_is_the_variance_of_the_laplacian(image: Image.Image) -> None:
    gray = luma(image)
    height, width = gray.shape
    laplacian = [
        gray[y - 1, x] + gray[y + 1, x] + gray[y, x - 1] + gray[y, x + 1] - 4 * gray[y, x]
        for y in range(1, height - 1)
        for x in range(1, width - 1)
    ]
    assert measure(image).sharpness == pytest.approx(np.var(laplacian), abs=1e-6)


@every_image
def test_colorfulness_is_that_of_hasler_and_suesstrunk(image: Image.Image) -> None:
    red, green, blue = np.asarray(sampled(image)).astype(float).reshape(-1, 3).T
    rg, yb = red - green, (red + green) / 2 - blue
    expected = math.hypot(rg.std(), yb.std()) + 0.3 * math.hypot(rg.mean(), yb.mean())
    assert measure(image).colorfulness == pytest.approx(expected, abs=1e-6)


def test_sums_stay_exact_when_the_image_is_large_and_harsh() -> None:
    board = (np.indices((5000, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    assert measure(Image.fromarray(board).convert("RGB")).sharpness == pytest.approx(1020**2)
    yellow = Image.new("RGB", (64, 10_000), (255, 255, 0))
    assert measure(yellow).colorfulness == pytest.approx(0.3 * 255)
    assert measure(yellow).mean_rgb == (255, 255, 0)


def test_extremes_of_light_are_the_ends_of_the_ranges() -> None:
    half = Image.new("RGB", (40, 40))
    half.paste("white", (0, 0, 20, 40))
    assert (measure(half).contrast, measure(half).brightness, measure(half).entropy) == (0.5, 0.5, 1.0)
    white = measure(IMAGES["white"])
    assert (white.brightness, white.contrast, white.entropy, white.sharpness, white.colorfulness) == (1, 0, 0, 0, 0)


def test_sharpness_falls_when_an_image_is_blurred() -> None:
    sharp = photo(300, 200)
    assert measure(sharp.resize((30, 20)).resize((300, 200))).sharpness < measure(sharp).sharpness / 2


def test_dominant_colors_are_in_the_order_of_their_share() -> None:
    image = Image.new("RGB", (100, 100), "#102030")
    image.paste("#f0e0d0", (0, 0, 30, 100))
    image.paste("#c01010", (90, 0, 100, 100))
    assert find_dominant_colors(split_channels(image)) == ("#102030", "#f0e0d0", "#c01010")


def test_dominant_colors_join_neighbors_when_a_color_lies_on_a_seam() -> None:
    image = Image.new("RGB", (100, 100), (127, 127, 127))
    image.paste((129, 129, 129), (0, 0, 50, 100))
    assert find_dominant_colors(split_channels(image)) == ("#808080",)


def test_dominant_colors_are_five_at_most_and_none_is_marginal() -> None:
    assert len(find_dominant_colors(split_channels(IMAGES["noise"]))) == 5
    image = Image.new("RGB", (100, 100), "#102030")
    image.putpixel((0, 0), (255, 255, 255))
    assert find_dominant_colors(split_channels(image)) == ("#102030",)


@every_image
def test_phash_is_that_of_the_formula(image: Image.Image) -> None:
    gray = image.convert("L")
    pixels = np.asarray(gray.resize((32, 32), Image.Resampling.BILINEAR)).astype(float)
    waves = np.cos(np.pi / 64 * np.outer(np.arange(8), 2 * np.arange(32) + 1))
    coefficients = np.round(waves @ pixels @ waves.T, 6)
    bits = "".join("1" if c > np.median(coefficients) else "0" for c in coefficients.ravel())
    assert hamming(fingerprints(gray).phash, int(bits, 2)) <= 1
    assert -(2**63) <= fingerprints(gray).phash < 2**63


@every_image
def test_dhash_is_that_of_the_formula(image: Image.Image) -> None:
    gray = image.convert("L")
    small = gray.resize((9, 8), Image.Resampling.BILINEAR)
    bits = "".join(
        "1" if small.getpixel((x + 1, y)) > small.getpixel((x, y)) else "0"  # type: ignore[operator]
        for y in range(8)
        for x in range(8)
    )
    assert fingerprints(gray).dhash % 2**64 == int(bits, 2)


def hamming(first: int, second: int) -> int:
    return ((first ^ second) % 2**64).bit_count()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_hashes_hardly_change_when_an_image_is_resized_and_compressed(seed: int) -> None:
    image = photo(1080, 810, seed)
    original = process(encoded(image))
    for again in (
        encoded(image, quality=40, subsampling="4:2:0"),
        encoded(image.resize((640, 480)), "WEBP", quality=60),
        encoded(image.resize((320, 240)), "PNG"),
        encoded(image.point(lambda value: value * 0.9)),
    ):
        copy = process(again)
        assert hamming(original.phash, copy.phash) <= 6
        assert hamming(original.dhash, copy.dhash) <= 6


def test_hashes_are_far_apart_when_images_differ() -> None:
    images = [process(encoded(photo(400, 300, seed))) for seed in range(8)]
    for first, second in combinations(images, 2):
        assert hamming(first.phash, second.phash) >= 14
        assert hamming(first.dhash, second.dhash) >= 14


def reference_thumbhash(image: Image.Image) -> bytes:
    """Encode the published format coefficient by coefficient."""
    width, height = image.size
    red, green, blue = (np.asarray(image).astype(float) / 255).transpose(2, 0, 1)
    largest = max(width, height)

    def half_up(value: float) -> int:
        return math.floor(value + 0.5)

    def channel(values: NDArray[np.float64], nx: int, ny: int) -> tuple[float, list[float], float]:
        waves = []
        for cy in range(ny):
            cx = 0
            while cx * ny < nx * (ny - cy):
                wave = np.outer(
                    np.cos(np.pi / height * cy * (np.arange(height) + 0.5)),
                    np.cos(np.pi / width * cx * (np.arange(width) + 0.5)),
                )
                waves.append(round(float((values * wave).mean()), 9))
                cx += 1
        scale = max(map(abs, waves[1:]))
        return waves[0], [0.5 + 0.5 / scale * value if scale else 0.0 for value in waves[1:]], scale

    lx, ly = max(1, half_up(7 * width / largest)), max(1, half_up(7 * height / largest))
    l_dc, l_ac, l_scale = channel((red + green + blue) / 3, max(3, lx), max(3, ly))
    p_dc, p_ac, p_scale = channel((red + green) / 2 - blue, 3, 3)
    q_dc, q_ac, q_scale = channel(red - green, 3, 3)
    head = half_up(63 * l_dc) | half_up(31.5 + 31.5 * p_dc) << 6 | half_up(31.5 + 31.5 * q_dc) << 12
    head |= half_up(31 * l_scale) << 18
    shape = (ly if width > height else lx) | half_up(63 * p_scale) << 3 | half_up(63 * q_scale) << 9
    shape |= (width > height) << 15
    nibbles = [half_up(15 * value) for value in l_ac + p_ac + q_ac]
    nibbles += [0] * (len(nibbles) % 2)
    packed = bytes(low | high << 4 for low, high in zip(nibbles[::2], nibbles[1::2], strict=True))
    return head.to_bytes(3, "little") + shape.to_bytes(2, "little") + packed


@every_image
def test_thumbhash_is_that_of_the_published_format(image: Image.Image) -> None:
    image = image.copy()
    image.thumbnail((100, 100))
    assert base64.b64decode(thumbhash(split_channels(image))) == reference_thumbhash(image)
