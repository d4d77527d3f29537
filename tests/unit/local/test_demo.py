"""``make demo``: feeds are texts or JSON objects, also from a server on this machine; the last lines are true."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path

import pytest
from rich.console import Console

from local.__main__ import main, parse
from local.demo import Options, demo, execution_input, no_notification
from local.errors import CommandError
from local.feed_server import FeedServer, sample_port
from local.local_lake import update_copies


def test_feed_can_be_an_object_and_a_server_on_loopback_is_trusted() -> None:
    feeds = (
        "bluesky:bsky.app",
        "rss:http://127.0.0.1:8000/feed.xml",
        '{"source": "mastodon", "server": "http://localhost:8001", "hashtag": "cats"}',
    )
    with ExitStack() as stack:
        run_input, parameters = execution_input(Options(Path("unused"), feeds, limit=5), stack, {})
    assert run_input["feeds"][:2] == list(feeds[:2])
    assert run_input["feeds"][2] == {"source": "mastodon", "server": "http://localhost:8001", "hashtag": "cats"}
    assert parameters["TrustedOrigins"] == "http://127.0.0.1:8000,http://localhost:8001"


def test_sample_feeds_are_of_two_networks_that_are_trusted() -> None:
    with ExitStack() as stack:
        run_input, parameters = execution_input(Options(Path("unused")), stack, {})
    bluesky, blog = run_input["feeds"]
    assert (bluesky["source"], blog["source"]) == ("bluesky", "rss")
    assert parameters["TrustedOrigins"] == bluesky["server"]
    assert blog["account"].startswith(f"{bluesky['server']}/")


def test_stream_has_the_posts_of_one_feed() -> None:
    with ExitStack() as stack:
        run_input, _ = execution_input(Options(Path("unused"), stream=True), stack, {})
    assert [feed["source"] for feed in run_input["feeds"]] == ["bluesky"]


@pytest.mark.parametrize("stream", [False, True])
def test_sample_feeds_of_a_lake_that_is_kept_stay_the_same(stream: bool) -> None:
    """The origin of a feed is a part of its name: a feed at another port would be another feed."""
    with ExitStack() as stack:
        first = execution_input(Options(Path("unused")), stack, {})
    before = first[1] | {"TrustedOrigins": f"{first[1]['TrustedOrigins']},http://localhost:5"}
    with ExitStack() as stack:
        run_input, parameters = execution_input(Options(Path("unused"), stream=stream), stack, before)
    assert run_input["feeds"] == first[0]["feeds"][: len(run_input["feeds"])]
    assert set(parameters["TrustedOrigins"].split(",")) == set(before["TrustedOrigins"].split(","))
    assert json.loads(parameters["Feeds"]) == run_input["feeds"], "the next run reads them"


def test_port_of_the_sample_feeds_that_is_taken_is_named() -> None:
    with ExitStack() as stack:
        other = stack.enter_context(FeedServer())
        port = other.url.rpartition(":")[2]
        feeds = json.dumps([{"source": "rss", "account": f"{other.url}/photoblog.xml"}])
        with pytest.raises(CommandError, match=f"needs port {port} on 127.0.0.1: "):
            execution_input(Options(Path("unused")), stack, {"Feeds": feeds})


@pytest.mark.parametrize(
    ("name", "port"),
    [
        ("bluesky:http://127.0.0.1:4001@sample.imagelake.example", 4001),
        ("rss:http://127.0.0.1:4001/photoblog.xml", 4001),
        ("rss:http://127.0.0.1:4001/feed.xml", None),
        ("rss:https://photos.example/photoblog.xml", None),
        ("bluesky:sample.imagelake.example", None),
        ("bluesky:http://127.0.0.1:4001@another.example", None),
    ],
)
def test_sample_feed_is_known_by_its_name(name: str, port: int | None) -> None:
    assert sample_port(["bluesky:nasa.gov", name]) == port


def test_feed_on_another_host_is_not_trusted() -> None:
    with ExitStack() as stack:
        _, parameters = execution_input(Options(Path("unused"), ("rss:http://127.0.0.1.example/feed.xml",)), stack, {})
    assert parameters["TrustedOrigins"] == ""


def test_feed_that_is_no_json_is_refused_with_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["demo", "--feed", "{source: rss}"])
    assert "argument --feed: {source: rss} is not a JSON object" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--feed", "nonsense"], "--feed: feed 'nonsense': it is not of the form SOURCE:ACCOUNT"),
        (["--feed", ""], "--feed: feed '': it is not of the form SOURCE:ACCOUNT"),
        (["--feed", "blusky:a.example"], "--feed: no network named 'blusky'; did you mean bluesky?"),
        (["--feed", "rss:a.example"], "--feed: an rss feed's URL begins with https://"),
        (["--feed", "rss:https://user:s3cret@a.example/"], "--feed: an rss feed's URL begins with https://"),
        (["--feed", "mastodon:user:s3cret@a.example#cats"], "--feed: feed 'mastodon:REDACTED@a.example#cats': it is"),
        (["--feed", "https://user:s3cret@a.example/"], "--feed: an rss feed's URL begins with https://"),
        (["--feed", '{"source": "bluesky", "acount": "a"}'], "acount: there is no such field; did you mean account?"),
        (["--feed", '{"source": "x", "account": "a", "limit": 0}'], "limit: it has to be more than 0, not 0"),
        (["--feed", '{"source": "x", "source": "x"}'], "is wrong: source: this name is there twice in one object"),
        (["--feed", '{"source": "x", "limit": NaN}'], "is not a JSON object; quote it for the shell"),
        (["--feed", "{" * 100_000], "is not a JSON object; quote it for the shell"),
        (["--feed", "rss:https://a.example/\udc80"], "is wrong: feed: it has half of a character"),
        (["--limit", "0"], "--limit: it has to be a whole number from 1 to 100000, not '0'"),
        (["--limit", "-5"], "--limit: it has to be a whole number from 1 to 100000, not '-5'"),
        (["--limit", "100001"], "--limit: it has to be a whole number from 1 to 100000, not '100001'"),
        (["--limit", "ten"], "--limit: it has to be a whole number from 1 to 100000, not 'ten'"),
        (["--limit", "٥"], "--limit: it has to be a whole number from 1 to 100000, not '٥'"),
        (["--limit", "9" * 5000], "--limit: it has to be a whole number from 1 to 100000, not '999"),
        (["--state", __file__], "--state: it is a file, not a folder"),
        (["--port", "70000"], "--port: it has to be a whole number from 1 to 65535, not '70000'"),
    ],
)
def test_wrong_argument_is_refused_with_a_sentence(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["demo", *arguments])
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error: argument" in line]
    assert sentence in line
    assert "s3cret" not in line
    assert "invalid" not in line


@pytest.mark.parametrize("feed", ["mastodon:a.example,b.example#cats", "rss:http://127.0.0.1:8000/f", "bluesky:#cats"])
def test_right_feed_is_accepted(feed: str) -> None:
    assert parse(["demo", "--feed", feed, "--limit", "100000"]).feed == [feed]


@pytest.mark.parametrize(
    ("error", "persistent", "updates"),
    [
        (KeyboardInterrupt(), True, 1),
        (SystemExit(143), True, 1),
        (RuntimeError(), True, 1),
        (KeyboardInterrupt(), False, 0),
        (CommandError("another command is using the lake"), True, 0),
    ],
)
def test_demo_that_is_stopped_brings_the_copies_of_its_lake_up_to_date(
    error: BaseException, persistent: bool, updates: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    updated: list[Path] = []

    def stop(options: Options, console: object) -> int:
        raise error

    monkeypatch.setattr("local.demo._demo", stop)
    monkeypatch.setattr("local.demo.update_copies", lambda folder, command: updated.append(folder))
    with pytest.raises(type(error)):
        demo(Options(tmp_path, persistent=persistent), Console())
    assert updated == updates * [tmp_path]


@pytest.mark.parametrize("folder", ["empty", "missing"])
def test_copies_of_a_lake_without_a_stack_stay_as_they_are(folder: str, tmp_path: Path) -> None:
    (tmp_path / "empty" / "state").mkdir(parents=True)
    update_copies(tmp_path / folder, "demo")


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
