"""``make demo``: feeds are texts or JSON objects, also from a server on this machine; the last lines are true."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from local.__main__ import main
from local.demo import Options, execution_input, no_notification


def test_feed_can_be_an_object_and_a_server_on_loopback_is_trusted() -> None:
    feeds = (
        "bluesky:bsky.app",
        "rss:http://127.0.0.1:8000/feed.xml",
        '{"source": "mastodon", "server": "http://localhost:8001", "hashtag": "cats"}',
    )
    with ExitStack() as stack:
        run_input, parameters = execution_input(Options(Path("unused"), feeds, limit=5), stack)
    assert run_input["feeds"][:2] == list(feeds[:2])
    assert run_input["feeds"][2] == {"source": "mastodon", "server": "http://localhost:8001", "hashtag": "cats"}
    assert parameters["TrustedOrigins"] == "http://127.0.0.1:8000,http://localhost:8001"


def test_feed_on_another_host_is_not_trusted() -> None:
    with ExitStack() as stack:
        _, parameters = execution_input(Options(Path("unused"), ("rss:http://127.0.0.1.example/feed.xml",)), stack)
    assert parameters["TrustedOrigins"] == ""


def test_feed_that_is_no_json_is_refused_with_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["demo", "--feed", "{source: rss}"])
    assert "argument --feed: {source: rss} is not a JSON object" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("outcome", "sentence"),
    [
        (None, "The run sent"),
        ("ok", "The run was complete"),
        ("partial", "An earlier run"),
        ("failed", "An earlier run"),
    ],
)
def test_missing_notification_is_explained_by_the_outcome(outcome: str | None, sentence: str) -> None:
    assert no_notification(outcome).startswith(sentence)
