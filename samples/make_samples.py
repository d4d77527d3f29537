"""Make the hard cases in ``samples/cases`` from the photos; every run makes the same files.

    python samples/make_samples.py

It uses only photos under CC0, so the cases need no attribution.
"""

from __future__ import annotations

import io
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

SAMPLES = Path(__file__).resolve().parent

_ORIENTATION, _GPS = 0x0112, 0x8825
_BOMB_SIDE = 20_000
# These bytes are a sample: every change gives the case another hash, and the rows of the demo other values.
_HTML = b"""<!doctype html>
<html lang="en">
<head><title>This picture has moved</title></head>
<body><p>An error page that a server sent under a picture's name and type.</p></body>
</html>
"""


def _photo(name: str) -> Image.Image:
    return Image.open(SAMPLES / "photos" / name)


def _encoded(image: Image.Image, file_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def rotated_with_gps() -> bytes:
    """Make a JPEG that is stored on its side, as phones do (EXIF orientation 6), with GPS coordinates in its EXIF."""
    exif = Image.Exif()
    exif[_ORIENTATION] = 6
    exif.get_ifd(_GPS).update({1: "N", 2: (48.0, 51.0, 29.9), 3: "E", 4: (2.0, 17.0, 40.2)})
    upright = _photo("dandelion.jpg").resize((540, 675), Image.Resampling.LANCZOS)
    return _encoded(upright.transpose(Image.Transpose.ROTATE_90), "JPEG", quality=80, exif=exif)


def cut_out() -> bytes:
    """Make a PNG with an alpha channel: a disc of the photo with a soft edge, transparent around it."""
    disc = _photo("coffee-cup.jpg").crop((110, 0, 510, 400)).resize((256, 256), Image.Resampling.LANCZOS)
    across = np.linspace(-1, 1, 256)
    distance = np.hypot(across[:, None], across[None, :])
    alpha = np.clip((1 - distance) * 16, 0, 1) * 255
    disc.putalpha(Image.fromarray(alpha.astype(np.uint8)))
    return _encoded(disc, "PNG", optimize=True)


def meadow_webp() -> bytes:
    """Make a WebP, like a network that re-encodes its images."""
    small = _photo("dandelion-meadow.jpg").resize((720, 480), Image.Resampling.LANCZOS)
    return _encoded(small, "WEBP", quality=75, method=4)


def blinking_gif() -> bytes:
    """Make an animated GIF of four frames of different brightness."""
    cat = np.asarray(_photo("chelsea-cat.jpg").resize((240, 160), Image.Resampling.LANCZOS))
    frames = [Image.fromarray((cat * light).astype(np.uint8)).quantize(64) for light in (1, 0.8, 0.6, 0.8)]
    return _encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=150, loop=0)


def near_duplicate() -> bytes:
    """Make a photo of the feed again in another size and quality: other bytes, but it looks the same."""
    return _encoded(_photo("dandelion.jpg").resize((864, 1080), Image.Resampling.LANCZOS), "JPEG", quality=60)


def truncated() -> bytes:
    """Take the first three fifths of a JPEG."""
    data = (SAMPLES / "photos" / "coffee-cup.jpg").read_bytes()
    return data[: len(data) * 3 // 5]


def page() -> bytes:
    """Make HTML that the server serves as a JPEG."""
    return _HTML


def bomb() -> bytes:
    """Make a PNG of 50 KB with 400 megapixels of black: 1.2 GB as RGB."""
    row = bytes(1 + _BOMB_SIDE // 8)  # the filter byte, then one bit per pixel
    pixels = zlib.compress(row * _BOMB_SIDE, 9)
    header = struct.pack(">IIBBBBB", _BOMB_SIDE, _BOMB_SIDE, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


CASES: dict[str, Callable[[], bytes]] = {
    "rotated-with-gps.jpg": rotated_with_gps,
    "cut-out.png": cut_out,
    "meadow.webp": meadow_webp,
    "blinking.gif": blinking_gif,
    "near-duplicate.jpg": near_duplicate,
    "truncated.jpg": truncated,
    "page.jpg": page,
    "bomb.png": bomb,
}


def main() -> None:
    """Write every case and print its size."""
    folder = SAMPLES / "cases"
    folder.mkdir(exist_ok=True)
    for name, make in CASES.items():
        data = make()
        (folder / name).write_bytes(data)
        sys.stdout.write(f"{name} {len(data):,} bytes\n")


if __name__ == "__main__":
    main()
