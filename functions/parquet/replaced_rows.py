"""A dataset file with a few rows replaced: everything else stays, with the schema and the row groups that the file has.

A file of an older version has fewer columns or other types of them, and it keeps those.
"""

from __future__ import annotations

import base64
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from imagelake.run.errors import DamagedObjectError
from parquet.table import ENCODING


class DatasetFile:
    """The bytes of a dataset file; each read raises ``DamagedObjectError`` if they are damaged."""

    def __init__(self, key: str, body: bytes) -> None:
        self._key = key
        with self._named_if_damaged():
            self._file = pq.ParquetFile(pa.BufferReader(body))

    def rows_of(self, media_ids: Container[str]) -> dict[int, dict[str, Any]]:
        """Read the rows of these items, by their numbers from 0."""
        found: dict[int, dict[str, Any]] = {}
        with self._named_if_damaged():
            for first, group, ids in self._groups():
                numbers = [number for number, media_id in enumerate(ids) if media_id in media_ids]
                if numbers:
                    rows = self._file.read_row_group(group).take(numbers).to_pylist()
                    found |= dict(zip((first + number for number in numbers), rows, strict=True))
        return found

    def replaced(self, rows: Mapping[int, Mapping[str, Any]]) -> bytes:
        """Make the file with these rows in the places of others."""
        out = pa.BufferOutputStream()
        stored = self._stored_schema()
        options = {**ENCODING, "store_schema": stored is not None}
        with self._named_if_damaged(), pq.ParquetWriter(out, stored or self._file.schema_arrow, **options) as writer:
            for first, group, ids in self._groups():
                table = self._file.read_row_group(group)
                new = {number: row for number, row in rows.items() if first <= number < first + len(ids)}
                writer.write_table(_replace(table, first, new), row_group_size=max(len(ids), 1))
        body: bytes = out.getvalue().to_pybytes()
        return body

    def _groups(self) -> Iterator[tuple[int, int, list[str | None]]]:
        """Yield the number of the first row of each row group, the number of the group, and its media ids."""
        first = 0
        for group in range(self._file.num_row_groups):
            ids = self._file.read_row_group(group, ["media_id"]).column(0).to_pylist()
            yield first, group, ids
            first += len(ids)

    def _stored_schema(self) -> pa.Schema | None:
        """Read Arrow's own copy of the schema, which also has the names of the elements of lists."""
        copy = (self._file.metadata.metadata or {}).get(b"ARROW:schema")
        return None if copy is None else pa.ipc.read_schema(pa.py_buffer(base64.b64decode(copy)))

    @contextmanager
    def _named_if_damaged(self) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowException, OSError) as error:
            raise DamagedObjectError(f"{self._key} is damaged: {type(error).__name__}") from error


def _replace(table: pa.Table, first: int, rows: Mapping[int, Mapping[str, Any]]) -> pa.Table:
    """Put rows in the places of others; ``first`` is the number of the table's first row."""
    if not rows:
        return table
    new = pa.Table.from_pylist(list(rows.values()), schema=table.schema)
    places = list(range(len(table)))
    for place, number in enumerate(rows, len(table)):
        places[number - first] = place
    return pa.concat_tables([table, new]).take(places)
