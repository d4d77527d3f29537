"""The fast decoders give the same pixels as Pillow, and nothing else changes on machines without them."""

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
from imagelake.imaging import png, resize, webp
from imagelake.imaging.formats import FORMATS
from tests.support.images import encoded, photo

pytestmark = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="only machines like Lambda's must have them"
)

# The module and its name for the library; the name is None if the library is missing.
LIBRARIES = {"PNG": (png, "pyspng"), "WEBP": (webp, "_decode")}


def test_all_libraries_are_installed() -> None:
    for module, name in (*LIBRARIES.values(), (resize, "simd")):
        assert getattr(module, name) is not None


@pytest.mark.slow
@pytest.mark.parametrize("kind", LIBRARIES)
@pytest.mark.parametrize("size", [(640, 480), (641, 479), (1, 1), (3, 200)])
def test_the_pixels_are_those_that_pillow_gives(kind: str, size: tuple[int, int]) -> None:
    data = encoded(photo(*size), kind)
    fast_decode = FORMATS[kind].fast_decode
    assert fast_decode is not None
    image = fast_decode(data)
    assert image is not None
    with Image.open(io.BytesIO(data)) as expected:
        assert (image.mode, image.size) == (expected.mode, expected.size)
        assert np.array_equal(np.asarray(image), np.asarray(expected))


@pytest.mark.slow
@pytest.mark.parametrize("kind", LIBRARIES)
def test_pillow_does_not_decode_plain_files(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(photo(640, 480), kind)
    monkeypatch.setitem(FORMATS, kind, FORMATS[kind]._replace(pillow_decoder=None))  # type: ignore[arg-type]
    assert imaging.process(data).content_type == f"image/{kind.lower()}"


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "library"), LIBRARIES.items())
def test_the_result_is_the_same_without_the_library(
    kind: str, library: tuple[ModuleType, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encoded(photo(1080, 1350), kind)
    expected = imaging.process(data)
    monkeypatch.setattr(*library, None)
    assert imaging.process(data) == expected


@pytest.mark.parametrize("kind", LIBRARIES)
def test_pillow_decodes_when_the_library_is_not_installed(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
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
