"""The Parquet file of one batch: explicit types, one row group per 500 rows, images as they are."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import awswrangler as wr
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from botocore.exceptions import BotoCoreError, ClientError

from imagelake.lake.bucket import CONDITION_FAILED, Bucket, Version, named_if_damaged
from imagelake.lake.rows import COLUMNS, KEPT, Row, Status
from imagelake.lake.suppression import SuppressionList
from imagelake.run.aws import aws_errors
from imagelake.run.errors import DamagedObjectError

# A row group contains its images. With more rows, a viewer would read over 100 MB to show a single one.
_ROW_GROUP = 500
# Footers are smaller, unless the rows have long texts.
_FOOTER_BYTES = 128_000
_METADATA = b"imagelake"
_IMAGES = ("image", "tensor")
_ARROW = {
    "string": pa.string(),
    "binary": pa.binary(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "float": pa.float32(),
    "boolean": pa.bool_(),
    "timestamp": pa.timestamp("us"),
    "array<string>": pa.list_(pa.string()),
    "array<float>": pa.list_(pa.float32()),
    "array<bigint>": pa.list_(pa.int64()),
    "struct<bytes:binary,path:string>": pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
}
ENCODING: dict[str, Any] = {
    "version": "1.0",
    # Images are compressed already, and the rest is a hundredth of the file.
    "compression": "NONE",
    "use_dictionary": [column.name for column in COLUMNS if column.name not in _IMAGES],
    "coerce_timestamps": "us",
    # A page ends only after so many values. With Arrow's 1024, all images of a row group would be one page in memory.
    "write_batch_size": 16,
}
# pyarrow and pandas also take these columns from the path, as dictionaries; with another type in the files they fail.
_IN_THE_PATH = dict.fromkeys(("source", "dt"), pa.dictionary(pa.int32(), pa.string()))
_TYPES = {column.name: _ARROW[column.type] for column in COLUMNS} | _IN_THE_PATH
_DTYPES = {name: pd.ArrowDtype(type_) for name, type_ in _TYPES.items()}


def schema() -> pa.Schema:
    """Make the Arrow schema of the dataset; its metadata says to Hugging Face ``datasets`` which column is an image."""
    features = {column.name: _feature(column.type) for column in COLUMNS}
    huggingface = json.dumps({"info": {"features": features}})
    return pa.schema(list(_TYPES.items()), metadata={"huggingface": huggingface})


def to_table(rows: list[Row]) -> pd.DataFrame:
    """Make a table of rows; its columns have Arrow's types, which keep 64-bit hashes exact beside nulls."""
    table = pd.DataFrame(rows, columns=list(_DTYPES), dtype="object")
    table["posted_at"] = pd.to_datetime(table["posted_at"], utc=True, format="ISO8601").dt.tz_localize(None)
    return table.astype(_DTYPES)


def read(bucket: Bucket, key: str, version: Version, columns: list[str] | None = None) -> pd.DataFrame | None:
    """Read a file, or some columns, with nulls in those that it lacks; ``None`` if it is another version by now."""
    with aws_errors(key):
        try:
            return wr.s3.read_parquet(
                [f"s3://{bucket.name}/{key}"],
                schema=schema(),
                columns=columns,
                dtype_backend="pyarrow",
                use_threads=False,
                s3_additional_kwargs={"IfMatch": version.etag},
            )
        except ClientError as error:
            if error.response["Error"]["Code"] in CONDITION_FAILED:
                return None
            raise
        except BotoCoreError:
            # Some of these errors are OSErrors too, but the connection broke, not the file.
            raise
        except (pa.ArrowException, OSError) as error:
            raise DamagedObjectError(f"{key} is damaged: {type(error).__name__}: {error}") from error


def read_without_images(bucket: Bucket, key: str, version: Version) -> pd.DataFrame | None:
    """Read a file as if it had no images and tensors, which take most of the memory; ``None`` as in ``read``."""
    table = read(bucket, key, version, [name for name in _DTYPES if name not in _IMAGES])
    if table is None:
        return None
    nulls = {name: pd.array([None] * len(table), dtype=_DTYPES[name]) for name in _IMAGES}
    return table.assign(**nulls)[[*_DTYPES]]


def read_made_with(bucket: Bucket, key: str) -> list[dict[str, str]]:
    """Read which versions of the code made the images of a file; a file of an older Imagelake does not say it."""
    end = bucket.get_end(key, _FOOTER_BYTES)
    length = int.from_bytes(end[-8:-4], "little") + 8
    end = bucket.get_end(key, length) if length > len(end) else end
    with named_if_damaged(key):
        metadata = pq.read_schema(pa.BufferReader(end)).metadata or {}
        made_with: list[dict[str, str]] = json.loads(metadata.get(_METADATA, b"{}")).get("made_with", [])
    return made_with


def replace_rows(table: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """Put new rows in the places of the rows of the same items; erased rows, which name no item, stay."""
    places = {media_id: (1, place) for place, media_id in enumerate(new["media_id"]) if pd.notna(media_id)}
    order = [
        (0, place) if pd.isna(media_id) else places.get(media_id, (0, place))
        for place, media_id in enumerate(table["media_id"])
    ]
    # Slices, because images take most of the memory, and any other way would copy them once more.
    slices = [(table, new)[source].iloc[first:end] for source, first, end in _runs(order)]
    return pd.concat(slices, ignore_index=True) if slices else table


def _runs(order: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int, int]]:
    """Join places that follow each other in the same table; yield the table, the first place and the end."""
    for _, run in groupby(enumerate(order), key=lambda one: (one[1][0], one[1][1] - one[0])):
        places = [place for _, place in run]
        yield places[0][0], places[0][1], places[-1][1] + 1


def erase(table: pd.DataFrame, listed: SuppressionList) -> pd.DataFrame:
    """Make tombstones of the rows on the suppression list, and of the erased rows, which still have their ids."""
    ids = table[["source", "author_id", "post_id", "media_id", "raw_sha256"]].astype(object)
    named = ids.where(ids.notna(), None).to_dict("records")
    gone = (table["status"] == Status.ERASED).to_numpy(bool) | [listed.covers_item(row) for row in named]
    if not gone.any():
        return table
    columns = {name: table[name] if name in KEPT else table[name].mask(gone) for name in table}
    return pd.DataFrame({**columns, "status": table["status"].mask(gone, Status.ERASED)})


def stays(table: pd.DataFrame, new: pd.DataFrame) -> bool:
    """Tell if a table has rows with images whose items are not among the new rows; it can lack the images."""
    is_old = ~table["media_id"].isin(new["media_id"])
    return bool((is_old & (table["status"] == Status.OK)).any())


def to_parquet(table: pd.DataFrame, made_with: Sequence[Mapping[str, str]] = ()) -> bytes:
    """Make a file of a table; its metadata has the versions of the code that made the images."""
    columns = schema()
    made = json.dumps({"made_with": list(made_with)}, sort_keys=True)
    # Without the metadata of pandas, which would make pandas return other types to whoever reads the file.
    metadata = columns.metadata | {_METADATA: made.encode()}
    arrow = pa.Table.from_pandas(table, columns, preserve_index=False).replace_schema_metadata(metadata)
    # Its value is no copy, unlike that of Arrow's streams.
    file = io.BytesIO()
    with pq.ParquetWriter(file, arrow.schema, **ENCODING) as writer:
        for first in range(0, max(len(arrow), 1), _ROW_GROUP):
            # The bytes of a file depend on the chunks of its columns.
            writer.write_table(arrow.slice(first, _ROW_GROUP).combine_chunks())
    return file.getvalue()


def _feature(athena_type: str) -> dict[str, Any]:
    """Translate a type for ``datasets.Features`` (https://huggingface.co/docs/datasets/about_dataset_features)."""
    if athena_type == "struct<bytes:binary,path:string>":
        return {"_type": "Image"}
    if athena_type.startswith("array<"):
        # Versions of ``datasets`` before 4.0 know only this name of a list; later versions know it too.
        return {"_type": "Sequence", "feature": _feature(athena_type[len("array<") : -1])}
    names = {"int": "int32", "bigint": "int64", "float": "float32", "boolean": "bool", "timestamp": "timestamp[us]"}
    return {"_type": "Value", "dtype": names.get(athena_type, athena_type)}
