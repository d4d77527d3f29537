"""Pillow decodes every WebP that is not plain."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
from PIL import Image

from imagelake.imaging import vp8l, webp
from imagelake.run.errors import ErrorCode, ImageRejectedError
from tests.support.images import encoded, photo


def transparent(image: Image.Image) -> Image.Image:
    image.putalpha(128)
    return image


@pytest.mark.parametrize(
    "data",
    [
        encoded(photo(64, 48), "WEBP", lossless=True),
        encoded(transparent(photo(64, 48)), "WEBP"),
        encoded(photo(64, 48), "WEBP", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"),
        encoded(photo(64, 48), "WEBP", save_all=True, append_images=[photo(64, 48).rotate(180)]),
    ],
    ids=["lossless", "transparent", "with metadata", "animated"],
)
def test_other_kinds_are_left_to_pillow(data: bytes) -> None:
    assert webp.decode(data) is None


def test_a_damaged_image_is_left_to_pillow() -> None:
    data = encoded(photo(640, 480), "WEBP")
    assert webp.decode(data[: len(data) // 2]) is None


# A tenth of the time of the default.
OCTREE = Image.Quantize.FASTOCTREE
LOSSLESS = {
    **{f"method {method}": encoded(photo(300, 200), "WEBP", lossless=True, method=method) for method in (0, 2, 4, 6)},
    **{
        f"{colors} colors": encoded(photo(300, 200).quantize(colors, OCTREE).convert("RGB"), "WEBP", lossless=True)
        for colors in (1, 2, 4, 16, 200)
    },
    "transparent": encoded(transparent(photo(300, 200)), "WEBP", lossless=True),
    "lossy and transparent": encoded(transparent(photo(300, 200)), "WEBP"),
    "animated": encoded(photo(64, 48), "WEBP", lossless=True, save_all=True, append_images=[photo(64, 48).rotate(180)]),
    "one pixel": encoded(photo(1, 1), "WEBP", lossless=True),
}


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The blocks of the transforms and of the codes of the images that are read."""
    counts: list[int] = []
    blocks = vp8l._blocks

    def watch(width: int, height: int, bits: int) -> int:
        counts.append(blocks(width, height, bits))
        return counts[-1]

    monkeypatch.setattr(vp8l, "_blocks", watch)
    return counts


@pytest.mark.parametrize("name", LOSSLESS)
def test_blocks_of_an_encoder_are_counted(name: str, counts: list[int]) -> None:
    """libwebp's encoder makes at most 2,600 blocks with codes (MAX_HUFF_IMAGE_SIZE), and blocks of at least 4 by 4."""
    webp.read_header(LOSSLESS[name])
    # A reader that loses its place finds random numbers.
    assert all(count <= 300 * 200 // 16 for count in counts)
    assert name != "method 4" or len(counts) == 3


@pytest.mark.parametrize("limit", ["MAX_BLOCKS", "MAX_TRANSFORM_PIXELS"])
def test_lossless_webp_above_a_limit_is_refused(limit: str, counts: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    webp.read_header(LOSSLESS["method 4"])
    predictor, color, codes = counts
    most = codes if limit == "MAX_BLOCKS" else predictor + color
    monkeypatch.setattr(vp8l, limit, most)
    webp.read_header(LOSSLESS["method 4"])
    monkeypatch.setattr(vp8l, limit, most - 1)
    with pytest.raises(ImageRejectedError) as refused:
        webp.read_header(LOSSLESS["method 4"])
    assert refused.value.code is ErrorCode.CORRUPT


@pytest.mark.slow
def test_codes_without_an_end_are_left_to_libwebp() -> None:
    for length in range(25, 400):
        data = LOSSLESS["method 4"][:length]
        webp.read_header(data[:4] + (length - 8).to_bytes(4, "little") + data[8:])


@pytest.mark.parametrize("seed", range(20))
def test_damaged_codes_are_left_to_libwebp(seed: int) -> None:
    """Whatever the bits are, the reader ends, and only its limits refuse an image."""
    data = bytearray(LOSSLESS["method 6"])
    random = np.random.default_rng(seed)
    data[25:1_000] = random.integers(0, 256, 975, dtype=np.uint8).tobytes()
    with suppress(ImageRejectedError):
        webp.read_header(bytes(data))
