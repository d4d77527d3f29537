"""Turn the bytes of any image into a small clean JPEG and its features, without HTTP and without AWS.

    >>> result = process(data, Options(image_size=512))
    >>> result.image, result.width, result.height, result.phash

It needs NumPy, Pillow and simplejpeg, and it is faster with ``cykooz_resizer``, ``deflate`` and ``pyspng``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from imagelake.imaging import decode, encode, resize, tensor
from imagelake.imaging.features import Features, measure
from imagelake.imaging.options import Options
from imagelake.run.errors import ImageRejectedError

__all__ = ["Options", "ProcessedImage", "process", "process_all"]


@dataclass(frozen=True)
class ProcessedImage(Features):
    """A processed image and its features; the names are those of the columns of the dataset.

    ``content_type``                        of the original, detected from its bytes, such as ``image/png``
    ``original_width, original_height``     of the original in pixels as displayed, orientation applied
    ``width, height``                       of ``image`` in pixels
    ``image``                               baseline JPEG in sRGB, upright, without any metadata
    ``tensor``                              model input, see `imagelake.imaging.tensor`; ``None`` if not asked for

    Features (see `Features` and `Flags`) and tensor are of the pixels that ``image`` was encoded from, without border.
    """

    content_type: str
    original_width: int
    original_height: int
    width: int
    height: int
    image: bytes
    tensor: bytes | None


_DEFAULTS = Options()


def process(data: bytes, options: Options = _DEFAULTS) -> ProcessedImage:
    """Check, decode, resize, turn upright, measure and re-encode one image.

    Raises only ``ImageRejectedError``, whatever the bytes are. The same bytes always give the same result. Many threads
    may call it, and it changes no state of the process. An image of more than ``options.max_pixels`` is refused before
    any pixel is decoded, and so is one whose decoder would need more than 320 MB or more than a second, by an estimate:
    see `imagelake.imaging.header.Header`.
    """
    (result,) = process_all([data], options)
    if isinstance(result, ImageRejectedError):
        raise result
    return result


def process_all(files: Sequence[bytes], options: Options = _DEFAULTS) -> list[ProcessedImage | ImageRejectedError]:
    """Process several files; return for each what `process` would return or raise.

    Each stage runs over all files before the next stage begins, so that its code and tables stay in the processor's
    caches. ``benchmarks/pixels.py`` prints the time of the features with warm and with cold caches.
    """
    decoded = [_try_decode(data, options) for data in files]
    images = [image for image in decoded if isinstance(image, decode.DecodedImage)]
    features = [measure(image.image, (image.original_width, image.original_height)) for image in images]
    finished = (_finish(image, measured, options) for image, measured in zip(images, features, strict=True))
    return [image if isinstance(image, ImageRejectedError) else next(finished) for image in decoded]


def _try_decode(data: bytes, options: Options) -> decode.DecodedImage | ImageRejectedError:
    try:
        return decode.decode(data, options)
    except ImageRejectedError as error:
        return error


def _finish(decoded: decode.DecodedImage, features: Features, options: Options) -> ProcessedImage:
    """Make the tensor, the border and the JPEG."""
    image = decoded.image
    model_input = tensor.make_tensor(image, options.tensor) if options.tensor else None
    if options.resize_mode == "border":
        image = resize.add_border(image, options.image_size)
    return ProcessedImage(
        **vars(features),
        content_type=decoded.content_type,
        original_width=decoded.original_width,
        original_height=decoded.original_height,
        width=image.width,
        height=image.height,
        image=encode.encode_jpeg(image, options.encode_quality),
        tensor=model_input,
    )
