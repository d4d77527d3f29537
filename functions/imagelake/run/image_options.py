"""Choices in the execution input for processing images; not in ``models``, so that imaging needs no pydantic."""

from __future__ import annotations

from typing import Literal

Preset = Literal["fast", "balanced", "quality"]
Tensor = Literal["uint8", "float32"]

DEFAULT_PRESET: Preset = "balanced"
