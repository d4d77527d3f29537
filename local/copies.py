"""Copies of a lake's objects and log lines on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def copy_objects(s3: Any, bucket: str, prefix: str, folder: Path) -> set[Path]:
    """Copy the objects below ``prefix`` to ``folder``, unless they are there already; return the files of all.

    Their keys are the paths.
    """
    files = set()
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for entry in page.get("Contents", []):
            file = folder / entry["Key"]
            files.add(file)
            if _is_current(file, entry):
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            s3.download_file(bucket, entry["Key"], str(file))
    return files


def mirror_objects(s3: Any, bucket: str, prefix: str, folder: Path) -> None:
    """Copy the objects below ``prefix`` to ``folder``, and delete the files of objects that are gone."""
    files = copy_objects(s3, bucket, prefix, folder)
    for file in list((folder / prefix).rglob("*")):
        if file.is_file() and file not in files:
            file.unlink()


def _is_current(file: Path, entry: dict[str, Any]) -> bool:
    # A retry replaces a dataset file under the same key.
    if not file.exists() or file.stat().st_size != entry["Size"]:
        return False
    return bool(file.stat().st_mtime > entry["LastModified"].timestamp() + 1)


def copy_logs(logs: Any, file: Path, since: float = 0) -> None:
    """Write every line that the functions have logged since a time, in seconds of Unix time, to ``file``."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as lines:
        for group in logs.describe_log_groups()["logGroups"]:
            pages = logs.get_paginator("filter_log_events").paginate(
                logGroupName=group["logGroupName"], startTime=int(since * 1000)
            )
            for event in (event for page in pages for event in page["events"]):
                lines.write(f"{group['logGroupName']}  {event['message'].rstrip()}\n")
