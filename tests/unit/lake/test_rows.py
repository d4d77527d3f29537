"""Rows: every column is there, with a type of Athena and a type of Python that fits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from types import NoneType
from typing import Any, cast, get_args, get_type_hints

from imagelake.lake.parts import StagedRow
from imagelake.lake.rows import (
    COLUMNS,
    TRANSFORM_VERSION,
    ImageFile,
    Row,
    Status,
    image_file,
    is_nameless,
    new_row,
    planned_rows,
    tombstone,
)
from imagelake.run.posts import Item, Media, Post

ITEM = Item.of(
    "bluesky",
    "bluesky:a.example",
    Post(post_id="p", author_id="a", posted_at=datetime(2026, 4, 1, tzinfo=UTC), text="hello", tags=["x"]),
    Media(media_id="m", index=2, kind="image", url="https://x.test/a", expires_at=datetime(2026, 4, 2, tzinfo=UTC)),
)


def test_new_row_has_every_column_and_no_other() -> None:
    row = new_row(ITEM, run_id="run-1", dt="2026-04-01", image_options="{}")
    assert list(row) == [column.name for column in COLUMNS]
    assert {name: value for name, value in row.items() if value is not None} == {
        "media_id": "m",
        "source": "bluesky",
        "feed": "bluesky:a.example",
        "post_id": "p",
        "media_index": 2,
        "author_id": "a",
        "media_url": "https://x.test/a",
        "posted_at": "2026-04-01T00:00:00Z",
        "caption": "hello",
        "tags": ["x"],
        "sensitive": False,
        "run_id": "run-1",
        "transform_version": TRANSFORM_VERSION,
        "image_options": "{}",
        "dt": "2026-04-01",
    }
    assert json.loads(json.dumps(row)) == row


_PYTHON_TYPES: dict[str, Any] = {
    "string": str,
    "binary": bytes,
    "int": int,
    "bigint": int,
    "float": float,
    "boolean": bool,
    "timestamp": str,
    "array<string>": Sequence[str],
    "array<float>": Sequence[float],
    "array<bigint>": Sequence[int],
    "struct<bytes:binary,path:string>": ImageFile,
}


def without_none(hint: Any) -> Any:
    """The type of a column that may be null."""
    alternatives = set(get_args(hint))
    return (alternatives - {NoneType}).pop() if NoneType in alternatives else hint


def test_row_has_the_columns_in_types_that_fit() -> None:
    types = {name: without_none(hint) for name, hint in get_type_hints(Row).items()}
    assert types == {column.name: _PYTHON_TYPES[column.type] for column in COLUMNS}
    assert get_type_hints(StagedRow).keys() == types.keys()


def test_columns_have_one_name_and_a_type_of_athena() -> None:
    assert len({column.name for column in COLUMNS}) == len(COLUMNS)
    scalars = {"string", "binary", "int", "bigint", "float", "boolean", "timestamp"}
    nested = {"array<string>", "array<float>", "array<bigint>", "struct<bytes:binary,path:string>"}
    assert {column.type for column in COLUMNS} <= scalars | nested
    assert all(column.meaning for column in COLUMNS)


def test_every_status_is_named_in_its_column() -> None:
    (meaning,) = (column.meaning for column in COLUMNS if column.name == "status")
    assert all(f"`{status}`" in meaning for status in Status)


def test_erased_row_says_nothing_about_a_person() -> None:
    full = cast(Row, {column.name: f"a {column.name}" for column in COLUMNS} | {"status": "ok"})
    erased = tombstone(full)
    assert list(erased) == list(full)
    assert {name: value for name, value in erased.items() if value is not None} == {
        "source": "a source", "status": "erased", "run_id": "a run_id", "transform_version": "a transform_version",
        "image_options": "a image_options", "dt": "a dt",
    }  # fmt: skip
    assert is_nameless(erased)
    assert planned_rows([erased], {"a media_id"}) == []
    with_ids = tombstone(full, with_ids=True)
    ids = {name: with_ids[name] for name in ("media_id", "feed", "post_id", "author_id")}
    assert with_ids == {**erased, **ids}
    assert not is_nameless(with_ids)
    assert planned_rows([with_ids, erased], {"a media_id"}) == [with_ids]
    assert planned_rows([with_ids, erased, full], set()) == [full]
    assert None not in ids.values()
    assert tombstone(with_ids) == erased


def test_path_of_an_image_is_a_plain_file_name() -> None:
    path = image_file("../a:b/\n", b"")["path"]
    assert path == hashlib.sha256(b"../a:b/\n").hexdigest()[:32] + ".jpg"
