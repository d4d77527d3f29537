"""The versions of the libraries that touch pixels: with the same ones, the same file gives the same bytes."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version

from PIL import features

_PACKAGES = ("cykooz.resizer", "deflate", "numpy", "Pillow", "pyspng", "simplejpeg")
# Libraries inside the package of Pillow. The other packages say nothing about those inside them.
_INSIDE_PILLOW = ("avif", "libjpeg_turbo", "littlecms2", "webp", "zlib", "zlib_ng")


@cache
def library_versions() -> dict[str, str]:
    """Return the version of each library that is installed, by name."""
    found = {name: _version(name) for name in _PACKAGES}
    found |= {f"Pillow/{name}": _version_inside_pillow(name) for name in _INSIDE_PILLOW}
    return {name: value for name, value in sorted(found.items()) if value is not None}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _version_inside_pillow(name: str) -> str | None:
    value = features.version(name)
    return None if value is None else str(value)
