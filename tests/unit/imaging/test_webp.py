"""Pillow decodes every WebP that is not plain."""

from __future__ import annotations

import pytest
from PIL import Image

from imagelake.imaging import webp
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
