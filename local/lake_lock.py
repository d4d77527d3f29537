"""The lock of a lake on this machine: one command at a time has its engine, and the others read who has it."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from local.errors import CommandError

LOCK = "engine.lock"


class Holder(NamedTuple):
    """The command that has the lock, its process, and the port of its engine, which is 0 until the engine answers."""

    command: str
    process: int
    port: int


class LakeLock:
    """The lock file of the lake in ``folder``; an engine that inherits ``fileno`` has the lock too."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._file = (self._folder / LOCK).open("a+")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def fileno(self) -> int:
        """Return the number of the open file."""
        return self._file.fileno()

    def take(self, command: str) -> bool:
        """Take the lock for a command; return false if another command has it."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        self._write(Holder(command, os.getpid(), 0))
        return True

    def share(self, port: int) -> None:
        """Let other commands read the lake through the engine at a port."""
        self._write(self.holder()._replace(port=port))

    def _write(self, holder: Holder) -> None:
        self._file.truncate(0)
        self._file.write(json.dumps(holder))
        self._file.flush()

    def holder(self) -> Holder:
        """Return who has the lock. It is without arguments, because these can name a person."""
        self._file.seek(0)
        try:
            return Holder(*json.loads(self._file.read()))
        except (ValueError, TypeError):
            # That command is just taking the lock, or it is of an older version.
            return Holder("COMMAND", 0, 0)

    def refuse(self) -> CommandError:
        """Make the error of a command that needs the lock."""
        holder = self.holder()
        return CommandError(
            f"another command is using the lake in {self._folder}: ./imagelake {holder.command} (process"
            f" {holder.process}); wait until it ends, or stop it with Ctrl-C"
        )
