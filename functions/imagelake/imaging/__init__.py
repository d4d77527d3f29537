"""Turn the bytes of any picture into a small clean JPEG and what can be measured of it; knows neither HTTP nor AWS.

    >>> picture = process(data, Options(image_size=512))
    >>> picture.image, picture.width, picture.height, picture.phash

It needs NumPy, Pillow and ``imagelake.run.errors``, and is faster with ``cykooz_resizer``, ``deflate`` and ``pyspng``.
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
    """A processed picture and its features, named as the columns of the dataset.

    ``content_type``                        of the input, told from its bytes, e.g. ``image/png``
    ``original_width, original_height``     of the input in pixels as displayed, orientation applied
    ``width, height``                       of ``image`` in pixels
    ``image``                               baseline JPEG in sRGB, upright, without any metadata
    ``tensor``                              made of the pixels by `imagelake.imaging.tensor`; ``None`` if not asked for

    The features (see `Features` and `Flags`) are those of the pixels that ``image`` was encoded from, without border.
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
    """Check, decode, resize, turn upright, measure and re-encode one picture.

    Raises ``ImageRejectedError`` with a code and nothing else, whatever the bytes. The same bytes give the same
    result; it may be called from many threads and changes no state of the process. A picture of more pixels than
    ``options.max_pixels`` is refused from its header; below, a pixel costs at most some 20 bytes of memory (WebP), 16
    as PNG, 6 as progressive JPEG and less than one as any other JPEG that is made smaller.
    """
    (made,) = process_all([data], options)
    if isinstance(made, ImageRejectedError):
        raise made
    return made


def process_all(files: Sequence[bytes], options: Options = _DEFAULTS) -> list[ProcessedImage | ImageRejectedError]:
    """What `process` returns or raises for each of some files.

    Their small pictures are held together. Each stage goes through all of them before the next begins, which keeps
    its code and tables in the processor's caches.
    """
    decoded = [_decoded(data, options) for data in files]
    pictures = [picture for picture in decoded if isinstance(picture, decode.Decoded)]
    measured = [measure(picture.image, (picture.original_width, picture.original_height)) for picture in pictures]
    finished = (_finished(picture, features, options) for picture, features in zip(pictures, measured, strict=True))
    return [picture if isinstance(picture, ImageRejectedError) else next(finished) for picture in decoded]


def _decoded(data: bytes, options: Options) -> decode.Decoded | ImageRejectedError:
    try:
        return decode.decode(data, options)
    except ImageRejectedError as error:
        return error


def _finished(picture: decode.Decoded, features: Features, options: Options) -> ProcessedImage:
    image = picture.image
    model_input = tensor.tensor(image, options.tensor) if options.tensor else None
    if options.resize_mode == "border":
        image = resize.bordered(image, options.image_size)
    return ProcessedImage(
        **vars(features),
        content_type=picture.content_type,
        original_width=picture.original_width,
        original_height=picture.original_height,
        width=image.width,
        height=image.height,
        image=encode.encode(image, options.encode_quality),
        tensor=model_input,
    )
