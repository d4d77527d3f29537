"""The decoder process: the same results as in the worker, and an image that breaks it breaks nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from imagelake.imaging import Options, ProcessedImage, process_all
from imagelake.run.errors import ImageRejectedError
from tests.support import crashing_decoder
from tests.support.crashing_decoder import breaking
from tests.support.factories import item, plan
from tests.support.images import WIDE_GAMUT, encoded, photo, png_of
from tests.support.sample import full
from transform import decoder_process
from transform.decoder import LIMITS, Decoder, Limits

IMAGE = encoded(photo(80, 60))
PLAN = plan(item("a"))


@pytest.fixture
def decoder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Decoder]:
    """A decoder that some files break."""
    monkeypatch.setattr("transform.decoder.decoder_process.__name__", crashing_decoder.__name__)
    with Decoder(PLAN, LIMITS) as decoder:
        yield decoder


def code(result: ProcessedImage | ImageRejectedError) -> str:
    return str(result.code) if isinstance(result, ImageRejectedError) else "ok"


def started_processes(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """Collect the environment of each process that is started."""
    environments: list[dict[str, str]] = []

    class Watched(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            environments.append(options["env"])
            super().__init__(*arguments, **options)

    monkeypatch.setattr("transform.decoder.subprocess.Popen", Watched)
    return environments


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"preset": "fast", "tensor": "float32", "image_size": 64, "encode_quality": 40},
        {"preset": "quality", "tensor": "uint8", "resize_mode": "border", "resize_only_if_bigger": False},
    ],
)
def test_results_are_those_of_the_worker(options: dict[str, Any]) -> None:
    files = [
        IMAGE, encoded(photo(700, 500), progressive=True), encoded(photo(90, 70), icc_profile=WIDE_GAMUT),
        encoded(photo(60, 60), "WEBP"), encoded(photo(60, 60), "AVIF"), encoded(photo(60, 60), "GIF"),
        encoded(photo(60, 60).convert("RGBA"), "PNG"), IMAGE[:300], b"<html>", b"", png_of(60_000, 60_000, b""),
    ]  # fmt: skip
    expected = process_all(files, Options(**options))
    with Decoder(PLAN.model_copy(update=options), LIMITS) as decoder:
        made = [decoder.decode(data) for data in files]
    assert [repr(one) for one in made] == [repr(one) for one in expected]
    assert [code(one) for one in made] == [code(one) for one in expected]
    assert [code(one) for one in made].count("ok") == 7


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("SIGSEGV", "crashed with SIGSEGV"),
        full("SIGABRT", "crashed with SIGABRT"),
        ("SIGKILL", "took more than 15 seconds, or the system ended it"),
        full("error", "ended with an error"),
        full("exit", "ended with an error"),
        ("memory", "ended with an error"),
    ],
)
def test_file_that_breaks_the_decoder_twice_is_rejected(decoder: Decoder, how: str, reason: str) -> None:
    assert code(decoder.decode(IMAGE)) == "ok"
    result = decoder.decode(breaking(IMAGE, how))
    assert (code(result), str(result)) == (
        "decoder_failed",
        f"The decoder failed 2 times on this file; the last time, it {reason}.",
    )
    assert code(decoder.decode(IMAGE)) == "ok"


@pytest.mark.slow
def test_file_that_takes_too_much_cpu_time_is_rejected_at_once(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second try would take as long as the first one."""
    started = started_processes(monkeypatch)
    result = decoder.decode(breaking(IMAGE, "loop"))
    assert (code(result), str(result)) == (
        "decoder_failed", "The decoder failed on this file: it took more than 5 seconds of CPU time.",
    )  # fmt: skip
    assert len(started) == 1
    assert code(decoder.decode(IMAGE)) == "ok"


@pytest.mark.slow
def test_file_that_broke_it_before_is_tried_once(decoder: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    started = started_processes(monkeypatch)
    assert code(decoder.decode(breaking(IMAGE, "SIGSEGV"), failures=1)) == "decoder_failed"
    assert len(started) == 1
    assert code(decoder.decode(breaking(IMAGE, "SIGSEGV"))) == "decoder_failed"
    assert len(started) == 3


@pytest.mark.slow
def test_real_image_above_the_limit_on_memory_is_rejected() -> None:
    image = encoded(photo(200, 200).resize((4_000, 3_900)), "PNG", compress_level=1)
    with Decoder(PLAN, Limits(memory_bytes=100_000_000)) as decoder:
        result = decoder.decode(image)
        assert (code(result), str(result).partition("last time, ")[2]) == (
            "decoder_failed",
            "it needed too much memory.",
        )
        assert code(decoder.decode(IMAGE)) == "ok"
    with Decoder(PLAN, LIMITS) as decoder:
        assert code(decoder.decode(image)) == "ok"


def test_decoder_that_waits_for_ever_is_ended() -> None:
    with Decoder(PLAN, Limits(seconds=0.001)) as decoder:
        result = decoder.decode(IMAGE)
    assert code(result) == "decoder_failed"
    assert "took more than 0.001 seconds" in str(result)


def test_process_gets_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRETS_PREFIX", "planted")
    environments = started_processes(monkeypatch)
    with Decoder(PLAN, LIMITS) as decoder:
        decoder.decode(IMAGE)
    (environment,) = environments
    assert not [name for name in environment if name.startswith("AWS_") or name == "SECRETS_PREFIX"]


def test_process_ends_with_its_worker() -> None:
    arguments = [sys.executable, "-m", decoder_process.__name__, "{}", "1000000000", "20"]
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    try:
        assert process.communicate(timeout=60)[0] == b""
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()
