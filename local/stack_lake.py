"""A lake in an AWS account: a deployed stack, with the credentials and the region of the environment."""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from datetime import datetime
from functools import cache, cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import boto3

from local.errors import CommandError
from local.lake import Lake, Rows

_POLL_SECONDS = 0.5
_BUDGETS = ("budget_usd_per_day", "budget_usd_per_month")
# The template may name a workgroup of its own; otherwise Athena uses that of the account.
_WORKGROUP_OUTPUT, _DEFAULT_WORKGROUP = "AthenaWorkGroupName", "primary"


class StackLake(Lake):
    """The stack called ``name``."""

    after_interrupt = "The run goes on in the stack; ./imagelake status shows its result."
    without_stack = "there is no such stack"
    runs_on = True

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(f"the stack {name}", folder, name)
        self._clients = cache(boto3.Session().client)

    @property
    def options(self) -> str:
        """The options of the command line that lead to this lake."""
        return f"--stack {self.stack_name}"

    def client(self, service: str) -> Any:
        """Return the boto3 client of a service."""
        return self._clients(service)

    def prepare(self, feeds: list[Any], *, remember: bool = True) -> list[Any]:
        """Change nothing in the stack, which has feeds of its own; the budgets of these hold for ``feeds`` too."""
        return [self._with_budgets(feed) for feed in feeds]

    def _with_budgets(self, feed: Any) -> Any:
        """Add the budgets that the stack's list has for the same account or hashtag, unless the feed names its own."""
        from imagelake.sources import get_source, parse_feed

        parsed = parse_feed(feed)
        # Only a network with a price needs the list, which takes one more right to read.
        if get_source(parsed.source).manifest.post_usd is None:
            return feed
        budgets: dict[str, float] = {}
        for listed in self._listed:
            if listed.identity == parsed.identity:
                budgets |= {name: value for name in _BUDGETS if (value := getattr(listed, name)) is not None}
        return budgets | parsed.model_dump(exclude_none=True) if budgets else feed

    @cached_property
    def _listed(self) -> list[Any]:
        """The feeds of the stack, without those that nobody can read."""
        from imagelake.run.errors import BadFeedError
        from imagelake.run.user_json import read_user_json
        from imagelake.sources import parse_feed

        ssm = self.client("ssm")
        content = read_user_json(ssm.get_parameter(Name=self.outputs["FeedsParameterName"])["Parameter"]["Value"])
        found = []
        for feed in chain.from_iterable(content.values()) if isinstance(content, dict) else content:
            with suppress(BadFeedError):
                found.append(parse_feed(feed))
        return found

    def save(self, run_id: str, started_at: datetime) -> dict[str, Any]:
        """Copy nothing: the results stay in the bucket."""
        return {
            "Report": f"s3://{self.outputs['BucketName']}/reports/{run_id}/index.html",
            "Dataset": self.outputs["DatasetUri"],
            "Logs": f"./imagelake logs {run_id} {self.options}",
        }

    def save_receipt(self, key: str) -> dict[str, Any]:
        """Copy nothing: the receipt stays in the bucket."""
        bucket = self.outputs["BucketName"]
        return {"Receipt": f"s3://{bucket}/{key}", "Page": f"s3://{bucket}/{key.removesuffix('json')}html"}

    def drop_copies(self) -> None:
        """Delete the copies of reports."""
        shutil.rmtree(self.folder / "reports", ignore_errors=True)

    def query(self, sql: str) -> Rows:
        """Run a query with Athena."""
        athena = self.client("athena")
        query_id = athena.start_query_execution(
            QueryString=sql,
            QueryExecutionContext={"Database": self.outputs["GlueDatabaseName"]},
            WorkGroup=self.outputs.get(_WORKGROUP_OUTPUT, _DEFAULT_WORKGROUP),
        )["QueryExecutionId"]
        while True:
            status = athena.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]["Status"]
            if status["State"] not in ("QUEUED", "RUNNING"):
                break
            time.sleep(_POLL_SECONDS)
        if status["State"] != "SUCCEEDED":
            raise CommandError(f"Athena: {status.get('StateChangeReason', status['State'])}")
        return _read(athena, query_id)


def _read(athena: Any, query_id: str) -> Rows:
    columns: list[str] = []
    rows: list[tuple[Any, ...]] = []
    for page in athena.get_paginator("get_query_results").paginate(QueryExecutionId=query_id):
        columns = [column["Name"] for column in page["ResultSet"]["ResultSetMetadata"]["ColumnInfo"]]
        rows += (tuple(cell.get("VarCharValue") for cell in row["Data"]) for row in page["ResultSet"]["Rows"])
    # The first row of the result of a SELECT has the names of the columns.
    return Rows(columns, rows[1:] if rows and list(rows[0]) == columns else rows)
