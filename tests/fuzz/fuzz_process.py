"""Look for bytes that make `imagelake.imaging` raise anything but ``ImageRejectedError``; ``make fuzz`` runs this.

    python tests/fuzz/fuzz_process.py [SECONDS] [FOLDER]

It starts with small images made from this project's samples. Bytes that reach new code are kept in FOLDER/corpus; bytes
that crash are written to FOLDER/crash-*. To repeat a crash, give such a file in place of SECONDS.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path

import atheris

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "functions"))

from tests.fuzz.fuzzer import fuzz  # noqa: E402 - must come after the paths

# Only our own code is instrumented, because the decoders are native code.
with atheris.instrument_imports(include=["imagelake.imaging", "imagelake.run"]):
    from imagelake.imaging import Options, process
    from imagelake.imaging.formats import read_header
    from imagelake.imaging.sniff import sniff_format
    from imagelake.run.errors import ImageRejectedError

from PIL import Image  # noqa: E402 - must come after the instrumented code

_OPTIONS = Options(image_size=32, max_pixels=1_000_000)
_CLEAN = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00"
_MAX_BYTES = 8192


def check(data: bytes) -> None:
    """Read a header or a refusal, then a clean JPEG or a refusal."""
    try:
        header = read_header(sniff_format(data), data)
        assert header.width > 0, header
        assert header.height > 0, header
    except ImageRejectedError:
        pass
    try:
        result = process(data, _OPTIONS)
    except ImageRejectedError:
        return
    assert result.image.startswith(_CLEAN), result.image[:20]
    assert result.width * result.height <= _OPTIONS.max_pixels, (result.width, result.height)


def seeds() -> Iterator[tuple[str, bytes]]:
    """Make small images in every format, with all metadata that the format has, and name them."""
    exif = Image.Exif()
    exif[0x0112] = 6
    for number, name in enumerate(("chelsea-cat", "brick-wall", "rocket")):
        with Image.open(ROOT / "samples" / "photos" / f"{name}.jpg") as photo:
            small = photo.resize((24 + 8 * number, 16))
        for kind, options in (
            ("JPEG", {"exif": exif, "comment": b"a comment"}),
            ("JPEG", {"progressive": True}),
            ("PNG", {"exif": exif}),
            ("WEBP", {"exif": exif}),
            ("WEBP", {"lossless": True}),
            ("GIF", {"save_all": True, "append_images": [small]}),
            ("AVIF", {"exif": exif}),
        ):
            buffer = io.BytesIO()
            small.save(buffer, kind, **options)
            suffix = "-".join(sorted(options))
            yield f"{name}-{suffix}.{kind.lower()}", buffer.getvalue()
    for case in (ROOT / "samples" / "cases").iterdir():
        if case.stat().st_size <= _MAX_BYTES:
            yield case.name, case.read_bytes()


if __name__ == "__main__":
    fuzz(check, dict(seeds()), name="fuzz", max_bytes=_MAX_BYTES)
