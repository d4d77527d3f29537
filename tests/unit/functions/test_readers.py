"""pandas, pyarrow, DuckDB and awswrangler read a folder with the calls of docs/dataset.md.

The right values are the rows that were written. ``make test-readers`` runs the same calls with other versions.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import awswrangler as wr
import pyarrow.parquet as pq
import pytest

from imagelake.lake.rows import COLUMNS
from tests.support.asl import ROOT
from tests.support.dataset_folder import NEW_COLUMNS, write_folder
from tests.support.fake_lake import BUCKET, Lake
from tests.support.readers import READERS, Reader, expected

ALL = [column.name for column in COLUMNS]
# The other readers are not installed beside these.
HERE = [reader for reader in READERS if reader.name in ("pandas", "pyarrow", "DuckDB")]


def run(reader: Reader, call: str) -> Any:
    variables: dict[str, Any] = {}
    exec(reader.program(call), variables)
    return variables["answer"]


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_page_names_every_reader_and_its_oldest_version() -> None:
    lock = (ROOT / "requirements" / "readers-oldest.txt").read_text()
    oldest = dict(re.findall(r"^([a-z]+)==(\d+\.\d+)\.", lock, re.MULTILINE))
    assert {reader.name.lower() for reader in READERS} == {"pandas", "pyarrow", "duckdb", "polars", "datasets"}
    assert {reader.name.lower(): reader.version for reader in READERS}.items() <= oldest.items()


@pytest.mark.slow
@pytest.mark.parametrize("reader", HERE, ids=lambda reader: reader.name)
def test_folder_is_read_with_the_short_call(tmp_path: Path, reader: Reader) -> None:
    rows = write_folder(tmp_path, with_older_file=False)
    assert run(reader, reader.short_call) == expected(rows, ALL)


@pytest.mark.slow
@pytest.mark.parametrize("reader", HERE, ids=lambda reader: reader.name)
def test_short_call_reads_all_rows_beside_an_older_file(tmp_path: Path, reader: Reader) -> None:
    rows = write_folder(tmp_path, with_older_file=True)
    older = [name for name in ALL if name not in NEW_COLUMNS]
    assert run(reader, reader.short_call) == expected(rows, older)


@pytest.mark.slow
@pytest.mark.parametrize("reader", HERE, ids=lambda reader: reader.name)
def test_full_call_also_reads_columns_that_an_older_file_lacks(tmp_path: Path, reader: Reader) -> None:
    rows = write_folder(tmp_path, with_older_file=True)
    answer = run(reader, reader.full_call)
    assert answer | {"columns": sorted(answer["columns"])} == expected(rows, sorted(ALL))


@pytest.mark.parametrize("filters", [[("source", "==", "commons")], [("dt", "==", "2026-04-02")]])
def test_filter_on_a_column_of_the_path_selects_its_rows(tmp_path: Path, filters: list[tuple[str, str, str]]) -> None:
    rows = write_folder(tmp_path, with_older_file=True)
    ((name, _, value),) = filters
    found = pq.read_table("lake/images", filters=filters).column("media_id").to_pylist()
    assert sorted(found) == sorted(row["media_id"] for row in rows if dict(row)[name] == value)


def test_awswrangler_reads_the_days_that_it_is_asked_for(tmp_path: Path, lake: Lake) -> None:
    rows = write_folder(tmp_path, with_older_file=True)
    for file in (tmp_path / "lake").rglob("*.parquet"):
        lake.bucket.put(file.relative_to(tmp_path).as_posix(), file.read_bytes(), "")
    frame = wr.s3.read_parquet(
        f"s3://{BUCKET}/lake/images/", dataset=True, partition_filter=lambda path: path["dt"] == "2026-04-02"
    )
    assert sorted(frame["media_id"]) == sorted(row["media_id"] for row in rows if row["dt"] == "2026-04-02")
    assert set(frame["source"]) == {"bluesky", "commons"}
