"""Make the images of all benchmarks from freely licensed photos in two Debian packages.

The packages are downloaded once into ``.imagelake/benchmarks`` and checked by their SHA-256. They give four sets:

``social``       1080x1350 and 1080x1080 JPEG, quality 85, one in four progressive, as social networks serve
``12mp``         4032x3024 JPEG, quality 90, as a phone takes
``progressive``  like ``social``, but all are progressive
``mixed``        like ``social``, but of every eight images five are JPEG, two are WebP and one is PNG
"""

from __future__ import annotations

import hashlib
import io
import lzma
import tarfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, ImageOps

CACHE = Path(__file__).resolve().parents[1] / ".imagelake" / "benchmarks"
SETS = ("social", "12mp", "progressive", "mixed")

_POOL = "https://deb.debian.org/debian/pool/main/l/lomiri-wallpapers/"
_PACKAGES = {
    "lomiri-wallpapers-16.04_20.04.0-2_all.deb": "a99ff6a3bfe451e4cc0682ecb3cc82e71740626d59e4845ae34a0a0e45421eab",
    "lomiri-wallpapers-20.04_20.04.0-2_all.deb": "d44e89b8473aafe64a5b678f014862dc31335aaaf18665c544d985d854f1a709",
}


def corpus(name: str) -> list[Path]:
    """Return the files of one set; make them if they do not exist yet."""
    folder = CACHE / "corpus" / name
    if not folder.is_dir():
        unfinished = folder.with_suffix(".new")
        unfinished.mkdir(parents=True, exist_ok=True)
        for number, (suffix, data) in enumerate(_images(name)):
            (unfinished / f"{number:03d}.{suffix}").write_bytes(data)
        unfinished.rename(folder)
    return sorted(folder.iterdir())


def _images(name: str) -> Iterator[tuple[str, bytes]]:
    if name == "12mp":
        for photo in _photos():
            yield "jpg", _encoded(ImageOps.fit(photo, (4032, 3024), Image.Resampling.LANCZOS), "JPEG", quality=90)
        return
    number = 0
    for photo in _photos():
        for size, across in (((1080, 1350), 0.3), ((1080, 1080), 0.7)):
            part = ImageOps.fit(photo, size, Image.Resampling.LANCZOS, centering=(across, 0.5))
            kind = ("JPEG", "JPEG", "WEBP", "JPEG", "JPEG", "PNG", "JPEG", "WEBP")[number % 8]
            if name == "mixed" and kind != "JPEG":
                yield kind.lower(), _encoded(part, kind, **({"quality": 80} if kind == "WEBP" else {}))
            else:
                progressive = name == "progressive" or number % 4 == 3
                yield "jpg", _encoded(part, "JPEG", quality=85, progressive=progressive)
            number += 1


def _encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _photos() -> Iterator[Image.Image]:
    for name, digest in _PACKAGES.items():
        with tarfile.open(fileobj=io.BytesIO(lzma.decompress(_data(_package(name, digest))))) as archive:
            files = [file for file in archive.getmembers() if file.isfile() and file.name.endswith(".jpg")]
            for file in sorted(files, key=lambda file: file.name):
                body = archive.extractfile(file)
                assert body is not None
                with Image.open(body) as image:
                    yield image.convert("RGB")


def _package(name: str, digest: str) -> bytes:
    path = CACHE / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(_POOL + name) as response:
            path.write_bytes(response.read())
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != digest:
        path.unlink()
        raise SystemExit(f"{name} is not the expected file: its SHA-256 differs")
    return data


def _data(package: bytes) -> bytes:
    """Find the member ``data.tar.xz`` of a Debian package, which is an ar archive (deb(5))."""
    position = 8
    while position < len(package):
        name, size = package[position : position + 16].strip(), int(package[position + 48 : position + 58])
        if name == b"data.tar.xz":
            return package[position + 60 : position + 60 + size]
        position += 60 + size + size % 2
    raise SystemExit("the package holds no data.tar.xz")
