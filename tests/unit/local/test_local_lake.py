"""A lake on this machine: it continues from run to run, and commands for a stack work on it through AWS's APIs."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.__main__ import main
from local.engine import REGION
from local.feed_server import PHOTO_BLOG, FeedServer
from local.local_lake import LocalLake
from local.tables import duckdb_type
from tests.support.asl import RESOURCES
from tests.support.web_server import Answer, WebServer
from tools.glue_tables import TABLES

COVERAGE = Path(__file__).parents[3] / "docs" / "coverage.md"
PHOTOS = Path(__file__).parents[3] / "samples" / "photos"


@pytest.fixture
def site() -> Iterator[WebServer]:
    with WebServer() as site:
        yield site


def publish(site: WebServer, *photos: str, down: str | None = None) -> str:
    """Serve a JSON Feed with an entry for each photo; the URL of the photo ``down`` answers 404."""
    entries = [
        {"id": name, "date_published": "2026-11-20T10:00:00Z", "image": f"{site.origin}/{name}.jpg"} for name in photos
    ]
    for name in photos:
        photo = (PHOTOS / f"{name}.jpg").read_bytes()
        site.put(f"/{name}.jpg", Answer(b"", 404) if name == down else Answer(photo))
    body = {"version": "https://jsonfeed.org/version/1.1", "title": "A site", "items": entries}
    return site.put("/feed.json", Answer.of(body))


def test_lake_continues_from_run_to_run(
    site: WebServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = ["--lake", str(tmp_path / "a [lake] *")]

    def result(*arguments: str, code: int = 0) -> Any:
        assert main([*arguments, *lake, "--json"]) == code
        return json.loads(capsys.readouterr().out)

    assert main(["run", "x:NASA", *lake]) == 1
    assert "x:NASA: X needs a login, and a lake on this machine has none" in capsys.readouterr().err

    first = result("run", publish(site, "gravel", "rocket", down="rocket"), code=1)
    assert (first["outcome"], first["totals"]["ok"], first["errors"]) == ("failed", 1, {"not_found": 1})
    assert all(Path(first[name]).exists() for name in ("report", "dataset", "logs"))

    publish(site, "gravel", "rocket", "wall-clock")
    second = result("run")
    assert (second["status"], second["outcome"], second["totals"]["planned"]) == ("SUCCEEDED", "ok", 1)
    assert result("query", "SELECT count(*) AS n FROM images WHERE status = 'ok'") == [{"n": 2}]
    assert_docs_questions_are_answered(result, [first["run_id"], second["run_id"]])

    with LocalLake(tmp_path / "a [lake] *") as open_lake:
        open_lake.client("s3")
        # A second command meanwhile reads, and does not write.
        status = result("status")
        assert [run["run_id"] for run in status["runs"]] == [second["run_id"], first["run_id"]]
        assert main(["run", *lake]) == 1
        assert "another command is using the lake in" in capsys.readouterr().err
        lines = result("logs", first["run_id"])
        assert {line["correlation_id"] for line in lines} == {first["run_id"]}
        assert_athena_finds_the_rows(open_lake, monkeypatch, capsys)


class NoStack:
    """CloudFormation before the first deployment, and the clients that are asked after it."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: self

    def describe_stacks(self, **_: str) -> None:
        raise ClientError({"Error": {"Code": "ValidationError", "Message": "Stack does not exist"}}, "DescribeStacks")


@pytest.mark.parametrize("command", [["status"], ["report"], ["logs"], ["status", "--json"]], ids=str)
def test_lake_without_a_run_says_how_to_start_one(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "state").mkdir()
    monkeypatch.setattr(LocalLake, "client", lambda lake, service: NoStack())
    assert main([*command, "--lake", str(tmp_path)]) == 1
    assert "it has had no run yet; start one with: ./imagelake run FEED" in capsys.readouterr().err


class Stacks:
    """CloudFormation with a stack that remembers feeds."""

    def __init__(self, feeds: list[Any]) -> None:
        self.parameters = [{"ParameterKey": "Feeds", "ParameterValue": json.dumps(feeds)}]

    def describe_stacks(self, **_: str) -> dict[str, Any]:
        return {"Stacks": [{"Parameters": self.parameters}]}


@pytest.mark.parametrize(("remembered", "is_given"), [(True, False), (False, True), (True, True), (False, False)])
def test_sample_feeds_are_served_while_a_command_reads_them(
    remembered: bool, is_given: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FeedServer() as server:
        url = f"{server.url}{PHOTO_BLOG}"
    blog = {"source": "rss", "account": url}
    stacks = Stacks([blog] if remembered else ["bluesky:nasa.gov"])
    monkeypatch.setattr(LocalLake, "client", lambda lake, service: stacks)
    with LocalLake(tmp_path, create=True) as lake:
        for _ in range(2):
            # A backfill starts several runs.
            lake.serve_feeds([f"rss:{url}"] if is_given else [])
        assert is_served(url) == (remembered or is_given)
    assert not is_served(url)


def is_served(url: str) -> bool:
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url) as response:
            return bool(response.status == 200)
    except urllib.error.URLError:
        return False


def assert_docs_questions_are_answered(result: Any, run_ids: list[str]) -> None:
    """The three questions of docs/coverage.md, and the types of the files as DuckDB finds them by itself."""
    gaps, daily, money = re.findall(r"```sql\n(.*?)```", COVERAGE.read_text(), re.DOTALL)
    assert result("query", gaps) == []
    (day,) = result("query", daily)
    # The entry of the second run has the time of the first one's bookmark.
    assert (day["new_posts"], day["ok"], day["silent"], day["gap_seconds"]) == (2, 2, False, 0)
    (month,) = result("query", money)
    assert (month["runs"], month["networks"]) == (2, 0.0)
    assert 0 < month["aws"] < 0.1
    assert month["usd_per_1000_images"] == pytest.approx(1000 * month["aws"] / 2)
    rows = result(
        "query", "SELECT run_id, state, requested_start IS NULL AS is_first FROM coverage ORDER BY span_start"
    )
    assert [(row["run_id"], row["is_first"]) for row in rows] == [(run_ids[0], True), (run_ids[1], False)]
    for table in TABLES:
        found = {row["column_name"]: row["column_type"] for row in result("query", f"DESCRIBE {table.name}")}
        glue = RESOURCES[table.logical_id]["Properties"]["TableInput"]
        declared = glue["StorageDescriptor"]["Columns"] + glue["PartitionKeys"]
        assert found == {column["Name"]: duckdb_type(column["Type"]).upper() for column in declared}


def assert_athena_finds_the_rows(
    lake: LocalLake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The engine's Athena runs queries with DuckDB, over the table that the template declares."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", lake.client("s3").meta.endpoint_url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "local")
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    updates = {"ResultConfigurationUpdates": {"OutputLocation": f"s3://{lake.outputs['BucketName']}/athena/"}}
    # The engine knows no results that Athena manages.
    lake.client("athena").update_work_group(WorkGroup=lake.outputs["AthenaWorkGroupName"], ConfigurationUpdates=updates)
    sql = "SELECT status, count(*) AS rows FROM images GROUP BY status ORDER BY status"
    assert main(["query", sql, "--stack", "imagelake", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [{"status": "failed", "rows": "1"}, {"status": "ok", "rows": "2"}]
    assert main(["query", "SELECT nothing FROM images", "--stack", "imagelake"]) == 1
    assert capsys.readouterr().err.startswith("error: Athena: ")
