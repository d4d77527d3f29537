"""Several sizes of one image, which feeds list as separate files: their URLs differ only in the size."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import unquote

from imagelake.sources.entry import Enclosure
from imagelake.sources.signatures import is_signed, without_signature
from imagelake.web.errors import UrlRefusedError
from imagelake.web.urls import Url

# A name such as cat-300x200.jpg, or a folder such as /300x200/.
_SIZE_IN_PATH = re.compile(r"[-_](?P<name>\d{2,4}x\d{2,4})(?=\.\w{2,5}$)|(?<=/)(?P<folder>\d{2,4}x\d{2,4})/", re.ASCII)
_SIZES = ("width", "w", "resize", "size", "height", "h")
# One digit is rather a number of an image than its size.
_SIZE = re.compile(r"(\d{2,5})(?:px)?(?:[x,]\d{1,5}(?:px)?)?", re.ASCII)
# The signature of imgix is an MD5: https://docs.imgix.com/en-US/getting-started/setup/securing-assets
_IMGIX_SIGNATURE = re.compile(r"s=[0-9a-f]{32}")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
# https://www.rfc-editor.org/rfc/rfc3986#section-2.3
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")


class _Parts(NamedTuple):
    """A URL without its size and its signature, the sizes in it, and the width."""

    bare: str
    sizes: tuple[str, ...]
    width: int | None


def largest_of_each(*elements: list[Enclosure]) -> list[Enclosure]:
    """Return each image once, in its largest size, and each other file once, in their order.

    Each list has the files of one element. A feed may state one file in several elements.
    """
    by_url: dict[str, Enclosure] = {}
    for index, file in enumerate(_without_signed_twice(elements)):
        by_url.setdefault(spelled(file.url) if file.url else f" {index}", file)
    members = [
        (_parts(url) if file.kind == "image" and file.url else _Parts(f" {url}", (), None), file)
        for url, file in by_url.items()
    ]
    groups: dict[str, list[tuple[_Parts, Enclosure]]] = {}
    for parts, file in members:
        groups.setdefault(parts.bare, []).append((parts, file))
    largest = {bare: _largest(group) for bare, group in groups.items() if _are_sizes(group)}
    # The place of an image is that of its first size.
    return [
        largest.get(parts.bare, file)
        for parts, file in members
        if parts.bare not in largest or groups[parts.bare][0][1] is file
    ]


def _are_sizes(group: list[tuple[_Parts, Enclosure]]) -> bool:
    """Tell if URLs are sizes of one image; two of the same size can be different images."""
    return len({parts.sizes for parts, _ in group}) == len(group)


def _largest(group: list[tuple[_Parts, Enclosure]]) -> Enclosure:
    # A URL without a size is usually that of the original.
    return max(group, key=lambda member: member[1].width or member[0].width or math.inf)[1]


def _without_signed_twice(elements: Iterable[list[Enclosure]]) -> list[Enclosure]:
    """Leave out a file that an element before has with another signature, if only one file of each can be it."""
    files: list[Enclosure] = []
    for element in elements:
        before, here = Counter(map(_signed, files)), Counter(map(_signed, element))
        files += [file for file in element if not ((name := _signed(file)) and before[name] == 1 and here[name] == 1)]
    return files


def _signed(file: Enclosure) -> str | None:
    """Return the URL without its signature, or ``None`` if it has none beyond doubt."""
    return without_signature(spelled(file.url)) if file.url and is_signed(file.url) else None


def spelled(text: str) -> str:
    """Return one spelling for all URLs that lead to the same file; it is only compared, never requested."""
    try:
        url = Url.parse(text)
    except UrlRefusedError:
        return text
    port = "" if url.port in (80, 443) else f":{url.port}"
    return f"//{url.host}{port}{_ESCAPE.sub(_escape, url.target)}"


def _escape(match: re.Match[str]) -> str:
    character = chr(int(match[0][1:], 16))
    return character if _UNRESERVED.fullmatch(character) else match[0].upper()


def _parts(url: str) -> _Parts:
    """Take a URL apart. Its text is not decoded, because other bytes can be another image."""
    head, _, query = without_signature(url).partition("?")
    sizes = [match["name"] or match["folder"] for match in _SIZE_IN_PATH.finditer(head)]
    width = int(sizes[0].partition("x")[0]) if sizes else None
    stated, others = {}, []
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if name in _SIZES and (match := _SIZE.fullmatch(unquote(value))):
            stated[name] = int(match[1])
            sizes.append(f"{name}={unquote(value)}")
        elif not _IMGIX_SIGNATURE.fullmatch(part):
            others.append(part)
    width = next((stated[name] for name in _SIZES if name in stated), width)
    return _Parts(f"{_SIZE_IN_PATH.sub('', head)}?{'&'.join(others)}", tuple(sorted(sizes)), width)
