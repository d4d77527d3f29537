"""``imagelake query``: a SQL query over the rows, with DuckDB on this machine and with Athena in AWS."""

from __future__ import annotations

import base64
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from typing import Any

from local.arguments import add_lake, open_lake
from local.output import Output

HELP = "run a SQL query over the tables images, coverage and runs"
EXAMPLES: tuple[str, ...] = (
    'imagelake query "SELECT status, count(*) FROM images GROUP BY status"',
    "imagelake query \"SELECT media_url FROM images WHERE error_code = 'timed_out'\" --stack imagelake --json",
)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "sql", type=_sql, metavar="SQL", help="the query, in the dialect of DuckDB or, for a stack, of Athena"
    )
    add_lake(parser)


def main(options: Namespace, output: Output) -> int:
    """Run the query and print its rows."""
    with open_lake(options) as lake:
        result = lake.query(options.sql)
    if output.as_json:
        output.result([dict(zip(result.columns, map(_as_json, row), strict=True)) for row in result.rows])
    elif result.columns:
        output.rows(result.columns, [[_as_text(value) for value in row] for row in result.rows])
    return 0


def _sql(text: str) -> str:
    if not text.strip():
        raise ArgumentTypeError("the query is empty")
    return text


def _as_json(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {name: _as_json(part) for name, part in value.items()}
    return [_as_json(part) for part in value] if isinstance(value, list) else value


def _as_text(value: Any) -> Any:
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, dict):
        return {name: _as_text(part) for name, part in value.items()}
    return value
