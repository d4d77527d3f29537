"""Turn untrusted bytes into an upright sRGB picture of the size that is wanted, or refuse them."""

from __future__ import annotations

import io
from typing import NamedTuple

from PIL import Image
from PIL.AvifImagePlugin import AvifImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from imagelake.imaging import color, exif, png, resize, webp
from imagelake.imaging.header import Header, read, without_refinements
from imagelake.imaging.options import Options
from imagelake.imaging.sniff import CONTENT_TYPES, refusal, sniff
from imagelake.run.errors import ErrorCode, ImageRejectedError

# Named one by one: ``Image.open`` would try what the process has registered and apply its global pixel limit.
_DECODERS: dict[str, type[ImageFile]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WEBP": WebPImageFile,
    "GIF": GifImageFile,
    "AVIF": AvifImageFile,
}
# Each takes the plain files of its kind, and gives None for the others.
_FASTER = {"PNG": png.decode, "WEBP": webp.decode}

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


# What a JPEG, the format of the result, can hold along one side.
_MAX_SIDE = 65_500


class Decoded(NamedTuple):
    """A small upright RGB picture, what its file was, and the original's size as displayed."""

    image: Image.Image
    content_type: str
    original_width: int
    original_height: int


def decode(data: bytes, options: Options) -> Decoded:
    """The first frame of ``data``, resized, upright and in sRGB; raises ``ImageRejectedError`` and nothing else."""
    kind = sniff(data)
    if kind not in options.formats:
        raise refusal(kind)
    header = read(kind, data)
    plan = resize.plan(header.width, header.height, options)
    _check(header, plan, options)
    try:
        image, orientation = _pixels(kind, header, plan, options)
    except ImageRejectedError:
        raise
    # Decoders raise far more than OSError on bytes made to confuse them: SyntaxError, ValueError, TypeError, ...
    except Exception as error:
        is_cut = isinstance(error, EOFError) or "truncated" in str(error)
        code = ErrorCode.TRUNCATED if is_cut else ErrorCode.CORRUPT
        raise ImageRejectedError(code, f"The {kind} decoder refused it: {type(error).__name__}: {error}") from error
    width, height = header.width, header.height
    if orientation >= 5:
        width, height = height, width
    return Decoded(image, CONTENT_TYPES[kind], width, height)


def _check(header: Header, plan: resize.Plan, options: Options) -> None:
    """Hold the header, and what is to be made of it, to the limits; the pixel budget first."""
    width, height = header.width, header.height
    pixels = max(width * height, header.coded_pixels)
    if pixels > options.max_pixels:
        raise ImageRejectedError(
            ErrorCode.TOO_MANY_PIXELS, f"The picture has {pixels} pixels; the limit is {options.max_pixels}."
        )
    if plan.size[0] * plan.size[1] > options.max_pixels or max(plan.size) > _MAX_SIDE:
        raise ImageRejectedError(
            ErrorCode.TOO_MANY_PIXELS,
            f"The picture would become {plan.size[0]}x{plan.size[1]}; the limit is {options.max_pixels} pixels and "
            f"{_MAX_SIDE} a side.",
        )
    if width * height > options.max_image_area:
        raise ImageRejectedError(
            ErrorCode.TOO_MANY_PIXELS, f"The picture is {width}x{height}; the limit is {options.max_image_area} pixels."
        )
    short, long = sorted((width, height))
    if short < options.min_image_size:
        raise ImageRejectedError(
            ErrorCode.TOO_SMALL, f"The picture is {width}x{height}; no side may be below {options.min_image_size}."
        )
    if long > options.max_aspect_ratio * short:
        raise ImageRejectedError(
            ErrorCode.ODD_ASPECT_RATIO,
            f"The picture is {width}x{height}; the limit is {options.max_aspect_ratio:g} to 1.",
        )


def _pixels(kind: str, header: Header, plan: resize.Plan, options: Options) -> tuple[Image.Image, int]:
    """The picture and the orientation that was applied to it."""
    scale = resize.draft_scale(plan, options.preset) if kind == "JPEG" else 1
    is_fast = options.preset == "fast"
    data = without_refinements(header) if is_fast and scale > 1 else header.bare
    with _opened(kind, data) as image:
        if image.size != (header.width, header.height):
            raise ImageRejectedError(
                ErrorCode.CORRUPT, f"The header says {header.width}x{header.height}, the decoder {image.size}."
            )
        if scale > 1:
            image.draft(None, (max(1, header.width // scale), max(1, header.height // scale)))
            # Of a picture a few pixels thin, Pillow may have chosen another scale.
            scale = round(max(header.width, header.height) / max(image.size))
        image.load()
        orientation = exif.orientation(image.info["exif"]) if "exif" in image.info else header.orientation
        profile = header.profile or image.info.get("icc_profile")
        left, top, right, bottom = (edge / scale for edge in plan.box)
        # Orientation and colour come last: on the small picture they cost next to nothing.
        image = resize.resize(
            color.flatten(image), plan.size, (left, top, right, bottom), "catmull_rom" if is_fast else "lanczos3"
        )
        image = color.to_srgb(image, profile)
    if orientation in _UPRIGHT:
        image = image.transpose(_UPRIGHT[orientation])
    return image, orientation


def _opened(kind: str, data: bytes) -> Image.Image:
    """The picture, its pixels not decoded yet unless there was a faster way than Pillow's."""
    if kind in _FASTER and (picture := _FASTER[kind](data)):
        return picture
    image = _DECODERS[kind](io.BytesIO(data))
    # The bytes are in memory as it is: no need to hand them over piece by piece.
    image.decodermaxblock = len(data)
    return image
