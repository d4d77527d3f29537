"""The commands: what a user does wrong is one sentence, and what a user writes for a feed is understood."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar
from unittest.mock import Mock

import botocore.session
import pyarrow
import pyarrow.parquet
import pytest

from local import __main__ as command_line
from local.__main__ import main, parse
from local.arguments import open_lake
from local.commands import COMMANDS
from local.local_lake import TEMPLATE_FEEDS, LocalLake, query_files
from local.output import Output
from local.runs import start_execution
from tests.support.asl import TEMPLATE
from tests.support.web_server import Answer, WebServer


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """The files of a lake whose path has characters that patterns treat specially."""
    folder = tmp_path / "[a] *b? {c}"
    rows = folder / "lake" / "images" / "source=bluesky" / "dt=2026-11-28"
    rows.mkdir(parents=True)
    (folder / "state").mkdir()
    table = pyarrow.table({"status": ["ok", "failed"], "image": [{"bytes": b"\xff\xd8", "path": "a.jpg"}, None]})
    pyarrow.parquet.write_table(table, rows / "batch.parquet")
    return folder


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "nonsense"], "FEED: feed 'nonsense': it is not of the form SOURCE:ACCOUNT"),
        (["run", "bluesky:a.example bluesky:b.example"], "it names several feeds; write each of them on its own"),
        (
            ["run", "https://x.com/NASA/status/1"],
            "this URL is neither that of a profile nor that of a hashtag on x.com",
        ),
        (["run", "--limit", "0"], "--limit: it has to be a whole number from 1 to 100000, not '0'"),
        (["run", "--size", "8"], "--size: it has to be a whole number from 16 to 2048, not '8'"),
        (["run", "--quality", "100"], "--quality: it has to be a whole number from 1 to 95, not '100'"),
        (["run", "--lake", __file__], "--lake: it is a file, not a folder"),
        (["run", "--lake", ""], "--lake: the name of a folder is missing"),
        (["status", "--stack", "a/b"], "--stack: the name of a stack has only letters, digits and hyphens, not 'a/b'"),
        (["status", "--stack", "a", "--lake", "b"], "--lake: not allowed with argument --stack"),
        (["run", "nasa.gov"], "did you mean bluesky:nasa.gov? the networks are bluesky,"),
        (["run", "bluesky:a.example", "--limt", "5"], "there is no option --limt; did you mean --limit?"),
        (["run", "--limt=5"], "there is no option --limt; did you mean --limit?"),
        (["run", "--limt", "5", "bluesky:a.example"], "there is no option --limt; did you mean --limit?"),
        (["logs", "--problem-lines"], "there is no option --problem-lines; did you mean --problems?"),
        (["status", "-x"], "there is no option -x"),
        (["status", "run-1"], "unrecognized arguments: run-1"),
        (["query", ""], "SQL: the query is empty"),
        (["query", " \n"], "SQL: the query is empty"),
        (["retry", "run-1", "--code", "bogus"], "--code: there is no error code 'bogus'; the codes are url_refused,"),
        (
            ["retry", "run-1", "--code", "time_out"],
            "--code: there is no error code 'time_out'; did you mean timed_out?",
        ),
        (["retry", "run-1", "--code", "TIMED_OUT"], "--code: there is no error code 'TIMED_OUT'; did you mean"),
        (["retry", "run-1", "--code", ""], "--code: there is no error code ''; the codes are"),
        (["backfill", "bluesky:a.example"], "the following arguments are required: --since"),
        (
            ["backfill", "bluesky:a.example", "--since", "2025"],
            "--since: it has to be a day such as 2025-01-31, in 1970 at the earliest, not '2025'",
        ),
        (["backfill", "bluesky:a.example", "--since", "2025-02-30"], "it has to be a day such as 2025-01-31"),
        (["backfill", "bluesky:a.example", "--since", "0999-01-01"], "in 1970 at the earliest, not '0999-01-01'"),
        (["backfill", "bluesky:a.example", "--since", "1969-12-31"], "in 1970 at the earliest, not '1969-12-31'"),
        (["backfill", "--since", "2025-01-01"], "the following arguments are required: FEED"),
        (
            ["backfill", "bluesky:a.example", "--since", "2025-01-01", "--runs", "0"],
            "--runs: it has to be a whole number",
        ),
        (["plan", "nonsense"], "FEED: feed 'nonsense': it is not of the form SOURCE:ACCOUNT"),
        (["plan", "--limt", "5"], "there is no option --limt; did you mean --limit?"),
        (["demo", "--port", "99999"], "--port: it has to be a whole number from 1 to 65535, not '99999'"),
    ],
)
def test_wrong_command_line_is_one_sentence_and_the_code_2(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert sentence in line
    assert line.endswith(f"(see ./imagelake {arguments[0]} --help)")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["status", "--lake", "{tmp}/none"], "there is no lake in {tmp}/none; start one with: ./imagelake run FEED"),
        (["query", "SELECT 1", "--lake", "{tmp}/none"], "there is no lake in {tmp}/none"),
        (["run", "bluesky:a.example", "--lake", "{tmp}"], "{tmp} is neither empty nor a lake; name another folder"),
        (["run", "bluesky:a.example", "--lake", "/dev/null/lake"], "Not a directory: /dev/null/lake"),
        (["run", "bluesky:a.example", "--lake", "/proc/lake"], "/proc/lake"),
        (["demo", "--state", "/proc/lake"], "/proc/lake"),
    ],
)
def test_wrong_folder_is_one_sentence_and_the_code_1(
    arguments: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main([text.replace("{tmp}", str(tmp_path)) for text in arguments]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert sentence.replace("{tmp}", str(tmp_path)) in line


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (PermissionError(13, "Permission denied", "/read/only"), "error: Permission denied: /read/only"),
        (OSError(28, "No space left on device"), "error: No space left on device"),
        (botocore.exceptions.NoCredentialsError(), "error: AWS cannot be asked: Unable to locate credentials"),
        (
            botocore.exceptions.NoRegionError(),
            "error: no region is set; set AWS_REGION or AWS_DEFAULT_REGION, such as AWS_REGION=eu-central-1",
        ),
        (
            botocore.exceptions.ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "ListExecutions"),
            "error: AWS refused ListExecutions: AccessDenied: no",
        ),
    ],
)
def test_error_of_a_command_is_one_sentence(
    error: Exception, sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail(monkeypatch, error)
    assert main(["status"]) == 1
    assert capsys.readouterr().err == f"{sentence}\n"


@pytest.mark.parametrize(
    ("variables", "region"),
    [
        ({"AWS_REGION": "eu-central-1"}, "eu-central-1"),
        ({"AWS_DEFAULT_REGION": "eu-west-1"}, "eu-west-1"),
        ({"AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "eu-west-1"}, "eu-central-1"),
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": "eu-west-1"}, "eu-west-1"),
    ],
)
def test_region_is_that_of_the_environment(
    variables: dict[str, str], region: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """AWS_REGION overrides AWS_DEFAULT_REGION: docs.aws.amazon.com/cli/latest/userguide/cli-configure-envvars.html."""
    regions: list[str] = []

    def status(options: Any, output: Output) -> int:
        regions.append(open_lake(options).client("s3").meta.region_name)
        return 0

    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, variables.get(name, ""))
        if name not in variables:
            monkeypatch.delenv(name)
    monkeypatch.setattr(COMMANDS["status"], "main", status)
    assert main(["status", "--stack", "imagelake"]) == 0
    assert regions == [region]


@pytest.mark.parametrize(
    "command", [["status"], ["report"], ["logs"], ["logs", "demo-1"], ["retry", "demo-1"], ["run", "x:NASA"]]
)
def test_folder_of_a_demo_is_named(command: list[str], lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (lake / "functions.log").touch()
    assert main([*command, "--lake", str(lake)]) == 1
    assert capsys.readouterr().err == (
        f"error: {lake} is of a demo, whose lake is gone: use ./imagelake query,"
        " or start a lake with ./imagelake run FEED\n"
    )
    assert main(["query", "SELECT 1", "--lake", str(lake)]) == 0


class StackOnly:
    """Stands in for the engine; it has a stack with these feeds."""

    feeds = TEMPLATE_FEEDS

    def __init__(self, folder: Path, **_: Any) -> None:
        self.port = 1

    def __enter__(self) -> StackOnly:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def client(self, service: str) -> Any:
        parameters = [{"ParameterKey": "Feeds", "ParameterValue": self.feeds}]
        secrets: dict[str, Any] = {"SecretList": []}
        return Mock(
            describe_stacks=lambda StackName: {"Stacks": [{"Parameters": parameters}]},  # noqa: N803
            list_secrets=lambda: secrets,
        )


def test_feeds_of_the_template_are_those_of_no_lake(
    lake: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run of a demo names its feeds, so the stack has those of the template, which nobody wished."""
    assert TEMPLATE["Parameters"]["Feeds"]["Default"] == TEMPLATE_FEEDS
    monkeypatch.setattr("local.local_lake.Engine", StackOnly)
    for command in ("plan", "run"):
        assert main([command, "--lake", str(lake)]) == 1
        assert capsys.readouterr().err == (
            f"error: the lake in {lake} has no feeds of its own yet; name one, such as bluesky:nasa.gov\n"
        )


@pytest.mark.parametrize("feeds", [["bluesky:bsky.app"], ["bluesky:a.example", "mastodon:b.example#cats"]])
def test_lake_keeps_the_feeds_of_a_run_and_not_those_of_a_plan(
    lake: Path, monkeypatch: pytest.MonkeyPatch, feeds: list[str]
) -> None:
    monkeypatch.setattr("local.local_lake.Engine", StackOnly)
    deployed: list[dict[str, str]] = []

    def deploy(engine: Any, template: Any, given: dict[str, str], **_: Any) -> dict[str, str]:
        deployed.append(given)
        return {"BucketName": "b"}

    monkeypatch.setattr("local.local_lake.deploy", deploy)
    monkeypatch.setattr("local.local_lake.mirror_objects", lambda *_: None)
    with LocalLake(lake) as opened:
        opened.client("cloudformation")
        assert opened.prepare(feeds, remember=False) == feeds
        assert deployed[-1]["Feeds"] == TEMPLATE_FEEDS
        assert opened.prepare(feeds) == []
    monkeypatch.setattr(StackOnly, "feeds", deployed[-1]["Feeds"])
    with LocalLake(lake) as opened:
        opened.client("cloudformation")
        assert opened.prepare([]) == []
        assert opened.prepare(["bluesky:c.example"], remember=False) == ["bluesky:c.example"]
        assert json.loads(deployed[-1]["Feeds"]) == feeds


def test_error_that_nobody_expected_is_one_sentence_with_the_path_of_the_details(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command_line, "DATASETS", tmp_path)
    fail(monkeypatch, ValueError("odd\x1b[31m"))
    assert main(["status"]) == 1
    log = tmp_path / "error.log"
    assert capsys.readouterr().err == (
        f"error: this is a fault of Imagelake: ValueError: odd [31m; the details are in {log}\n"
    )
    assert "Traceback" in log.read_text()


def test_interrupt_ends_with_the_code_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    fail(monkeypatch, KeyboardInterrupt())
    assert main(["status"]) == 130
    assert capsys.readouterr().err == ""


def fail(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def main(options: object, output: Output) -> int:
        raise error

    monkeypatch.setattr(COMMANDS["status"], "main", main)


@pytest.mark.parametrize(
    ("text", "feed"),
    [
        ("https://bsky.app/profile/nasa.gov", "bluesky:nasa.gov"),
        ("@alice@server.example", "mastodon:server.example@alice"),
        (" Bluesky: nasa.gov ", "bluesky:nasa.gov"),
        ("https://example.org/feed.xml", "rss:https://example.org/feed.xml"),
        ('{"source": "x", "account": "NASA"}', '{"source": "x", "account": "NASA"}'),
    ],
)
def test_feed_is_taken_in_any_spelling(text: str, feed: str) -> None:
    assert parse(["run", text]).feeds == parse(["demo", "--feed", text]).feed == [feed]


def test_query_reads_a_lake_whose_path_looks_like_a_pattern(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sql = "SELECT status, image FROM images ORDER BY status"
    assert query_files(lake, sql).columns == ["status", "image"]
    assert main(["query", sql, "--lake", str(lake), "--json"]) == 0
    rows: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    assert rows == [{"status": "failed", "image": None}, {"status": "ok", "image": {"bytes": "/9g=", "path": "a.jpg"}}]
    assert main(["query", sql, "--lake", str(lake)]) == 0
    assert "<2 bytes>" in capsys.readouterr().out


@pytest.mark.parametrize("sql", ["SELEC", "SELECT nothing FROM images", "SELECT * FROM elsewhere"])
def test_wrong_query_is_an_error_of_duckdb(sql: str, lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", sql, "--lake", str(lake)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: DuckDB: ")
    assert "Traceback" not in error


@pytest.mark.parametrize("sql", [";", "-- a comment", "/* a */ ;"])
def test_query_without_a_statement_is_an_error(sql: str, lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", "--lake", str(lake), "--", sql]) == 1
    assert capsys.readouterr().err == "error: the query is empty\n"


@pytest.mark.parametrize(("number", "is_table"), [(1, True), (10, True), (11, False), (70, False)])
def test_row_with_more_columns_than_fit_is_printed_as_lines(
    number: int, is_table: bool, lake: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    columns = ", ".join(f"{n} AS name{n}" for n in range(number))
    assert main(["query", f"SELECT {columns} FROM images", "--lake", str(lake)]) == 0
    lines = capsys.readouterr().out.splitlines()
    if is_table:
        assert lines[1].split() == [f"name{n}" for n in range(number)]
    else:
        row = [f"  name{n}: {n}" for n in range(number)]
        assert lines == ["row 1", *row, "row 2", *row]


def test_query_of_a_lake_without_rows_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "state").mkdir()
    assert main(["query", "SELECT 1", "--lake", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"error: there is no dataset file in {tmp_path} yet\n"


def test_check_shows_login_reach_and_cost_and_asks_nobody_offline(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["feeds", "check", "x.com/NASA", "@alice@server.example", "--offline", "--json"]) == 0
    x, mastodon = json.loads(capsys.readouterr().out)
    assert x == {
        "feed": "x:NASA",
        "feed id": "x-ab6ad60aca4c7b0b",
        "network": "X",
        "login": "needed",
        "reaches back": "a search: 7 days; a timeline: the newest 3,200 posts",
        "costs": "0.005 USD a post",
        "result": "not asked (--offline)",
    }
    assert (mastodon["feed"], mastodon["login"], mastodon["costs"]) == (
        "mastodon:server.example@alice", "optional", "nothing",
    )  # fmt: skip


def test_check_splits_a_list_of_servers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["feeds", "check", "mastodon:a.example, b.example#cats", "--offline", "--json"]) == 1
    capsys.readouterr()
    assert main(["feeds", "check", "mastodon:a.example,b.example#cats", "--offline", "--json"]) == 0
    feeds = [result["feed"] for result in json.loads(capsys.readouterr().out)]
    assert feeds == ["mastodon:a.example#cats", "mastodon:b.example#cats"]


def test_check_shows_no_password(capsys: pytest.CaptureFixture[str]) -> None:
    texts = [
        "mastodon:user:s3cret@a.example#cats",
        "https://user:s3cret@a.example/",
        "rss:https://user:s3cret@a.example",
    ]
    assert main(["feeds", "check", *texts, "--offline"]) == 1
    assert "s3cret" not in capsys.readouterr().out


def test_check_names_each_wrong_feed_and_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["feeds", "check", "nonsense", "bluesky:nasa.gov", "blusky:a.example", "--offline"]) == 1
    out = capsys.readouterr().out
    assert "wrong: feed 'nonsense': it is not of the form" in out
    assert "did you mean bluesky?" in out
    assert "feed:         bluesky:nasa.gov" in out


def test_check_asks_the_network_and_says_what_it_found(capsys: pytest.CaptureFixture[str]) -> None:
    with WebServer() as site:
        entry = {"id": "1", "date_published": "2026-11-20T10:00:00Z", "image": f"{site.origin}/a.jpg"}
        body = {"version": "https://jsonfeed.org/version/1.1", "title": "A site", "items": [entry]}
        found = site.put("/feed.json", Answer.of(body))
        missing = f"{site.origin}/missing.json"
        assert main(["feeds", "check", found, "--json"]) == 0
        (result,) = json.loads(capsys.readouterr().out)
        assert result["result"] == "found, 1 post with images on the first page, the newest of 2026-11-20"
        assert main(["feeds", "check", f"rss:{missing}"]) == 1
        assert "FeedNotFoundError" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("feed", "result"),
    [
        ("x:NASA", "not asked, because this network charges for each post"),
        (
            "facebook:NASA",
            "not asked, because this network needs a login; with --stack NAME, that of the stack is used",
        ),
    ],
)
def test_check_costs_nothing_and_needs_no_login(feed: str, result: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["feeds", "check", feed, "--json"]) == 0
    (checked,) = json.loads(capsys.readouterr().out)
    assert checked["result"].startswith(result)


def test_report_of_a_local_lake_is_opened_only_for_a_person(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr("local.commands.report.find_run", lambda lake, run_id: "run-1")
    monkeypatch.setattr("local.local_lake.LocalLake.copy", lambda lake, prefix: None)
    (tmp_path / "state").mkdir()
    page = tmp_path / "reports" / "run-1" / "index.html"
    for terminal, option in ((False, []), (True, ["--no-browser"]), (True, ["--json"]), (True, [])):
        monkeypatch.setattr("sys.stdout.isatty", lambda terminal=terminal: terminal)
        assert main(["report", "--lake", str(tmp_path), *option]) == 0
        assert str(page) in capsys.readouterr().out
    assert opened == [page.as_uri()]


def test_executions_of_one_second_have_different_names(monkeypatch: pytest.MonkeyPatch) -> None:
    class AlreadyExists(Exception):  # noqa: N818
        pass

    class States:
        exceptions = SimpleNamespace(ExecutionAlreadyExists=AlreadyExists)
        names: ClassVar[list[str]] = []

        def start_execution(self, *, stateMachineArn: str, name: str, input: str) -> dict[str, str]:  # noqa: N803
            if name in self.names:
                raise AlreadyExists
            self.names.append(name)
            return {"executionArn": f"{stateMachineArn}:{name}"}

    clock = Mock(wraps=datetime)
    clock.now.return_value = datetime(2026, 4, 1, 5, 30, tzinfo=UTC)
    monkeypatch.setattr("local.runs.datetime", clock)
    started = [start_execution(States(), "arn", "run", {}) for _ in range(3)]
    names = ["run-20260401T053000", "run-20260401T053000-2", "run-20260401T053000-3"]
    assert started == [(f"arn:{name}", name) for name in names]
