"""The tables and views of a lake's files in DuckDB, as Athena has them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from tools.glue_tables import TABLES
from tools.glue_views import VIEWS, trino_type

if TYPE_CHECKING:
    import duckdb

_GLOB = re.compile(r"[\[*?]")


def create_tables(connection: duckdb.DuckDBPyConnection, folder: Path) -> bool:
    """Create every table that has files below ``folder``, and its views; return whether there is a table."""
    # The name of the folder may have characters that DuckDB reads as a pattern.
    lake = _GLOB.sub(r"[\g<0>]", str(folder)) + "/lake"
    found = set()
    if any(folder.glob("lake/images/*/*/*.parquet")):
        connection.read_parquet(f"{lake}/images/*/*/*.parquet").create_view("images")
        found.add("images")
    for table in TABLES:
        if any(folder.glob(f"lake/{table.name}/*/*.json.gz")):
            types = {column.name: duckdb_type(column.type) for column in table.columns}
            options = f"format = 'newline_delimited', columns = {types}, hive_partitioning = true"
            files = _text(f"{lake}/{table.name}/*/*.json.gz")
            connection.execute(
                f"CREATE VIEW {table.name} AS SELECT * FROM read_json({files}, {options}, hive_types_autocast = false)"
            )
            found.add(table.name)
    for view in VIEWS:
        if view.table in found and view.table != "images":
            connection.execute(f"CREATE VIEW {view.name} AS {view.sql}")
    return bool(found)


def duckdb_type(hive: str) -> str:
    """Translate a type of a Glue table."""
    return trino_type(hive).replace("timestamp(3)", "timestamp")


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
