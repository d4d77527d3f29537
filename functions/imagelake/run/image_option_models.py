"""The options for processing images in the execution input and in feeds; ``imaging.Options`` explains each of them."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import Field

from imagelake.run.frozen_model import FrozenModel
from imagelake.run.image_options import DEFAULT_PRESET, Preset, ResizeMode, Tensor, TensorChange

# No image has more pixels; see ``imaging.Options.max_pixels``.
MAX_PIXELS = 40_000_000

_ImageSize = Annotated[int, Field(ge=16, le=2048, strict=True)]
_Quality = Annotated[int, Field(ge=1, le=95, strict=True)]
_Flag = Annotated[bool, Field(strict=True)]
_Side = Annotated[int, Field(ge=1, le=6000, strict=True)]
_Area = Annotated[int, Field(ge=1, le=MAX_PIXELS, strict=True)]
_Ratio = Annotated[float, Field(ge=1, le=1000, allow_inf_nan=False, strict=True)]


def refuse_impossible_sizes(min_image_size: int | None, max_image_area: int | None) -> None:
    """Raise ``ValueError`` with a sentence if the smallest image that one option allows is too large for the other."""
    if min_image_size is not None and max_image_area is not None and min_image_size**2 > max_image_area:
        raise ValueError(
            f"min_image_size {min_image_size:,} and max_image_area {max_image_area:,} reject every image: the smallest"
            f" one that min_image_size allows has {min_image_size**2:,} pixels"
        )


class ImageOptionChanges(FrozenModel):
    """Options of a feed that differ from those of its run, or of a rebuild; ``None`` changes nothing."""

    image_size: _ImageSize | None = None
    resize_mode: ResizeMode | None = None
    resize_only_if_bigger: _Flag | None = None
    encode_quality: _Quality | None = None
    preset: Preset | None = None
    tensor: TensorChange | None = None
    min_image_size: _Side | None = None
    max_image_area: _Area | None = None
    max_aspect_ratio: _Ratio | None = None


class ImageOptions(FrozenModel):
    """All options, with the values of ``imaging.Options`` as defaults; ``None`` is no tensor, or no limit of area."""

    image_size: _ImageSize = 512
    resize_mode: ResizeMode = "keep_ratio_largest"
    resize_only_if_bigger: _Flag = True
    encode_quality: _Quality = 85
    preset: Preset = DEFAULT_PRESET
    tensor: Tensor | None = None
    min_image_size: _Side = 8
    max_image_area: _Area | None = None
    max_aspect_ratio: _Ratio = 20.0

    @property
    def image_options(self) -> dict[str, Any]:
        """The options alone, by name."""
        return {name: getattr(self, name) for name in ImageOptions.model_fields}

    @property
    def image_options_json(self) -> str:
        """The value of the column ``image_options``: equal options always give the same text."""
        return json.dumps(self.image_options, sort_keys=True, separators=(",", ":"))

    @property
    def imaging_arguments(self) -> dict[str, Any]:
        """The arguments for ``imaging.Options``."""
        return {name: value for name, value in self.image_options.items() if value is not None}

    def changed_by(self, changes: ImageOptionChanges) -> ImageOptions:
        """Return the options alone, with those of ``changes`` where it has some."""
        every = {name: getattr(changes, name) for name in ImageOptionChanges.model_fields}
        new = {name: value for name, value in every.items() if value is not None}
        if changes.tensor == "none":
            new["tensor"] = None
        return ImageOptions(**self.image_options | new)
