"""The plain decoder gives what Pillow gives, and leaves to Pillow what is not plain."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

import imaging
from imaging import decode, webp
from tests.unit.imaging.pictures import encoded, photo


def transparent(image: Image.Image) -> Image.Image:
    image.putalpha(128)
    return image


@pytest.mark.parametrize("size", [(640, 480), (641, 479), (1, 1), (3, 200)])
def test_it_gives_the_pixels_that_pillow_gives(size: tuple[int, int]) -> None:
    data = encoded(photo(*size), "WEBP", quality=80)
    plain = webp.decode(data)
    assert plain is not None
    assert (plain.mode, plain.size) == ("RGB", size)
    with Image.open(io.BytesIO(data)) as expected:
        assert np.array_equal(np.asarray(plain), np.asarray(expected))


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
def test_what_is_more_than_a_lossy_picture_is_left_to_pillow(data: bytes) -> None:
    assert webp.decode(data) is None


def test_a_damaged_picture_is_left_to_pillow() -> None:
    data = encoded(photo(640, 480), "WEBP")
    assert webp.decode(data[: len(data) // 2]) is None


def test_a_picture_comes_out_the_same_where_the_library_is_not_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(photo(1080, 1350), "WEBP", quality=80)
    made = imaging.process(data)
    monkeypatch.setattr(webp, "_decode", None)
    assert imaging.process(data) == made


def test_pillow_is_not_asked_for_a_plain_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(decode._DECODERS, "WEBP")
    assert imaging.process(encoded(photo(640, 480), "WEBP")).content_type == "image/webp"
