"""The Parquet file of one batch: explicit types, one row group per 500 rows, images as they are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import awswrangler as wr
import pandas as pd
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


def write(rows: list[Row], path: str, written: Sequence[Row] = ()) -> None:
    """Write rows to the object at ``path`` (``s3://``), in place of the rows of the same items if some are ``written``.

    The key is explicit and there is no catalog: with ``dataset=True``, every retry would add another file.
    """
    new = {row["media_id"]: row for row in rows}
    # With the dtype object, because pandas would turn integers with gaps into floats and so round 64-bit hashes.
    table = pd.DataFrame(
        [new.get(row["media_id"], row) for row in written] or rows,
        columns=[column.name for column in COLUMNS],
        dtype="object",
    )
    table["posted_at"] = (
        pd.to_datetime(table["posted_at"], utc=True, format="ISO8601").dt.tz_localize(None).astype("datetime64[us]")
    )
    table["tensor"] = table["tensor"].astype(pd.ArrowDtype(pa.binary()))
    wr.s3.to_parquet(
        df=table,
        path=path,
        index=False,
        # awswrangler casts columns declared as binary to text, so leave them out.
        dtype={column.name: column.type for column in COLUMNS if column.type != "binary"},
        # awswrangler compresses all columns or none. Images, 99 % of the file, are compressed already.
        compression=None,
        pyarrow_additional_kwargs={
            "schema": schema(),
            "write_table_args": {"row_group_size": _ROW_GROUP},
            "use_dictionary": [column.name for column in COLUMNS if column.name not in ("image", "tensor")],
            # The default flavor would store times as deprecated 96-bit integers.
            "flavor": None,
            "coerce_timestamps": "us",
        },
    )


def _feature(athena_type: str) -> dict[str, Any]:
    """Translate a type for ``datasets.Features`` (https://huggingface.co/docs/datasets/about_dataset_features)."""
    if athena_type == "struct<bytes:binary,path:string>":
        return {"_type": "Image"}
    if athena_type.startswith("array<"):
        return {"_type": "List", "feature": _feature(athena_type[len("array<") : -1])}
    names = {"int": "int32", "bigint": "int64", "float": "float32", "boolean": "bool", "timestamp": "timestamp[us]"}
    return {"_type": "Value", "dtype": names.get(athena_type, athena_type)}
