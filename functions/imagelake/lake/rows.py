"""The row contract: every column of the dataset, its Athena type and its meaning, in file order.

The Glue table in ``template.yaml``, the Parquet schema and ``docs/dataset.md`` are held equal to this list by tests.
Athena has no unsigned types and no float16. Changes are additive only.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, NamedTuple

from imagelake.run.posts import Item

# Grows when the same bytes would give another row; rows keep the version that made them.
TRANSFORM_VERSION = 3


class Status(StrEnum):
    """What became of one attempted media item."""

    OK = "ok"  # the picture is in the row
    DUPLICATE = "duplicate"  # the same picture is in the row of ``duplicate_of``
    REJECTED = "rejected"  # the bytes are here and are not acceptable
    FAILED = "failed"  # the bytes could not be had


class Column(NamedTuple):
    """One column: its name, its Athena type and what it says."""

    name: str
    type: str
    meaning: str


COLUMNS: tuple[Column, ...] = (
    # The post.
    Column("media_id", "string", "Unique name of the media item, stable across runs"),
    Column("source", "string", "Network; also a partition"),
    Column("feed", "string", "Feed that listed it, as `source:account` or `source:server#tag`"),
    Column("post_id", "string", "The network's id of the post"),
    Column("media_index", "int", "Position in the post, from 0"),
    Column("author_id", "string", "The network's id of the author"),
    Column("author_name", "string", "Display name or handle when it was fetched"),
    Column("permalink", "string", "URL of the post"),
    Column("media_url", "string", "URL of the bytes; may expire"),
    Column("posted_at", "timestamp", "Time of the post, UTC"),
    Column("caption", "string", "Text of the post"),
    Column("alt_text", "string", "Author's description of the image; null if none"),
    Column("tags", "array<string>", "Hashtags, without `#`"),
    Column("license", "string", "License that the network states; null if it states none"),
    Column("sensitive", "boolean", "The author or the network marked it as sensitive"),
    # What happened.
    Column("status", "string", "`ok`, `duplicate`, `rejected` or `failed`"),
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
        "0 if the bytes are the same, else the number of `phash` bits that differ; null if no duplicate",
    ),
    Column("run_id", "string", "Run that planned it"),
    Column("transform_version", "int", "Version of the transformation that made the row"),
    Column("dt", "string", "Day it was planned for, `YYYY-MM-DD`; also a partition"),
    # The raw file.
    Column("raw_key", "string", "Object key of the bytes as downloaded; null if there are none"),
    Column("raw_sha256", "string", "SHA-256 of those bytes, hexadecimal"),
    Column("raw_bytes", "bigint", "Number of those bytes"),
    Column("content_type", "string", "Type detected from the bytes, e.g. `image/jpeg`"),
    Column("original_width", "int", "Width in pixels as displayed, orientation applied"),
    Column("original_height", "int", "Height in pixels as displayed, orientation applied"),
    # The processed picture.
    Column("width", "int", "Width in pixels of `image`"),
    Column("height", "int", "Height in pixels of `image`"),
    Column("image", "struct<bytes:binary,path:string>", "The image, a JPEG in sRGB without metadata; null unless `ok`"),
    Column("tensor", "binary", "Input for a model, if the execution input asked for it; else null"),
    # Features of the processed picture.
    Column(
        "mean_rgb", "array<float>", "Mean of R, G and B, each 0 to 255, over at most 128 x 128 pixels, evenly spaced"
    ),
    Column("brightness", "float", "Mean luma, 0 to 1, over the same pixels"),
    Column("contrast", "float", "Standard deviation of luma, 0 to 0.5, over the same pixels"),
    Column("sharpness", "float", "Variance of the Laplacian of luma (0 to 255), from 0"),
    Column("entropy", "float", "Shannon entropy of the luma histogram of those pixels, 0 to 8 bits"),
    Column("colorfulness", "float", "Hasler-Suesstrunk M3, from 0 (gray), over the same pixels"),
    Column("dominant_colors", "array<string>", "Up to five colors as `#rrggbb`, largest share first"),
    Column("thumbhash", "string", "ThumbHash placeholder, Base64"),
    Column("phash", "bigint", "64-bit DCT perceptual hash, signed"),
    Column("dhash", "bigint", "64-bit difference hash, signed"),
    # Quality flags, named and measured as CleanVision does, on a thumbnail of at most 64 pixels a side.
    Column("is_dark", "boolean", "99th percentile of brightness below 0.32"),
    Column("is_light", "boolean", "5th percentile of brightness above 0.95"),
    Column("is_blurry", "boolean", "Edge score below 0.29"),
    Column("is_low_information", "boolean", "Entropy below 3 bits"),
    Column("is_odd_aspect_ratio", "boolean", "Shorter side below 0.35 of the longer one"),
    Column("is_odd_size", "boolean", "Root of the original's area below 256 or above 4096 pixels"),
    Column("is_grayscale", "boolean", "R, G and B are equal in every sampled pixel"),
)


def new_row(item: Item, *, run_id: str, dt: str) -> dict[str, Any]:
    """A row for ``item`` with every column: the post filled in, all that is not known yet ``None``."""
    row: dict[str, Any] = {column.name: None for column in COLUMNS}
    row.update(item.model_dump(mode="json", exclude={"expires_at"}))
    row.update(run_id=run_id, dt=dt, transform_version=TRANSFORM_VERSION)
    return row
