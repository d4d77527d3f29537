"""The structure of an image file, which the module of its format reads before any pixel is decoded.

A decoder that gets a whole file also parses its EXIF, its text, its second image and its later frames. None of these is
part of the result, and all of them have been used to attack decoders. So the decoder gets the file without them; the
size, the orientation and the color profile are read by our own code, within limits.
"""

from __future__ import annotations

from dataclasses import dataclass

from imagelake.run.errors import ErrorCode, ImageRejectedError

# Real profiles are below 3 MB (those of CMYK presses); a larger one is an attack or a mistake.
MAX_PROFILE_BYTES = 4 << 20
# An image of 40 megapixels has about ten thousand chunks; millions of empty chunks only cost time.
MAX_PARTS = 100_000
# Together with the process itself, these are less than 400 MB.
MAX_DECODER_BYTES = 320_000_000
# CPU time on one processor of 2024. The formats estimate it from pixels and bytes; we measured the times with noise.
MAX_DECODER_SECONDS = 1.0
# Lossy WebPs of a flat color end in one zero byte for about 8,000 pixels, and no other WebP or AVIF ends in more zeros.
_PIXELS_PER_ZERO = 4_000
_MAX_ZEROS = 16


@dataclass(frozen=True)
class Header:
    """The structure of one image file.

    ``width, height``  of the canvas as stored, before any orientation is applied
    ``stripped``       the file without metadata and without later frames
    ``orientation``    1 to 8, as in EXIF. That of a WebP or an AVIF stays in ``stripped``; its decoder only returns it
    ``profile``        the ICC profile; that of a WebP or an AVIF stays in ``stripped``, too
    ``coded_pixels``   pixels of the largest frame in the file, if its size may differ from the canvas; a third of the
                       pixels of all frames together, if that is more
    ``channels``       number of color components of a JPEG
    ``pixel_bytes``    bytes of memory that its decoder needs for each pixel, at most
    ``file_bytes``     bytes of memory that its decoder needs for the file
    ``seconds``        CPU time that its decoder needs, by an estimate; 0 if the limit on memory is enough
    """

    width: int
    height: int
    stripped: bytes
    orientation: int = 1
    profile: bytes | None = None
    coded_pixels: int = 0
    channels: int = 0
    pixel_bytes: int = 8
    file_bytes: int = 0
    seconds: float = 0


def truncated(reason: str) -> ImageRejectedError:
    """Make the error for a file that ends early."""
    return ImageRejectedError(ErrorCode.TRUNCATED, f"The file is cut off: {reason}.")


def check_tail(data: bytes, pixels: int) -> None:
    """Refuse coded data that end in more zeros than an encoder writes for so many pixels: they stand for lost data.

    Zeros are valid data of an arithmetic coder, so the decoders of WebP and AVIF make pixels from them. All data may be
    zeros; then the decoder finds no header.
    """
    length = len(data.rstrip(b"\0"))
    if length and len(data) - length > _MAX_ZEROS + pixels // _PIXELS_PER_ZERO:
        raise truncated(f"{len(data) - length} zeros are in place of its data")


def corrupt(reason: str) -> ImageRejectedError:
    """Make the error for a file that breaks the rules of its format."""
    return ImageRejectedError(ErrorCode.CORRUPT, f"The file is damaged: {reason}.")
