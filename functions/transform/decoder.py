"""A decoder that may die: it runs in a process of its own, so that an image that breaks it does not end the worker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from threading import Timer
from types import TracebackType
from typing import IO, NamedTuple

from imagelake.imaging import ProcessedImage
from imagelake.run.errors import ErrorCode, ImageRejectedError
from imagelake.run.models import PlannedBatch
from imagelake.run.settings import select_variables
from transform import decoder_process

# An image is rejected when it has failed so often: the first failure may have another cause, such as a lost machine.
MAX_FAILURES = 2
# The process gets what it needs to find libraries and to manage memory, but no credentials.
_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "MALLOC_ARENA_MAX", "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_")
_SECONDS_TO_END = 5.0


class Limits(NamedTuple):
    """The limits of one image.

    Every image that `imaging` accepts takes about 1 s and 400 MB at most. ``seconds`` are clock time, for a decoder
    that waits for something.
    """

    memory_bytes: int = 1_000_000_000
    cpu_seconds: int = 5
    seconds: float = 15.0


LIMITS = Limits()


def rejection(failures: int, reason: str) -> ImageRejectedError:
    """Make the error of an image that has failed too often."""
    times = f"{failures} times on this file; the last time, it" if failures > 1 else "on this file: it"
    return ImageRejectedError(ErrorCode.DECODER_FAILED, f"The decoder failed {times} {reason}.")


class Decoder:
    """Decodes images in a process that may die; the process is started for the first image."""

    def __init__(self, plan: PlannedBatch, limits: Limits) -> None:
        self._arguments = [json.dumps(plan.imaging_arguments), str(limits.memory_bytes), str(limits.cpu_seconds)]
        self._limits = limits
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Decoder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._process is not None:
            self._end(self._process)

    def decode(self, data: bytes, failures: int = 0) -> ProcessedImage | ImageRejectedError:
        """Return what `imaging.process` returns or raises, or an error with the code ``decoder_failed``.

        ``failures`` is the number of times that this image has failed before.
        """
        while True:
            process = self._process = self._process or self._start()
            result = self._exchange(process, data)
            if result is not None and (isinstance(result, ProcessedImage) or result.code != ErrorCode.DECODER_FAILED):
                return result
            status = self._end(process)
            self._process = None
            failures += 1
            # Another try would need the same CPU time, and a batch can have a thousand such images.
            if failures >= MAX_FAILURES or status == -signal.SIGXCPU:
                return rejection(failures, self._reason(status) if result is None else "needed too much memory")

    def _start(self) -> subprocess.Popen[bytes]:
        environment = select_variables(_VARIABLES)
        environment |= {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OPENBLAS_NUM_THREADS": "1"}
        return subprocess.Popen(
            [sys.executable, "-m", decoder_process.__name__, *self._arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )

    def _exchange(self, process: subprocess.Popen[bytes], data: bytes) -> ProcessedImage | ImageRejectedError | None:
        """Send an image and read the answer; ``None`` if the process dies, of itself or because it takes too long."""
        source, target = _pipes(process)
        timer = Timer(self._limits.seconds, process.kill)
        timer.start()
        try:
            target.write(decoder_process.LENGTH.pack(len(data)) + data)
            target.flush()
            return decoder_process.unpack(source)
        except BrokenPipeError:
            return None
        finally:
            timer.cancel()

    def _end(self, process: subprocess.Popen[bytes]) -> int:
        """Let the process end, or end it, and return its exit status."""
        source, target = _pipes(process)
        with suppress(BrokenPipeError):
            target.close()
        try:
            return process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()
        finally:
            source.close()

    def _reason(self, status: int) -> str:
        if status == -signal.SIGXCPU:
            return f"took more than {self._limits.cpu_seconds} seconds of CPU time"
        if status == -signal.SIGKILL:
            return f"took more than {self._limits.seconds:g} seconds, or the system ended it"
        if status < 0:
            return f"crashed with {signal.Signals(-status).name}"
        return "ended with an error"


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    """Return the output and the input of a process."""
    assert process.stdout is not None
    assert process.stdin is not None
    return process.stdout, process.stdin
