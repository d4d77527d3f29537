"""The Parquet file of one batch: explicit types, one row group per 500 rows, images as they are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from imagelake.lake.rows import COLUMNS, Row

# A row group contains its images. With more rows, a viewer would read over 100 MB to show a single one.
_ROW_GROUP = 500
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
    "struct<bytes:binary,path:string>": pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
}


def schema() -> pa.Schema:
    """Make the Arrow schema of the dataset; its metadata says to Hugging Face ``datasets`` which column is an image."""
    features = {column.name: _feature(column.type) for column in COLUMNS}
    huggingface = json.dumps({"info": {"features": features}})
    return pa.schema([(column.name, _ARROW[column.type]) for column in COLUMNS], metadata={"huggingface": huggingface})


def read(file: bytes) -> list[Row]:
    """Read the rows of a file; a file of an earlier version may lack columns."""
    rows: list[Any] = pq.read_table(pa.BufferReader(file)).to_pylist()
    for row in rows:
        row["posted_at"] = f"{row['posted_at'].isoformat()}Z"
    return rows


def to_parquet(rows: list[Row], old_rows: Sequence[Row] = ()) -> bytes:
    """Make a file of rows, in place of the rows of the same items if there are ``old_rows``."""
    new = {row["media_id"]: row for row in rows}
    columns = schema()
    merged = [new.get(row["media_id"], row) for row in old_rows] or rows
    table = pa.Table.from_pylist([_with_time(row) for row in merged], columns)
    file = pa.BufferOutputStream()
    with pq.ParquetWriter(
        file,
        columns,
        version="1.0",
        # Images are compressed already, and the rest is a hundredth of the file.
        compression="NONE",
        use_dictionary=[column.name for column in COLUMNS if column.name not in ("image", "tensor")],
        coerce_timestamps="us",
    ) as writer:
        writer.write_table(table, row_group_size=_ROW_GROUP)
    body: bytes = file.getvalue().to_pybytes()
    return body


def _with_time(row: Row) -> dict[str, Any]:
    """Replace the text of ``posted_at`` by a time in UTC without a zone, as the column has it."""
    return {**row, "posted_at": datetime.fromisoformat(row["posted_at"]).astimezone(UTC).replace(tzinfo=None)}


def _feature(athena_type: str) -> dict[str, Any]:
    """Translate a type for ``datasets.Features`` (https://huggingface.co/docs/datasets/about_dataset_features)."""
    if athena_type == "struct<bytes:binary,path:string>":
        return {"_type": "Image"}
    if athena_type.startswith("array<"):
        return {"_type": "List", "feature": _feature(athena_type[len("array<") : -1])}
    names = {"int": "int32", "bigint": "int64", "float": "float32", "boolean": "bool", "timestamp": "timestamp[us]"}
    return {"_type": "Value", "dtype": names.get(athena_type, athena_type)}
