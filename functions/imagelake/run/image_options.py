"""Choices in the options for processing images; without pydantic, which imaging does not need."""

from __future__ import annotations

from typing import Literal

Preset = Literal["fast", "balanced", "quality"]
Tensor = Literal["uint8", "float32"]
# A change of the option, which can also take the tensor away.
TensorChange = Literal["uint8", "float32", "none"]
ResizeMode = Literal["no", "border", "keep_ratio", "keep_ratio_largest", "center_crop"]

# A result of this size takes 425 MB. Photos of 24 megapixels are common.
MAX_RESULT_PIXELS = 25_000_000
DEFAULT_PRESET: Preset = "balanced"
