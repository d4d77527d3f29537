"""A decoder that some files break: such a file ends with ``BREAKS:`` and how it does that.

As a program, it is the decoder process with this decoder and less CPU time. `dying_worker` is a worker with it.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from imagelake import imaging
from imagelake.imaging import Options
from transform import decoder_process

_BREAKS = re.compile(rb"BREAKS:(\w+)$")
_process_all = imaging.process_all


class WorkerDiedError(Exception):
    """The end of a worker in the middle of its work: nothing of ours handles it or comes after it."""


def breaking(image: bytes, how: str) -> bytes:
    """Add to an image how it breaks the decoder: the name of a signal, ``memory``, ``loop``, ``error`` or ``exit``."""
    return image + b"BREAKS:" + how.encode()


def _decode_or_break(files: Sequence[bytes], options: Options) -> list[Any]:
    for data in files:
        match = _BREAKS.search(data, len(data) - 30)
        how = match[1].decode() if match else ""
        if how == "memory":
            bytearray(4_000_000_000)
        elif how == "loop":
            while True:
                pass
        elif how == "error":
            raise RuntimeError("the decoder has a bug")
        elif how == "exit":
            os._exit(0)
        elif how:
            os.kill(os.getpid(), signal.Signals[how])
    return _process_all(files, options)


def dying_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let such a file end the worker, or its decoder process if it has one."""

    def die(files: Sequence[bytes], options: Options) -> list[Any]:
        if any(_BREAKS.search(data, len(data) - 30) for data in files):
            raise WorkerDiedError
        return _process_all(files, options)

    monkeypatch.setattr("transform.results.process_all", die)
    monkeypatch.setattr("transform.decoder.decoder_process.__name__", __name__)


if __name__ == "__main__":
    vars(decoder_process)["process_all"] = _decode_or_break
    sys.argv[3] = "1"
    decoder_process.main()
