"""Small images for the lake at a glance, a limited number with a limited number of bytes."""

from __future__ import annotations

import base64
import io
from itertools import chain, zip_longest

from PIL import Image

from imagelake.run.frozen_model import FrozenModel
from report.contact_sheet import ShownImage

MAX_IMAGES = 24
# With 24 images, the page has at most 400 KB of them.
_MAX_BYTES = 12_000
_MAX_SIDE = 192
_QUALITIES = (75, 50, 25)


class Thumbnail(FrozenModel):
    """One image as a ``data:`` URL, with what the page says about it."""

    media_id: str
    source: str
    dt: str
    alt: str
    permalink: str | None
    src: str


def thumbnails(images: list[ShownImage]) -> list[Thumbnail]:
    """Make up to 24 small images, in turn from each feed."""
    by_feed: dict[str, list[ShownImage]] = {}
    for image in images:
        by_feed.setdefault(image.row["feed"], []).append(image)
    in_turn = (image for image in chain(*zip_longest(*by_feed.values())) if image is not None)
    made = ((image, _small(image.src)) for image in list(in_turn)[:MAX_IMAGES])
    return [_thumbnail(image, src) for image, src in made if src]


def newest_first(new: list[Thumbnail], before: list[Thumbnail]) -> list[Thumbnail]:
    """Put new images in front of earlier ones; each image is shown once."""
    by_id: dict[str, Thumbnail] = {}
    for image in (*new, *before):
        by_id.setdefault(image.media_id, image)
    return list(by_id.values())[:MAX_IMAGES]


def _thumbnail(image: ShownImage, src: str) -> Thumbnail:
    row = image.row
    alt = (row["alt_text"] or "")[:300]
    permalink = row["permalink"] if row["permalink"] and len(row["permalink"]) < 1000 else None
    return Thumbnail(
        media_id=row["media_id"], source=row["source"], dt=row["dt"], alt=alt, permalink=permalink, src=src
    )


def _small(src: str) -> str:
    """Shrink an image of the contact sheet; return nothing if it still has too many bytes."""
    start, _, body = src.partition(",")
    with Image.open(io.BytesIO(base64.b64decode(body)), formats=["JPEG"]) as image:
        image.thumbnail((_MAX_SIDE, _MAX_SIDE))
        for quality in _QUALITIES:
            smaller = io.BytesIO()
            image.save(smaller, "JPEG", quality=quality)
            if smaller.tell() <= _MAX_BYTES:
                return f"{start},{base64.b64encode(smaller.getvalue()).decode()}"
    return ""
