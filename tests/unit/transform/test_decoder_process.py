"""The decoder process, called in this process: what it reads, and what it answers."""

from __future__ import annotations

import io

import pytest

from imagelake.imaging import Options, ProcessedImage, process
from imagelake.run.errors import ErrorCode, ImageRejectedError
from imagelake.run.image_options import Tensor
from tests.support.factories import jpeg
from transform import decoder_process
from transform.decoder_process import LENGTH, serve, unpack


def answers(monkeypatch: pytest.MonkeyPatch, options: Options, *images: bytes) -> io.BytesIO:
    """Return the answers of the process to these images."""
    # The limit would end the process of the tests.
    monkeypatch.setattr(decoder_process, "_limit_cpu_time", lambda _: None)
    target = io.BytesIO()
    serve(io.BytesIO(b"".join(LENGTH.pack(len(data)) + data for data in images)), target, options, 20)
    target.seek(0)
    return target


@pytest.mark.parametrize("tensor", [None, "uint8"])
def test_each_image_has_an_answer(monkeypatch: pytest.MonkeyPatch, tensor: Tensor | None) -> None:
    options = Options(tensor=tensor)
    source = answers(monkeypatch, options, jpeg("red"), b"<html>", jpeg("teal"))
    first, second, third = (unpack(source) for _ in range(3))
    assert (first, third) == (process(jpeg("red"), options), process(jpeg("teal"), options))
    assert isinstance(second, ImageRejectedError)
    assert second.code is ErrorCode.NOT_AN_IMAGE
    assert unpack(source) is None


@pytest.mark.parametrize("length", [0, 5, 40])
def test_answer_that_ends_early_is_none(monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    whole = answers(monkeypatch, Options(), jpeg()).getvalue()
    assert unpack(io.BytesIO(whole[:length])) is None
    assert isinstance(unpack(io.BytesIO(whole)), ProcessedImage)
