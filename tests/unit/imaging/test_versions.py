"""Versions of the libraries: all that are in the layer are named, and one that is missing is left out."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

import pytest

from imagelake.imaging import versions

LAYER = Path(__file__).parents[3] / "layers" / "imaging" / "requirements.in"


def test_every_package_of_the_layer_is_asked_for() -> None:
    lines = [line for line in LAYER.read_text().splitlines() if line and not line.startswith("#")]
    assert {re.split("[<>=]", line)[0].lower() for line in lines} == {name.lower() for name in versions._PACKAGES}


def test_versions_are_those_of_the_installed_packages() -> None:
    found = versions.library_versions()
    assert {name: found[name] for name in ("numpy", "Pillow")} == {name: version(name) for name in ("numpy", "Pillow")}
    assert re.match(r"[0-9]+\.[0-9]+", found["Pillow/libjpeg_turbo"])
    assert list(found) == sorted(found)


def test_package_that_is_missing_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "_PACKAGES", ("numpy", "no-such-package"))
    monkeypatch.setattr(versions, "_INSIDE_PILLOW", ("mozjpeg",))
    assert versions.library_versions.__wrapped__() == {"numpy": version("numpy")}
