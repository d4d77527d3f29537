"""Look for bytes that make ``functions/imaging`` raise anything but ``ImageRejectedError``; run by ``make fuzz``.

    python tests/fuzz/fuzz_process.py [SECONDS] [FOLDER]

It begins with small pictures made of this project's samples, keeps what reaches new code in FOLDER/corpus, and writes
bytes that crash to FOLDER/crash-*, which the next run gets as its argument in place of SECONDS to repeat them.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import atheris

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "functions"))

# Only our own code is instrumented: the decoders are native, and what they refuse is all that is asked of them.
with atheris.instrument_imports(include=["imagelake.imaging", "imagelake.run"]):
    from imagelake.imaging import Options, header, process
    from imagelake.imaging.sniff import sniff
    from imagelake.run.errors import ImageRejectedError

from PIL import Image  # noqa: E402 - after the code that is to be instrumented

_OPTIONS = Options(image_size=32, max_pixels=1_000_000)
_CLEAN = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00"
_MAX_BYTES = 8192


def check(data: bytes) -> None:
    """A header or a refusal, then a clean JPEG or a refusal, and the same twice."""
    try:
        found = header.read(sniff(data), data)
        assert found.width > 0, found
        assert found.height > 0, found
    except ImageRejectedError:
        pass
    try:
        picture = process(data, _OPTIONS)
    except ImageRejectedError:
        return
    assert picture.image.startswith(_CLEAN), picture.image[:20]
    assert picture.width * picture.height <= _OPTIONS.max_pixels, (picture.width, picture.height)


def write_seeds(folder: Path) -> None:
    """Small pictures in every format, with what metadata a format has."""
    folder.mkdir(parents=True, exist_ok=True)
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
            (folder / f"{name}-{suffix}.{kind.lower()}").write_bytes(buffer.getvalue())
    for case in (ROOT / "samples" / "cases").iterdir():
        if case.stat().st_size <= _MAX_BYTES:
            (folder / case.name).write_bytes(case.read_bytes())


def main() -> None:
    what = sys.argv[1] if len(sys.argv) > 1 else "60"
    folder = Path(sys.argv[2] if len(sys.argv) > 2 else ROOT / ".imagelake" / "fuzz")
    write_seeds(folder / "seeds")
    (folder / "corpus").mkdir(exist_ok=True)
    if what.isdecimal():
        rest = [f"-max_total_time={what}", f"-max_len={_MAX_BYTES}", "-timeout=10", "-rss_limit_mb=1024"]
        rest += ["-print_final_stats=1", f"-artifact_prefix={folder}{os.sep}"]
        rest += [str(folder / "corpus"), str(folder / "seeds")]
    else:
        rest = [what]
    atheris.Setup([sys.argv[0], *rest], check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
