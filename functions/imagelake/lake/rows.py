"""The rows of the dataset: every column, its Athena type and its meaning, in the order of the Parquet file.

Tests compare this list with `Row`, the Glue table in ``template.yaml`` and ``docs/dataset.md``. Columns may be added,
but never changed or removed. Athena has no unsigned types and no float16.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple, TypedDict, TypeVar, cast

from imagelake.run.posts import Item

# Increase this number when a change of the code gives a different row for the same bytes. Each row has the number of
# the code that made it.
TRANSFORM_VERSION = 4


class Status(StrEnum):
    """Status of a media item after Transform."""

    OK = "ok"  # the image is in the row
    DUPLICATE = "duplicate"  # another row, named in ``duplicate_of``, has the same bytes
    REJECTED = "rejected"  # the bytes were downloaded, but they are not acceptable
    FAILED = "failed"  # the bytes could not be downloaded
    ERASED = "erased"  # the item was erased on request; the row only keeps its place


# The columns of an erased row: they say nothing about a person or a post.
KEPT = ("source", "status", "run_id", "transform_version", "image_options", "dt")
# The columns by which the steps know an erased row until its batch is closed.
_IDS = ("media_id", "feed", "post_id", "author_id")


class DuplicateKind(StrEnum):
    """The comparison that found a duplicate; of several that hold, the first one counts."""

    BYTES = "bytes"  # the same bytes, so the row is a duplicate
    WHOLE = "whole"  # the whole images look alike
    MIRRORED = "mirrored"  # one is the mirror image of the other
    PARTS = "parts"  # four of five parts look alike, as after a text or a box was added
    CROP = "crop"  # one is a crop of the other


class Column(NamedTuple):
    """Name, Athena type and meaning of one column."""

    name: str
    type: str
    meaning: str


COLUMNS: tuple[Column, ...] = (
    # The post.
    Column("media_id", "string", "Unique id of the media item, the same in every run"),
    Column("source", "string", "Network; also a partition column"),
    Column("feed", "string", "Feed that listed the item, as `source:account` or `source:server#tag`"),
    Column("post_id", "string", "The network's id of the post"),
    Column("media_index", "int", "Position in the post, from 0"),
    Column("author_id", "string", "The network's id of the author"),
    Column("author_name", "string", "Display name or handle of the author when the post was read"),
    Column("permalink", "string", "URL of the post"),
    Column("media_url", "string", "URL of the image; it may expire"),
    Column("posted_at", "timestamp", "Time of the post, UTC"),
    Column("caption", "string", "Text of the post"),
    Column("alt_text", "string", "Author's description of the image; null if none"),
    Column("tags", "array<string>", "Hashtags, without `#`"),
    Column("license", "string", "License that the network states; null if it states none"),
    Column("sensitive", "boolean", "True if the author or the network marked the post as sensitive"),
    # The result.
    Column("status", "string", "`ok`, `duplicate`, `rejected`, `failed` or `erased`"),
    Column("error_code", "string", "Reason of a rejected or failed row, from a closed list; else null"),
    Column("error_message", "string", "The same reason as a sentence; else null"),
    Column(
        "duplicate_of",
        "string",
        "`media_id` of the item with the same bytes, or of the near duplicate's original; else null",
    ),
    Column(
        "duplicate_distance",
        "int",
        "Number of bits that differ in the hashes that were compared; 0 for the same bytes, and possible for near "
        "duplicates",
    ),
    Column(
        "duplicate_kind",
        "string",
        "Comparison that found the duplicate: `bytes`, `whole`, `mirrored`, `parts` or `crop`; null if it is none",
    ),
    Column("run_id", "string", "Id of the run that planned the item"),
    Column("transform_version", "int", "Version of the transformation that made the row"),
    Column("image_options", "string", "Image options with which the item was planned, as JSON with sorted names"),
    Column("dt", "string", "Day for which the item was planned, `YYYY-MM-DD`; also a partition column"),
    # The raw file.
    Column("raw_key", "string", "Object key of the downloaded bytes; null if there are none"),
    Column("raw_sha256", "string", "SHA-256 of the downloaded bytes, hexadecimal"),
    Column("raw_bytes", "bigint", "Number of downloaded bytes"),
    Column("content_type", "string", "Type detected from the downloaded bytes, e.g. `image/jpeg`"),
    Column("original_width", "int", "Width of the original in pixels, with its orientation applied"),
    Column("original_height", "int", "Height of the original in pixels, with its orientation applied"),
    # The processed image.
    Column("width", "int", "Width of `image` in pixels"),
    Column("height", "int", "Height of `image` in pixels"),
    Column("image", "struct<bytes:binary,path:string>", "The image, a JPEG in sRGB without metadata; null unless `ok`"),
    Column("tensor", "binary", "Input for a model, if the option `tensor` asked for it; else null"),
    # Features of the processed image.
    Column(
        "mean_rgb",
        "array<float>",
        "Mean of R, G and B, each 0 to 255, over a sample of at most 128 x 128 evenly spaced pixels",
    ),
    Column("brightness", "float", "Mean luma of the same sample, 0 to 1"),
    Column("contrast", "float", "Standard deviation of luma in the same sample, 0 to 0.5"),
    Column("sharpness", "float", "Variance of the Laplacian of luma (0 to 255) over all pixels; 0 for a flat image"),
    Column("entropy", "float", "Shannon entropy of the luma histogram of the same sample, 0 to 8 bits"),
    Column("colorfulness", "float", "Hasler and Suesstrunk's M3 of the same sample; 0 for a gray image"),
    Column("dominant_colors", "array<string>", "Up to five colors as `#rrggbb`, the most frequent first"),
    Column("thumbhash", "string", "ThumbHash placeholder, Base64"),
    Column("phash", "bigint", "64-bit DCT perceptual hash, signed"),
    Column("dhash", "bigint", "64-bit difference hash, signed"),
    Column(
        "view_hashes",
        "array<bigint>",
        "28 more hashes, of parts and crops of the image and of its mirror image, for comparisons; 0 for a flat view",
    ),
    # Quality flags, with the names and methods of CleanVision, on a thumbnail of at most 64 pixels per side.
    Column("is_dark", "boolean", "The 99th percentile of brightness is below 0.32"),
    Column("is_light", "boolean", "The 5th percentile of brightness is above 0.95"),
    Column("is_blurry", "boolean", "CleanVision's score for sharp edges is below 0.29"),
    Column("is_low_information", "boolean", "The entropy of the thumbnail is below 3 bits"),
    Column("is_odd_aspect_ratio", "boolean", "The shorter side is less than 0.35 of the longer side"),
    Column("is_odd_size", "boolean", "The square root of the original's area is below 256 or above 4096 pixels"),
    Column("is_grayscale", "boolean", "R, G and B are equal in every pixel of the sample of `mean_rgb`"),
)


class ImageFile(TypedDict):
    """An image and its file name, in the form that Hugging Face ``datasets`` reads."""

    bytes: bytes
    path: str


class RowWithoutImage(TypedDict):
    """Every column except ``image`` and ``tensor``; a new row has no ``status`` yet, an erased one little else."""

    media_id: str
    source: str
    feed: str
    post_id: str
    media_index: int
    author_id: str
    author_name: str | None
    permalink: str | None
    media_url: str
    posted_at: str
    caption: str
    alt_text: str | None
    tags: Sequence[str]
    license: str | None
    sensitive: bool
    status: str
    error_code: str | None
    error_message: str | None
    duplicate_of: str | None
    duplicate_distance: int | None
    duplicate_kind: str | None
    run_id: str
    transform_version: int
    image_options: str
    dt: str
    raw_key: str | None
    raw_sha256: str | None
    raw_bytes: int | None
    content_type: str | None
    original_width: int | None
    original_height: int | None
    width: int | None
    height: int | None
    mean_rgb: Sequence[float] | None
    brightness: float | None
    contrast: float | None
    sharpness: float | None
    entropy: float | None
    colorfulness: float | None
    dominant_colors: Sequence[str] | None
    thumbhash: str | None
    phash: int | None
    dhash: int | None
    view_hashes: Sequence[int] | None
    is_dark: bool | None
    is_light: bool | None
    is_blurry: bool | None
    is_low_information: bool | None
    is_odd_aspect_ratio: bool | None
    is_odd_size: bool | None
    is_grayscale: bool | None


class Row(RowWithoutImage):
    """One row of the dataset, as Transform makes it and Write Parquet stores it."""

    image: ImageFile | None
    tensor: bytes | None


AnyRow = TypeVar("AnyRow", bound=RowWithoutImage)


def new_row(item: Item, *, run_id: str, dt: str, image_options: str) -> Row:
    """Make a row with the values that are known from the plan; every other column is ``None``."""
    row: dict[str, Any] = {column.name: None for column in COLUMNS}
    row.update(item.model_dump(mode="json", exclude={"expires_at"}))
    row.update(run_id=run_id, dt=dt, image_options=image_options, transform_version=TRANSFORM_VERSION)
    return cast(Row, row)


def tombstone(row: AnyRow, *, with_ids: bool = False) -> AnyRow:
    """Make the erased row that takes the place of a row; ``with_ids`` keeps the ids that the steps need."""
    kept = {*KEPT, *(_IDS if with_ids else ())}
    erased = {name: value if name in kept else None for name, value in row.items()} | {"status": Status.ERASED}
    return cast(AnyRow, erased)


def is_nameless(row: RowWithoutImage) -> bool:
    """Tell if a row is an erased one without ids, which belongs to no entry of the media index."""
    return row["status"] == Status.ERASED and row["media_id"] is None


def planned_rows(rows: Iterable[AnyRow], planned: Container[str]) -> list[AnyRow]:
    """Leave out the erased rows that only keep their places: their items are not in the plan, or they have no ids."""
    return [row for row in rows if row["status"] != Status.ERASED or row["media_id"] in planned]


def image_file(media_id: str, jpeg: bytes) -> ImageFile:
    """Make the value of the column ``image``."""
    # Programs use the path as the name of a file, and a media id can have slashes, dots and colons.
    return {"bytes": jpeg, "path": f"{hashlib.sha256(media_id.encode()).hexdigest()[:32]}.jpg"}


def select(row: Mapping[str, Any], columns: Iterable[str]) -> dict[str, Any]:
    """Return only these columns of a row."""
    return {name: row[name] for name in columns}
