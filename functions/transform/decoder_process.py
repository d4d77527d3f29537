"""The decoder process, which decodes one image at a time within limits on its memory and its CPU time.

    python -m transform.decoder_process '{"image_size": 512, "preset": "balanced"}' 1000000000 5

If an image crashes a decoder or exceeds a limit, this process dies, and the worker that started it lives. It reads
images from its standard input and writes one answer for each to its standard output, both with their lengths before
them. It has no credentials of AWS.
"""

from __future__ import annotations

import json
import math
import os
import resource
import struct
import sys
from typing import IO, Any

from imagelake.imaging import Options, ProcessedImage, process_all
from imagelake.run.errors import ErrorCode, ImageRejectedError

LENGTH = struct.Struct(">I")
# Lengths of the fields (JSON), the image and the tensor.
ANSWER = struct.Struct(">III")


def serve(source: IO[bytes], target: IO[bytes], options: Options, cpu_seconds: int) -> None:
    """Answer until the input ends."""
    while head := source.read(LENGTH.size):
        data = source.read(LENGTH.unpack(head)[0])
        _limit_cpu_time(cpu_seconds)
        target.write(_pack(process_all([data], options)[0]))
        target.flush()


def unpack(source: IO[bytes]) -> ProcessedImage | ImageRejectedError | None:
    """Read one answer; ``None`` if it ends early."""
    head = source.read(ANSWER.size)
    if len(head) < ANSWER.size:
        return None
    lengths = ANSWER.unpack(head)
    body = source.read(sum(lengths))
    if len(body) < sum(lengths):
        return None
    fields: dict[str, Any] = json.loads(body[: lengths[0]])
    if "code" in fields:
        return ImageRejectedError(ErrorCode(fields["code"]), fields["message"])
    image_end = lengths[0] + lengths[1]
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
    }
    values |= {"image": body[lengths[0] : image_end], "tensor": body[image_end:] or None}
    return ProcessedImage(**values)


def _pack(result: ProcessedImage | ImageRejectedError) -> bytes:
    image, tensor = b"", b""
    fields: dict[str, Any] = {}
    if isinstance(result, ImageRejectedError):
        fields |= {"code": result.code, "message": str(result)}
    else:
        fields |= vars(result)
        image, tensor = fields.pop("image"), fields.pop("tensor") or b""
    text = json.dumps(fields).encode()
    return b"".join((ANSWER.pack(len(text), len(image), len(tensor)), text, image, tensor))


def _limit_cpu_time(seconds: int) -> None:
    """Let the kernel end this process (SIGXCPU) after so many more seconds, even inside a native decoder."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    used = math.ceil(usage.ru_utime + usage.ru_stime)
    resource.setrlimit(resource.RLIMIT_CPU, (used + seconds, resource.RLIM_INFINITY))


def main() -> None:
    options, memory_bytes, cpu_seconds = Options(**json.loads(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Unlike RLIMIT_AS, this leaves out the libraries' files, which take no memory of their own.
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    # A library that prints something must not print it into the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, answers, options, cpu_seconds)


if __name__ == "__main__":
    main()
