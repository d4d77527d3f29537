"""Hashes of views: each is the phash of its rectangle, whatever the size of the image."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from imagelake.imaging.hashes import fingerprints
from imagelake.imaging.views import FLAT, ORIGINAL_VIEWS, VIEWS, view_hashes
from tests.support.images import photo


def distance(first: int, second: int) -> int:
    return ((first ^ second) % 2**64).bit_count()


@pytest.mark.parametrize("size", [(512, 512), (512, 341), (200, 512), (96, 96), (40, 30)])
@pytest.mark.parametrize("seed", range(3))
def test_view_is_nearly_the_phash_of_its_rectangle(size: tuple[int, int], seed: int) -> None:
    luma = photo(*size, seed).convert("L")
    hashes = view_hashes(luma)
    assert len(hashes) == len(VIEWS) == 26
    distances = []
    for ((top, bottom), (left, right)), hash_ in zip(VIEWS, hashes, strict=True):
        box = left * luma.width, top * luma.height, right * luma.width, bottom * luma.height
        part = luma.resize((64, 64), Image.Resampling.BILINEAR, box=box)
        distances.append(distance(fingerprints(part).phash, hash_))
    assert np.median(distances) <= 4
    assert max(distances) <= 16


def test_matrices_are_small_integers_so_that_all_sums_are_exact() -> None:
    from imagelake.imaging import views

    assert (np.rint(views._ROWS) == views._ROWS).all()
    most = np.abs(views._ROWS).sum(axis=1).max()
    assert most * 255 * most < 2**53


def test_flat_views_are_0() -> None:
    assert set(view_hashes(Image.new("L", (300, 200), 90))) == {FLAT}
    image = Image.new("L", (300, 200), 90)
    ImageDraw.Draw(image).ellipse((10, 10, 120, 90), fill=200)
    hashes = dict(zip(VIEWS, view_hashes(image), strict=True))
    flat = {view for view in ORIGINAL_VIEWS[:4] if hashes[view] == FLAT}
    assert flat == set(ORIGINAL_VIEWS[1:4])


@pytest.mark.parametrize("seed", range(4))
def test_hashes_of_the_mirror_image_are_those_of_a_mirrored_copy(seed: int) -> None:
    luma = photo(400, 300, seed).convert("L")
    whole, mirrored = fingerprints(luma), fingerprints(ImageOps.mirror(luma))
    assert distance(whole.mirrored_phash, mirrored.phash) <= 2
    assert distance(whole.mirrored_dhash, mirrored.dhash) <= 2
    assert whole.mirrored_phash != whole.phash
