"""Make a picture small without ever making it larger."""

from __future__ import annotations

from PIL import Image


def target_size(width: int, height: int, longest_side: int) -> tuple[int, int]:
    """The size with the same aspect ratio whose longer side is at most ``longest_side``; each side at least 1."""
    longest = max(width, height)
    if longest <= longest_side:
        return width, height
    scale = longest_side / longest
    return max(1, round(width * scale)), max(1, round(height * scale))


def draft_scale(width: int, height: int, longest_side: int) -> int:
    """The divisor, of 8, 4, 2 and 1, a JPEG can be decoded at without becoming smaller than the target.

    These are the scales at which an inverse DCT of fewer points does less work; libjpeg-turbo's other scales cost
    more than a full decode.
    """
    longest = max(width, height)
    return next(scale for scale in (8, 4, 2, 1) if longest >= scale * longest_side or scale == 1)


def resize(
    image: Image.Image, size: tuple[int, int], box: tuple[float, float, float, float] | None = None
) -> Image.Image:
    """The picture, or the part of it in ``box``, at ``size`` by Lanczos' filter with three lobes."""
    if image.size == size and box is None:
        return image
    return image.resize(size, Image.Resampling.LANCZOS, box=box)
