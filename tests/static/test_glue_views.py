"""The views and the saved queries of the dataset: Athena can decode the views, and all SQL runs in DuckDB.

The form of a view is that of Trino, on which Athena is built:
https://github.com/trinodb/trino/blob/master/lib/trino-metastore/src/main/java/io/trino/metastore/Table.java
"""

from __future__ import annotations

import base64
import json
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from imagelake.lake.rows import COLUMNS
from local.tables import duckdb_type
from parquet.table import schema
from tests.support.asl import RESOURCES, ROOT, Json
from tools.glue_tables import TABLES, with_tables
from tools.glue_views import VIEWS, trino_type, with_views

NAMES = {one.logical_id: one for one in VIEWS}
QUERIES = {name: one["Properties"] for name, one in RESOURCES.items() if one["Type"] == "AWS::Athena::NamedQuery"}
TYPES = {column.name: column.type for column in COLUMNS}
# One row of each kind; the first two are one image and its near duplicate.
ROWS: list[dict[str, Any]] = [
    {"media_id": "one", "status": "ok"},
    {"media_id": "near", "status": "ok", "duplicate_of": "one", "duplicate_distance": 2},
    {"media_id": "same", "status": "duplicate", "duplicate_of": "one", "duplicate_distance": 0},
    {"media_id": "small", "status": "rejected", "error_code": "too_small"},
    {"media_id": "gone", "status": "failed", "error_code": "not_found"},
]


def view(logical_id: str) -> Json:
    found: Json = RESOURCES[logical_id]["Properties"]["TableInput"]
    return found


def decoded(logical_id: str) -> Json:
    """Build the text of a view as CloudFormation does, then read it as Athena does."""
    template, names = view(logical_id)["ViewOriginalText"]["Fn::Sub"]
    definition = names["View"]["Fn::Base64"]["Fn::Sub"].replace("${GlueDatabase}", "imagelake")
    text = template.replace("${View}", base64.b64encode(definition.encode()).decode())
    prefix, suffix = "/* Presto View: ", " */"
    assert text.startswith(prefix)
    assert text.endswith(suffix)
    found: Json = json.loads(base64.b64decode(text[len(prefix) : -len(suffix)], validate=True))
    return found


@pytest.fixture(scope="module")
def database() -> duckdb.DuckDBPyConnection:
    """The dataset with one row of each kind, and the views."""
    connection = duckdb.connect()
    values = {"source": "bluesky", "feed": "bluesky:alice.example", "dt": "2099-01-01", "raw_bytes": 1000}
    rows = [dict.fromkeys(schema().names) | values | row for row in ROWS]
    connection.register("images", pa.Table.from_pylist(rows, schema=schema()))
    for table in TABLES:
        typed = ", ".join(f"{column.name} {duckdb_type(column.type)}" for column in table.columns)
        connection.execute(f"CREATE TABLE {table.name} ({typed}, dt VARCHAR)")
    for one in VIEWS:
        connection.execute(f"CREATE VIEW {one.name} AS {decoded(one.logical_id)['originalSql']}")
    return connection


def test_template_has_the_tables_of_the_models() -> None:
    template = (ROOT / "template.yaml").read_text()
    assert template == with_tables(template), "run make docs"


def test_template_has_the_views_of_the_columns() -> None:
    template = (ROOT / "template.yaml").read_text()
    assert template == with_views(template), "run make docs"


@pytest.mark.parametrize("logical_id", [one.logical_id for one in VIEWS])
def test_view_is_one_that_athena_knows(logical_id: str) -> None:
    table, definition = view(logical_id), decoded(logical_id)
    assert (table["TableType"], table["ViewExpandedText"]) == ("VIRTUAL_VIEW", "/* Presto View */")
    assert table["Parameters"]["presto_view"] == "true"
    assert (definition["catalog"], definition["schema"]) == ("awsdatacatalog", "imagelake")
    columns = [(column["Name"], column["Type"]) for column in table["StorageDescriptor"]["Columns"]]
    assert columns == [(column.name, column.type) for column in NAMES[logical_id].columns]
    expected = [{"name": name, "type": trino_type(hive)} for name, hive in columns]
    assert definition["columns"] == expected


@pytest.mark.parametrize(
    ("hive", "trino"),
    [
        ("string", "varchar"),
        ("array<float>", "array(real)"),
        ("struct<bytes:binary,path:string>", "row(bytes varbinary, path varchar)"),
        ("timestamp", "timestamp(3)"),
        ("map<string,bigint>", "map(varchar, bigint)"),
        ("bigint", "bigint"),
        ("boolean", "boolean"),
    ],
)
def test_type_of_a_column_in_a_view(hive: str, trino: str) -> None:
    """https://docs.aws.amazon.com/athena/latest/ug/data-types.html."""
    assert trino_type(hive) == trino


@pytest.mark.parametrize("one", VIEWS, ids=lambda one: one.name)
def test_columns_of_a_view_are_those_of_its_query(database: duckdb.DuckDBPyConnection, one: Any) -> None:
    found = database.execute(f"SELECT * FROM {one.name}").description
    assert [name for name, *_ in found or []] == [column["name"] for column in decoded(one.logical_id)["columns"]]


@pytest.mark.parametrize("one", [one for one in VIEWS if one.table == "coverage"], ids=lambda one: one.name)
def test_types_of_a_view_are_those_of_its_query(database: duckdb.DuckDBPyConnection, one: Any) -> None:
    found = {name: kind for name, kind, *_ in database.execute(f"DESCRIBE {one.name}").fetchall()}
    assert found == {column.name: duckdb_type(column.type).upper() for column in one.columns}


@pytest.mark.parametrize(
    ("name", "media_ids"),
    [
        ("images_meta", ["one", "near", "same", "small", "gone"]),
        ("images_unique", ["one"]),
        ("images_failures", ["small", "gone"]),
    ],
)
def test_rows_of_a_view(database: duckdb.DuckDBPyConnection, name: str, media_ids: list[str]) -> None:
    assert [row[0] for row in database.execute(f"SELECT media_id FROM {name}").fetchall()] == media_ids


@pytest.mark.parametrize(
    ("later", "open_seconds"),
    [
        ([], 3_600),
        # A later run has read the second half, then a backfill the first one.
        ([("2026-04-01 05:30:00", "2026-04-03 05:00:00")], 1_800),
        ([("2026-04-01 05:30:00", "2026-04-03 05:00:00"), ("2026-04-01 05:00:00", "2026-04-01 05:30:00")], 0),
        # These meet the gap only at its ends.
        ([("2026-04-01 06:00:00", "2026-04-03 05:00:00"), ("2026-04-01 04:00:00", "2026-04-01 05:00:00")], 3_600),
        # One piece is read twice, and the rest is two pieces.
        ([("2026-04-01 05:10:00", "2026-04-01 05:20:00"), ("2026-04-01 05:15:00", "2026-04-01 05:20:00")], 3_000),
    ],
)
def test_gap_seconds_of_a_day_are_those_that_nobody_has_read(
    database: duckdb.DuckDBPyConnection, later: list[tuple[str, str]], open_seconds: int
) -> None:
    insert = "INSERT INTO coverage (dt, run_id, feed_id, state, gap_start, gap_end, read_start, read_end) VALUES "
    gap = "'2026-04-01 05:00:00', '2026-04-01 06:00:00'"
    with database.cursor() as connection:
        connection.begin()
        connection.execute(f"{insert} ('2026-04-02', 'a', 'f', 'gap', {gap}, '2026-04-01 06:00:00', '2026-04-02')")
        connection.execute(f"{insert} ('2026-04-02', 'a', 'other', 'gap', {gap}, NULL, NULL)")
        # A first run has a gap without a begin.
        connection.execute(f"{insert} ('2026-04-01', '0', 'f', 'gap', NULL, '2026-04-01 04:00:00', NULL, NULL)")
        for number, (start, end) in enumerate(later):
            connection.execute(f"{insert} ('2026-04-03', 'b{number}', 'f', 'complete', NULL, NULL, '{start}', '{end}')")
        found = connection.execute(
            "SELECT gap_seconds, closed_gap_seconds, runs FROM coverage_daily WHERE feed_id = 'f' ORDER BY dt"
        ).fetchall()
        connection.rollback()
    assert found[:2] == [(0, 0, 1), (open_seconds, 3_600 - open_seconds, 1)]
    assert found[2:] == ([(0, 0, len(later))] if later else [])


def test_docs_list_every_column_of_the_views_of_coverage() -> None:
    sections = (ROOT / "docs" / "coverage.md").read_text().split("\n## ")
    for one in (one for one in VIEWS if one.table == "coverage"):
        (text,) = (section for section in sections if section.startswith(f"The view `{one.name}`\n"))
        shown = [line for line in text.splitlines() if line.startswith("| `")]
        assert shown == [f"| `{column.name}` | `{column.type}` | {column.meaning} |" for column in one.columns]
        assert all(column.meaning for column in one.columns)


def test_view_without_bytes_has_all_other_columns() -> None:
    meta, *_ = VIEWS
    assert {column.name for column in meta.columns} == TYPES.keys() - {"image", "tensor"}


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("ImagesByFeedQuery", [("2099-01-01", "bluesky:alice.example", 5, 2, 1, 1, 1)]),
        ("FailuresByCodeQuery", [("bluesky", "not_found", 1, 1, "2099-01-01", None)]),
        ("NearDuplicatesQuery", [("one", 1, 2, None)]),
        ("StorageQuery", [("bluesky", None, 1, 1e-06)]),
    ],
)
def test_saved_query_runs(database: duckdb.DuckDBPyConnection, name: str, rows: list[Any]) -> None:
    found = database.execute(QUERIES[name]["QueryString"]).fetchall()
    assert [row for row in found if row in rows] == rows


def test_saved_queries_are_in_the_work_group_of_the_stack() -> None:
    assert len(QUERIES) == 4
    assert {query["WorkGroup"]["Ref"] for query in QUERIES.values()} == {"AthenaWorkGroup"}
    assert {query["Database"]["Ref"] for query in QUERIES.values()} == {"GlueDatabase"}
    group = RESOURCES["AthenaWorkGroup"]["Properties"]["WorkGroupConfiguration"]
    assert group["EnforceWorkGroupConfiguration"] is True
    # A work group with managed results must not have a place of its own for them.
    assert group["ManagedQueryResultsConfiguration"] == {"Enabled": True}
    assert "ResultConfiguration" not in group
