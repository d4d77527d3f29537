"""Sizes and filters are as img2dataset's users expect, and pixels are close to a full decode with Lanczos."""

from __future__ import annotations

import contextlib
import io
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from imagelake.imaging import Options, decode, process, resize
from imagelake.run.errors import ErrorCode, ImageRejectedError
from imagelake.run.image_options import Preset, ResizeMode
from tests.support.images import decoded, encoded, photo, png_of, psnr, quarters
from tests.support.sample import pairs

LANCZOS = Image.Resampling.LANCZOS


def size_of(data: bytes, **options: Any) -> tuple[int, int]:
    result = process(data, Options(**options))
    assert decoded(result.image).shape == (result.height, result.width, 3)
    return result.width, result.height


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize(
    ("mode", "large", "small"),
    [
        ("no", (600, 400), (60, 40)),
        ("keep_ratio", (150, 100), (60, 40)),
        ("keep_ratio_largest", (100, 67), (60, 40)),
        ("center_crop", (100, 100), (60, 40)),
        ("border", (100, 100), (100, 100)),
    ],
)
def test_each_mode_gives_its_size(kind: str, mode: ResizeMode, large: tuple[int, int], small: tuple[int, int]) -> None:
    assert size_of(encoded(photo(600, 400), kind), image_size=100, resize_mode=mode) == large
    assert size_of(encoded(photo(60, 40), kind), image_size=100, resize_mode=mode) == small


@pytest.mark.parametrize(
    ("mode", "size"),
    [("keep_ratio", (150, 100)), ("keep_ratio_largest", (100, 67)), ("center_crop", (100, 100)), ("no", (60, 40))],
)
def test_a_small_image_is_enlarged_when_the_options_ask_for_it(mode: ResizeMode, size: tuple[int, int]) -> None:
    assert size_of(encoded(photo(60, 40)), image_size=100, resize_mode=mode, resize_only_if_bigger=False) == size


def test_the_crop_is_the_middle() -> None:
    wide = Image.new("RGB", (300, 100), "red")
    wide.paste("lime", (100, 0, 200, 100))
    pixels = decoded(process(encoded(wide), Options(image_size=64, resize_mode="center_crop")).image)
    assert pixels.shape == (64, 64, 3)
    assert (np.abs(pixels[:, 4:-4] - (0, 255, 0)) <= 8).all()


def test_the_border_is_white_and_is_not_measured() -> None:
    black = Image.new("RGB", (300, 100))
    result = process(encoded(black), Options(image_size=90, resize_mode="border"))
    pixels = decoded(result.image)
    assert pixels.shape == (90, 90, 3)
    assert pixels[:24].min() > 240
    assert pixels[34:56].max() < 15
    assert result.brightness == 0


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"min_image_size": 65}, ErrorCode.TOO_SMALL),
        ({"max_image_area": 96 * 64 - 1}, ErrorCode.TOO_MANY_PIXELS),
        ({"max_aspect_ratio": 1.49}, ErrorCode.ODD_ASPECT_RATIO),
    ],
)
def test_a_filter_refuses_an_image_beyond_its_limit(options: dict[str, Any], code: ErrorCode) -> None:
    with pytest.raises(ImageRejectedError) as refused:
        process(encoded(quarters(96, 64)), Options(**options))
    assert refused.value.code is code


def test_a_filter_accepts_an_image_at_its_limit() -> None:
    assert size_of(encoded(quarters(96, 64)), min_image_size=64, max_image_area=96 * 64, max_aspect_ratio=1.5)


def test_a_result_beyond_the_pixel_limit_is_refused() -> None:
    sliver = encoded(Image.new("RGB", (400, 10)), "PNG")
    enlarged = Options(
        image_size=2048,
        resize_mode="keep_ratio",
        resize_only_if_bigger=False,
        max_aspect_ratio=50,
        max_pixels=10**8 // 2,
    )
    with pytest.raises(ImageRejectedError) as refused:
        process(sliver, enlarged)
    assert refused.value.code is ErrorCode.TOO_MANY_PIXELS


@pytest.mark.parametrize(
    ("size", "options", "advice"),
    [
        ((5_100, 5_000), {"resize_mode": "no"}, "another resize_mode"),
        ((700, 70), {"resize_mode": "keep_ratio", "image_size": 2_048, "resize_only_if_bigger": False}, "image_size"),
        ((16_000, 2_100), {"resize_mode": "keep_ratio", "image_size": 2_048}, "image_size"),
        ((20_400, 1_500), {"resize_mode": "center_crop", "image_size": 2_048}, "image_size"),
    ],
)
def test_a_result_of_more_than_25_megapixels_is_refused(
    size: tuple[int, int], options: dict[str, Any], advice: str
) -> None:
    data = png_of(*size, b"") if size[0] > 1_000 else encoded(Image.new("RGB", size), "PNG")
    with pytest.raises(ImageRejectedError, match=rf"result.*25000000 pixels.*Choose.*{advice}") as refused:
        process(data, Options(**options))
    assert refused.value.code is ErrorCode.TOO_MANY_PIXELS


def test_a_photo_of_24_megapixels_may_keep_its_size() -> None:
    options = Options(resize_mode="no")
    geometry = resize.compute_geometry(6_000, 4_000, options)
    decode._check_result(geometry.size, options)


def test_a_result_no_jpeg_can_hold_is_refused() -> None:
    sliver = encoded(Image.new("L", (70_000, 8)), "PNG")
    with pytest.raises(ImageRejectedError) as refused:
        process(sliver, Options(resize_mode="no", max_aspect_ratio=10_000))
    assert refused.value.code is ErrorCode.TOO_MANY_PIXELS


def reference(data: bytes, size: tuple[int, int]) -> NDArray[Any]:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB").resize(size, LANCZOS))


def ssim(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Compute the structural similarity of luma over blocks of 8x8 (Z. Wang et al., IEEE TIP 13(4), 2004)."""

    def blocks(pixels: NDArray[Any]) -> NDArray[np.float64]:
        luma = pixels.astype(float) @ (0.299, 0.587, 0.114)
        height, width = (side // 8 * 8 for side in luma.shape)
        return luma[:height, :width].reshape(height // 8, 8, width // 8, 8).swapaxes(1, 2).reshape(-1, 64)

    x, y = blocks(first), blocks(second)
    covariance = ((x - x.mean(1, keepdims=True)) * (y - y.mean(1, keepdims=True))).mean(1)
    alike = (2 * x.mean(1) * y.mean(1) + 6.5) * (2 * covariance + 58.5)
    return float(np.mean(alike / ((x.mean(1) ** 2 + y.mean(1) ** 2 + 6.5) * (x.var(1) + y.var(1) + 58.5))))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "least_psnr", "least_ssim"), [("fast", 36, 0.97), ("balanced", 38, 0.98), ("quality", 40, 0.99)]
)
@pytest.mark.parametrize("progressive", [False, True])
def test_each_preset_is_close_to_a_full_decode_with_lanczos(
    preset: Preset, least_psnr: float, least_ssim: float, progressive: bool
) -> None:
    data = encoded(photo(1080, 1350), quality=85, subsampling="4:2:0", progressive=progressive)
    result = process(data, Options(preset=preset, encode_quality=95))
    expected, pixels = reference(data, (result.width, result.height)), decoded(result.image)
    assert psnr(pixels, expected) > least_psnr
    assert ssim(pixels, expected) > least_ssim


def test_presets_choose_the_scale_a_jpeg_is_decoded_at() -> None:
    divisors = {
        preset: [
            resize.choose_draft_divisor(resize.compute_geometry(side, side, Options(image_size=500)), preset)
            for side in (400, 999, 1000, 1999, 2000, 4000, 8000)
        ]
        for preset in ("fast", "balanced", "quality")
    }
    assert divisors["fast"] == divisors["balanced"] == [1, 1, 2, 2, 4, 8, 8]
    assert divisors["quality"] == [1, 1, 1, 1, 2, 4, 8]


def test_a_tensor_is_given_when_it_is_asked_for() -> None:
    data = encoded(photo(800, 600))
    assert process(data).tensor is None
    pixels = process(data, Options(tensor="uint8")).tensor
    values = process(data, Options(tensor="float32")).tensor
    assert pixels is not None
    assert values is not None
    square = np.frombuffer(pixels, np.uint8).reshape(224, 224, 3)
    normal = np.frombuffer(values, "<f4").reshape(3, 224, 224)
    expected = (square / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    assert np.allclose(normal.transpose(1, 2, 0), expected, atol=1e-5)


def test_a_tensor_is_the_middle_of_the_image_as_torchvision_cuts_it() -> None:
    image = photo(341, 256)
    pixels = process(encoded(image, "PNG"), Options(tensor="uint8")).tensor
    assert pixels is not None
    middle = np.asarray(image)[16:240, 58:282]
    assert psnr(np.frombuffer(pixels, np.uint8).reshape(224, 224, 3), middle) > 35


@pytest.mark.slow
@pytest.mark.parametrize(("preset", "mode"), pairs(["fast", "quality"], ["no", "border", "keep_ratio", "center_crop"]))
def test_flipped_bits_give_an_image_or_a_refusal_whatever_the_options(preset: Preset, mode: ResizeMode) -> None:
    data = encoded(photo(200, 150), progressive=True)
    dice = np.random.default_rng(3)
    options = Options(image_size=64, preset=preset, resize_mode=mode, max_pixels=1_000_000, tensor="uint8")
    for _ in range(40):
        broken = bytearray(data)
        for position in dice.integers(2, len(data), 3):
            broken[position] ^= 1 << int(dice.integers(8))
        with contextlib.suppress(ImageRejectedError):
            process(bytes(broken), options)


@pytest.mark.skipif(find_spec("cykooz_resizer") is None, reason="cykooz.resizer has no wheel for this machine")
@pytest.mark.parametrize("kernel", ["lanczos3", "catmull_rom"])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize(
    ("size", "box"),
    [((200, 150), (0, 0, 531, 397)), ((224, 224), (67.25, 0.5, 463.75, 397.0)), ((700, 600), (0, 0, 531, 397))],
)
def test_vector_and_scalar_resize_agree(
    monkeypatch: pytest.MonkeyPatch, kernel: resize.Filter, mode: str, size: tuple[int, int], box: resize.Box
) -> None:
    image = photo(531, 397).convert(mode)
    by_vector = np.asarray(resize.resize(image, size, box, kernel)).astype(int)
    monkeypatch.setattr(resize, "simd", None)
    by_scalar = np.asarray(resize.resize(image, size, box, kernel)).astype(int)
    assert np.abs(by_vector - by_scalar).max() <= 2
    assert psnr(by_vector.astype(np.uint8), by_scalar.astype(np.uint8)) >= 50
