"""The views of the tables in ``template.yaml``, made from the columns; ``make docs`` writes them.

Athena keeps a view as a Glue table whose text is JSON in Base64. The JSON has a type for every column, so a view with
``SELECT *`` would break with the next new column.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator
from typing import NamedTuple

from imagelake.lake.rows import COLUMNS, Column
from tools.coverage_views import DAILY_COLUMNS, DAILY_SQL, GAP_COLUMNS, GAPS_SQL

BEGIN, END = "  # ---- views: begin\n", "  # ---- views: end\n"
# https://docs.aws.amazon.com/athena/latest/ug/data-types.html
_TYPES = {"string": "varchar", "int": "integer", "float": "real", "binary": "varbinary", "timestamp": "timestamp(3)"}
_BYTES = ("image", "tensor")
_REASON = (
    "dt", "source", "feed", "post_id", "permalink", "media_id", "media_url", "status", "error_code", "error_message",
    "run_id",
)  # fmt: skip


class View(NamedTuple):
    """A view: its logical id, its name, a sentence about it, its columns, the query that makes it, and its table."""

    logical_id: str
    name: str
    meaning: str
    columns: tuple[Column, ...]
    sql: str
    table: str


def _of_images(logical_id: str, name: str, meaning: str, names: tuple[str, ...], condition: str = "") -> View:
    """Make a view of some columns and rows of the dataset."""
    columns = tuple(column for name in names for column in COLUMNS if column.name == name)
    where = f" WHERE {condition}" if condition else ""
    return View(logical_id, name, meaning, columns, f"SELECT {', '.join(names)} FROM images{where}", "images")


_ALL = tuple(column.name for column in COLUMNS)
VIEWS = (
    _of_images(
        "GlueImagesMetaView",
        "images_meta",
        "All rows without the bytes of the images, so that a query scans little",
        tuple(name for name in _ALL if name not in _BYTES),
    ),
    _of_images(
        "GlueImagesUniqueView",
        "images_unique",
        "One row for each image: neither duplicates nor near duplicates",
        _ALL,
        "status = 'ok' AND duplicate_of IS NULL",
    ),
    _of_images(
        "GlueImagesFailuresView",
        "images_failures",
        "Rows without an image, with the reason",
        _REASON,
        "status IN ('failed', 'rejected')",
    ),
    View(
        "GlueCoverageGapsView",
        "coverage_gaps",
        "What no run has read so far of what was requested, the gap that is lost first in front",
        GAP_COLUMNS,
        GAPS_SQL,
        "coverage",
    ),
    View(
        "GlueCoverageDailyView",
        "coverage_daily",
        "One row for each feed and day: the states of its runs, its posts, images and gaps",
        DAILY_COLUMNS,
        DAILY_SQL,
        "coverage",
    ),
)


def with_views(template: str) -> str:
    """Return the template with the resources of all views between their markers."""
    head, found_begin, rest = template.partition(BEGIN)
    _, found_end, tail = rest.partition(END)
    if not (found_begin and found_end):
        raise ValueError("template.yaml has no place for the views")
    return head + BEGIN + "\n".join(map(_resource, VIEWS)) + END + tail


def trino_type(hive: str) -> str:
    """Translate a type of the Glue table into the type of the same column in a query."""
    if found := re.fullmatch(r"array<(\w+)>", hive):
        return f"array({trino_type(found[1])})"
    if found := re.fullmatch(r"map<(\w+),(\w+)>", hive):
        return f"map({trino_type(found[1])}, {trino_type(found[2])})"
    if found := re.fullmatch(r"struct<(.+)>", hive):
        fields = (field.split(":") for field in found[1].split(","))
        return f"row({', '.join(f'{name} {trino_type(kind)}' for name, kind in fields)})"
    return _TYPES.get(hive, hive)


def _resource(view: View) -> str:
    listed = ", ".join(f'{{ Name: {column.name}, Type: "{column.type}" }}' for column in view.columns)
    return f"""\
  {view.logical_id}:
    Type: AWS::Glue::Table
    Properties:
      CatalogId: !Ref AWS::AccountId
      DatabaseName: !Ref GlueDatabase
      TableInput:
        Name: {view.name}
        Description: "{view.meaning}"
        TableType: VIRTUAL_VIEW
        Parameters: {{ presto_view: "true", comment: Presto View }}
        ViewExpandedText: /* Presto View */
        ViewOriginalText: !Sub
          - "/* Presto View: ${{View}} */"
          - View:
              Fn::Base64: !Sub |-
{textwrap.indent(_definition(view), " " * 16)}
        StorageDescriptor:
          SerdeInfo: {{}}
          Columns:
{_wrapped("[" + listed + "]", " " * 12)}
"""


def _definition(view: View) -> str:
    """Write the JSON of a view; CloudFormation fills in the name of the database."""
    types = ", ".join(json.dumps({"name": column.name, "type": trino_type(column.type)}) for column in view.columns)
    lines = [
        f'{{"originalSql": {json.dumps(view.sql)},',
        '"catalog": "awsdatacatalog", "schema": "${GlueDatabase}", "columns": [',
        *_lines(types),
        "]}",
    ]
    return "\n".join(lines)


def _wrapped(text: str, indent: str) -> str:
    return textwrap.indent("\n".join(_lines(text)), indent)


def _lines(text: str) -> Iterator[str]:
    """Break a list of objects after a comma, so that a line has at most about 100 characters."""
    line = ""
    for part in re.split(r"(?<=\}), ", text):
        if line and len(line) + len(part) > 100:
            yield f"{line},"
            line = part
        else:
            line = f"{line}, {part}" if line else part
    yield line
