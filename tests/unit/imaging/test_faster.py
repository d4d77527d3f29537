"""The decoders that are faster than Pillow's give what Pillow gives, and are missed by nobody where they are not."""

from __future__ import annotations

import ctypes
import importlib
import io
import platform
import sys
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from imagelake import imaging
from imagelake.imaging import decode, png, resize, webp
from tests.unit.imaging.pictures import encoded, photo

pytestmark = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="only Lambda's kind of machine must have them"
)

# The module and its name for the library, which is None where that is not to be had.
LIBRARIES = {"PNG": (png, "pyspng"), "WEBP": (webp, "_decode")}


def test_they_are_there() -> None:
    assert None not in (png.pyspng, webp._decode, resize.simd)


@pytest.mark.parametrize("kind", LIBRARIES)
@pytest.mark.parametrize("size", [(640, 480), (641, 479), (1, 1), (3, 200)])
def test_the_pixels_are_those_that_pillow_gives(kind: str, size: tuple[int, int]) -> None:
    data = encoded(photo(*size), kind)
    found = decode._FASTER[kind](data)
    assert found is not None
    with Image.open(io.BytesIO(data)) as expected:
        assert (found.mode, found.size) == (expected.mode, expected.size)
        assert np.array_equal(np.asarray(found), np.asarray(expected))


@pytest.mark.parametrize("kind", LIBRARIES)
def test_pillow_is_not_asked(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(photo(640, 480), kind)
    monkeypatch.delitem(decode._DECODERS, kind)
    assert imaging.process(data).content_type == f"image/{kind.lower()}"


@pytest.mark.parametrize(("kind", "library"), LIBRARIES.items())
def test_a_picture_comes_out_the_same_without(
    kind: str, library: tuple[ModuleType, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encoded(photo(1080, 1350), kind)
    made = imaging.process(data)
    monkeypatch.setattr(*library, None)
    assert imaging.process(data) == made


@pytest.mark.parametrize("kind", LIBRARIES)
def test_a_library_that_is_not_installed_is_done_without(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, name = LIBRARIES[kind]

    def refuse(path: str) -> None:
        raise OSError(path)

    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pyspng", None)
        patch.setattr(ctypes, "CDLL", refuse)
        importlib.reload(module)
        assert getattr(module, name) is None
        assert module.decode(encoded(photo(64, 48), kind)) is None
    importlib.reload(module)
    assert getattr(module, name) is not None
