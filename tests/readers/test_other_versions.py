"""The oldest and the newest versions of all readers read a folder with the calls of docs/dataset.md.

``make test-readers`` runs this. Each list of versions has an environment of its own.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from imagelake.lake.rows import COLUMNS
from tests.support.asl import ROOT
from tests.support.dataset_folder import write_folder
from tests.support.readers import READERS, Reader, expected

pytestmark = pytest.mark.readers
ALL = [column.name for column in COLUMNS]
BOTH = pytest.mark.parametrize("environment", ["readers", "readers-oldest"])
EVERY = pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)


def run(environment: str, reader: Reader, call: str, folder: Path, answer: str = "answer") -> Any:
    code = f"import json\n{reader.program(call)}\nprint(json.dumps({answer}))"
    done = subprocess.run(
        [ROOT / f".venv-{environment}" / "bin" / "python", "-c", code],
        cwd=folder,
        env={"HF_HOME": str(folder / "cache"), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@BOTH
@EVERY
def test_folder_is_read_with_the_short_call(tmp_path: Path, environment: str, reader: Reader) -> None:
    rows = write_folder(tmp_path, with_older_file=False)
    assert run(environment, reader, reader.short_call, tmp_path) == expected(rows, ALL)


@BOTH
@EVERY
def test_all_columns_are_read_beside_an_older_file(tmp_path: Path, environment: str, reader: Reader) -> None:
    rows = write_folder(tmp_path, with_older_file=True)
    answer = run(environment, reader, reader.full_call, tmp_path)
    assert answer | {"columns": sorted(answer["columns"])} == expected(rows, sorted(ALL))


@BOTH
def test_datasets_reads_images_as_images(tmp_path: Path, environment: str) -> None:
    write_folder(tmp_path, with_older_file=False)
    (reader,) = (reader for reader in READERS if reader.name == "datasets")
    sizes = '[row["image"].size for row in rows if row["image"]]'
    assert run(environment, reader, reader.short_call, tmp_path, sizes) == [[64, 48]] * 5
