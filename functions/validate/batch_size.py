"""The number of images in a batch: images and tensors together stay below 60 MB.

Write Parquet and Transform hold several copies of a batch in memory.
"""

from __future__ import annotations

from imagelake.run.image_option_models import ImageOptions
from imagelake.run.image_options import MAX_RESULT_PIXELS

MAX_IMAGE_BYTES = 60_000_000
TENSOR_BYTES = {None: 0, "uint8": 3 * 224 * 224, "float32": 4 * 3 * 224 * 224}
# Mean bytes per pixel of photos of 512 pixels, up to each quality, rounded up. Larger images need less. Smaller ones
# need more, but a thousand of them stay below the limit.
_BYTES_PER_PIXEL = {60: 0.12, 75: 0.16, 85: 0.22, 90: 0.27, 95: 0.38}
# Every JPEG has its tables.
_HEAD = 700


def max_images(options: ImageOptions) -> int:
    """Return the largest number of images in a batch with these options; at least 1."""
    per_pixel = next(size for quality, size in _BYTES_PER_PIXEL.items() if options.encode_quality <= quality)
    image_bytes = _HEAD + int(max_area(options) * per_pixel)
    return max(1, MAX_IMAGE_BYTES // (image_bytes + TENSOR_BYTES[options.tensor]))


def max_area(options: ImageOptions) -> float:
    """Return the number of pixels of the largest image that these options make."""
    area: float = options.image_size**2
    largest = min(options.max_image_area or MAX_RESULT_PIXELS, MAX_RESULT_PIXELS)
    if options.resize_mode == "no":
        return largest
    if options.resize_mode == "keep_ratio" or (options.resize_mode == "center_crop" and options.resize_only_if_bigger):
        # The size is that of the shorter side, also if a small image stays as it is.
        area *= options.max_aspect_ratio
    # An enlarged image, or one with a border, can be larger than the accepted originals.
    can_grow = options.resize_mode == "border" or not options.resize_only_if_bigger
    return min(area, MAX_RESULT_PIXELS if can_grow else largest)
