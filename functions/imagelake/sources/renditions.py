"""Several sizes of one image, which feeds list as separate files: their URLs differ only in the size."""

from __future__ import annotations

import math
import re
from urllib.parse import parse_qsl, urlencode, urlsplit

from imagelake.sources.entry import Enclosure

# A name such as cat-300x200.jpg, or a folder such as /300x200/.
_SIZE_IN_PATH = re.compile(r"[-_](?P<name>\d{2,4})x\d{2,4}(?=\.\w{2,5}$)|(?<=/)(?P<folder>\d{2,4})x\d{2,4}/")
_SIZES = frozenset({"w", "h", "width", "height", "resize", "size"})
# One digit is rather a number of an image than its size.
_SIZE = re.compile(r"(\d{2,5})(?:px)?(?:[x,]\d{1,5}(?:px)?)?")
# Parameters that depend on the size: how to resize, and the signature of the other parameters.
_BESIDE_A_SIZE = frozenset({"auto", "crop", "dpr", "fit", "q", "quality", "s", "sig", "signature"})


def largest_of_each(files: list[Enclosure]) -> list[Enclosure]:
    """Return each image once, in its largest size, and each other file once, in their order."""
    by_url: dict[str, Enclosure] = {}
    for index, file in enumerate(files):
        # A feed may state one file in several elements.
        by_url.setdefault(file.url or f" {index}", file)
    kept: dict[str, Enclosure] = {}
    for url, file in by_url.items():
        name = _name_and_width(url)[0] if file.kind == "image" and file.url else url
        known = kept.setdefault(name, file)
        if _width(file) > _width(known):
            kept[name] = file
    return list(kept.values())


def _width(file: Enclosure) -> float:
    _, in_url = _name_and_width(file.url or "")
    # A URL without a size is usually that of the original.
    return file.width or in_url or math.inf


def _name_and_width(url: str) -> tuple[str, int | None]:
    """Return the URL without its size, and the width in it."""
    parts = urlsplit(url)
    found = _SIZE_IN_PATH.search(parts.path)
    width = int(found["name"] or found["folder"]) if found else None
    query = parse_qsl(parts.query, keep_blank_values=True)
    sizes = {name: match for name, text in query if name in _SIZES and (match := _SIZE.fullmatch(text))}
    if sizes:
        query = [(name, text) for name, text in query if name not in sizes and name not in _BESIDE_A_SIZE]
        stated = next((sizes[name] for name in ("width", "w", "resize", "size") if name in sizes), None)
        width = int(stated[1]) if stated else width
    path = _SIZE_IN_PATH.sub("", parts.path)
    return f"{parts.scheme}://{parts.netloc}{path}?{urlencode(query)}", width
