"""The copies of a lake on this machine show the objects at the end of every command, however it ends."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from local.engine import Engine
from local.errors import CommandError
from local.local_lake import LocalLake

BUCKET = "bucket"
BEFORE = {"lake/images/a.parquet": b"row", "reports/r/run.json": b"{}", "work/plans/a.json": b"{}"}
AFTER = {"lake/images/a.parquet": b"tombstone", "erasures/1.json": b"{}"}


def copies(folder: Path) -> dict[str, bytes]:
    """The copied files under their keys."""
    files = [file for name in ("lake", "reports", "erasures", "work") for file in (folder / name).rglob("*")]
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files if file.is_file()}


def change(s3: Any) -> None:
    for key in BEFORE.keys() - AFTER.keys():
        s3.delete_object(Bucket=BUCKET, Key=key)
    for key, body in AFTER.items():
        s3.put_object(Bucket=BUCKET, Key=key, Body=body)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A lake whose copies are up to date."""
    with LocalLake(tmp_path, create=True, command="run") as lake:
        s3 = lake.client("s3")
        s3.create_bucket(Bucket=BUCKET)
        for key, body in BEFORE.items():
            s3.put_object(Bucket=BUCKET, Key=key, Body=body)
        lake.outputs = {"BucketName": BUCKET}
    copied = {key: body for key, body in BEFORE.items() if not key.startswith("work/")}
    assert copies(tmp_path) == copied
    return tmp_path


@pytest.mark.parametrize("error", [None, CommandError, RuntimeError, SystemExit])
def test_copies_are_up_to_date_after_a_command(error: type[BaseException] | None, folder: Path) -> None:
    lake = LocalLake(folder, command="erase")
    lake.outputs = {"BucketName": BUCKET}
    with nullcontext() if error is None else pytest.raises(error), lake:
        change(lake.client("s3"))
        if error is not None:
            raise error
    assert copies(folder) == AFTER


def test_copies_show_what_happened_until_the_engine_stopped(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An execution that a user stops watching goes on until its engine stops."""
    stop = Engine._stop
    changed: list[bool] = []

    def change_and_stop(engine: Engine) -> None:
        if not changed:
            changed.append(True)
            change(engine.client("s3"))
        stop(engine)

    lake = LocalLake(folder, command="erase")
    lake.outputs = {"BucketName": BUCKET}
    lake.client("s3").list_buckets()
    monkeypatch.setattr(Engine, "_stop", change_and_stop)
    with pytest.raises(KeyboardInterrupt), lake:
        raise KeyboardInterrupt
    assert copies(folder) == AFTER
    assert capsys.readouterr().err.count("the engine saves its state") == 1


def test_command_that_only_reads_beside_another_one_copies_nothing(folder: Path) -> None:
    with LocalLake(folder, command="run") as lake:
        change(lake.client("s3"))
        before = copies(folder)
        with LocalLake(folder, command="status") as reader:
            reader.outputs = {"BucketName": BUCKET}
            reader.client("s3")
        assert copies(folder) == before
        lake.outputs = {"BucketName": BUCKET}
    assert copies(folder) == AFTER
