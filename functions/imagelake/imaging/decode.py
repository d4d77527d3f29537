"""Decode untrusted bytes into an upright sRGB image of the wanted size, or refuse them."""

from __future__ import annotations

import io
from typing import NamedTuple

from PIL import Image
from PIL.ImageFile import ImageFile

from imagelake.imaging import color, exif, jpeg, resize
from imagelake.imaging.formats import FORMATS, read_header
from imagelake.imaging.header import MAX_DECODER_BYTES, MAX_DECODER_SECONDS, Header
from imagelake.imaging.options import Options
from imagelake.imaging.sniff import refusal, sniff_format
from imagelake.run.errors import ErrorCode, ImageRejectedError
from imagelake.run.image_options import MAX_RESULT_PIXELS

# The longest side that a JPEG, the format of the result, can have.
_MAX_SIDE = 65_500

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# From this orientation on, the image is stored lying on its side.
_FIRST_SIDEWAYS = 5


class DecodedImage(NamedTuple):
    """A small upright RGB image, the content type of its file, and the size of the original as displayed."""

    image: Image.Image
    content_type: str
    original_width: int
    original_height: int


def decode(data: bytes, options: Options) -> DecodedImage:
    """Decode the first frame of ``data``, resized, upright and in sRGB; raise only ``ImageRejectedError``."""
    format_name = sniff_format(data)
    if format_name not in options.formats:
        raise refusal(format_name)
    header = read_header(format_name, data)
    geometry = resize.compute_geometry(header.width, header.height, options)
    _check_limits(format_name, header, geometry, options)
    try:
        image, orientation = _decode_pixels(format_name, header, geometry, options)
    except ImageRejectedError:
        raise
    except MemoryError as error:
        message = f"The {format_name} decoder needs more memory than it may use."
        raise ImageRejectedError(ErrorCode.DECODER_FAILED, message) from error
    # On bytes made to confuse them, decoders raise far more than OSError: SyntaxError, ValueError, TypeError, ...
    except Exception as error:
        is_truncated = isinstance(error, EOFError) or "truncated" in str(error)
        code = ErrorCode.TRUNCATED if is_truncated else ErrorCode.CORRUPT
        message = f"The {format_name} decoder refused it: {type(error).__name__}: {error}"
        raise ImageRejectedError(code, message) from error
    width, height = header.width, header.height
    if orientation >= _FIRST_SIDEWAYS:
        width, height = height, width
    return DecodedImage(image, FORMATS[format_name].content_type, width, height)


def _check_limits(format_name: str, header: Header, geometry: resize.ResizeGeometry, options: Options) -> None:
    """Refuse an image beyond a limit; the limits on pixels, which protect memory, come first."""
    width, height = header.width, header.height
    pixels = max(width * height, header.coded_pixels)
    max_pixels = min(options.max_pixels, (MAX_DECODER_BYTES - header.file_bytes) // header.pixel_bytes)
    if pixels > max_pixels:
        raise ImageRejectedError(
            ErrorCode.TOO_MANY_PIXELS,
            f"The image has {pixels} pixels; the limit for this kind of {format_name} is {max_pixels}.",
        )
    if header.seconds > MAX_DECODER_SECONDS:
        raise ImageRejectedError(
            ErrorCode.TOO_MANY_PIXELS,
            f"The {format_name} decoder would need about {header.seconds:.1f} s for {pixels} pixels of this kind; the "
            f"limit is {MAX_DECODER_SECONDS:g} s.",
        )
    _check_result(geometry.size, options)
    if width * height > options.max_image_area:
        raise ImageRejectedError(
            ErrorCode.TOO_MANY_PIXELS, f"The image is {width}x{height}; the limit is {options.max_image_area} pixels."
        )
    short, long = sorted((width, height))
    if short < options.min_image_size:
        raise ImageRejectedError(
            ErrorCode.TOO_SMALL, f"The image is {width}x{height}; no side may be below {options.min_image_size}."
        )
    if long > options.max_aspect_ratio * short:
        raise ImageRejectedError(
            ErrorCode.ODD_ASPECT_RATIO,
            f"The image is {width}x{height}; the limit is {options.max_aspect_ratio:g} to 1.",
        )


def _check_result(size: tuple[int, int], options: Options) -> None:
    width, height = size
    max_pixels = min(options.max_pixels, MAX_RESULT_PIXELS)
    if width * height > max_pixels or max(size) > _MAX_SIDE:
        option = "another resize_mode" if options.resize_mode == "no" else "a smaller image_size"
        raise ImageRejectedError(
            ErrorCode.TOO_MANY_PIXELS,
            f"The result would be {width}x{height}; the limit is {max_pixels} pixels, and {_MAX_SIDE} for each side. "
            f"Choose {option}.",
        )


def _decode_pixels(
    format_name: str, header: Header, geometry: resize.ResizeGeometry, options: Options
) -> tuple[Image.Image, int]:
    """Return the image and the orientation that was applied to it."""
    divisor = resize.choose_draft_divisor(geometry, options.preset) if format_name == "JPEG" else 1
    is_fast = options.preset == "fast"
    with _open(format_name, header, divisor) as image:
        # Pillow may choose another scale for an image that is only a few pixels thin.
        divisor = round(max(header.width, header.height) / max(image.size))
        orientation = exif.read_orientation(image.info["exif"]) if "exif" in image.info else header.orientation
        profile = header.profile or image.info.get("icc_profile")
        left, top, right, bottom = (edge / divisor for edge in geometry.box)
        # Color and orientation come last, because on the small image they cost next to nothing.
        flat, profile = color.flatten(image, profile)
        image = resize.resize(flat, geometry.size, (left, top, right, bottom), "catmull_rom" if is_fast else "lanczos3")
        image = color.to_srgb(image, profile)
    if orientation in _UPRIGHT:
        image = image.transpose(_UPRIGHT[orientation])
    return image, orientation


def _open(format_name: str, header: Header, divisor: int) -> Image.Image:
    """Decode the image, at 1/``divisor`` of its size, by the fast decoder of its format or by Pillow."""
    if format_name == "JPEG" and (decoded := jpeg.decode(header, divisor)):
        return decoded
    image_format = FORMATS[format_name]
    image = image_format.fast_decode and image_format.fast_decode(header.stripped)
    image = image or image_format.pillow_decoder(io.BytesIO(header.stripped))
    if image.size != (header.width, header.height):
        raise ImageRejectedError(
            ErrorCode.CORRUPT, f"The header says {header.width}x{header.height}, the decoder {image.size}."
        )
    if isinstance(image, ImageFile):
        # The bytes are in memory already, so Pillow can read them in one piece. Of a WebP, it reads the decoded pixels
        # this way; in pieces of 46 bytes, the size of its file, an image took 2 s.
        image.decodermaxblock = max(image.decodermaxblock, len(header.stripped))
    if divisor > 1:
        image.draft(None, (max(1, header.width // divisor), max(1, header.height // divisor)))
    image.load()
    return image
