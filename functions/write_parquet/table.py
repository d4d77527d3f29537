"""Rows as a Parquet file: explicit types, one row group up to 500 rows, pictures as they are."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import awswrangler as wr
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from imagelake.lake.rows import COLUMNS

# A row group holds its pictures; more than this and viewers have to read over 100 MB to show one row.
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
    """The Arrow schema of the dataset, with the key that tells Hugging Face ``datasets`` which column is a picture."""
    features = {column.name: _feature(column.type) for column in COLUMNS}
    huggingface = json.dumps({"info": {"features": features}})
    return pa.schema([(column.name, _ARROW[column.type]) for column in COLUMNS], metadata={"huggingface": huggingface})


def read(file: bytes) -> list[dict[str, Any]]:
    """The rows of a file, with their pictures, as ``write`` takes them for ``written``."""
    rows: list[dict[str, Any]] = pq.read_table(pa.BufferReader(file)).to_pylist()
    return [row | {"posted_at": f"{row['posted_at'].isoformat()}Z"} for row in rows]


def write(rows: list[dict[str, Any]], pictures: memoryview, path: str, written: Iterable[dict[str, Any]] = ()) -> None:
    """Write ``rows`` to the object at ``path`` (``s3://``), each with its picture and tensor cut out of ``pictures``.

    With what is ``written`` there already, each of ``rows`` takes the place of the one of its item.

    The key is explicit and there is no catalogue: ``dataset=True`` would append under a new name at every retry.
    """
    whole = {
        row["media_id"]: row | {"image": _image(row["image"], pictures), "tensor": _cut(row["tensor"], pictures)}
        for row in rows
    }
    # As objects: left to itself, pandas makes floats of integers where one is missing, and rounds 64-bit hashes.
    table = pd.DataFrame(
        [whole.get(row["media_id"], row) for row in written] or list(whole.values()),
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
        # Bytes that awswrangler is told of, it takes for text.
        dtype={column.name: column.type for column in COLUMNS if column.type != "binary"},
        # Pictures are compressed already, and awswrangler knows one codec per file; the rest is a hundredth of it.
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


def _image(place: dict[str, Any] | None, pictures: memoryview) -> dict[str, Any] | None:
    return None if place is None else {"bytes": _cut(place, pictures), "path": place["path"]}


def _cut(place: dict[str, Any] | None, pictures: memoryview) -> bytes | None:
    return None if place is None else bytes(pictures[place["offset"] : place["offset"] + place["length"]])


def _feature(athena_type: str) -> dict[str, Any]:
    """A type in the words of ``datasets.Features`` (https://huggingface.co/docs/datasets/about_dataset_features)."""
    if athena_type == "struct<bytes:binary,path:string>":
        return {"_type": "Image"}
    if athena_type.startswith("array<"):
        return {"_type": "List", "feature": _feature(athena_type[len("array<") : -1])}
    names = {"int": "int32", "bigint": "int64", "float": "float32", "boolean": "bool", "timestamp": "timestamp[us]"}
    return {"_type": "Value", "dtype": names.get(athena_type, athena_type)}
