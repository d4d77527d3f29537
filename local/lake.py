"""The lake that a command works on: one on this machine, or a deployed stack; both have the same APIs of AWS."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from botocore.exceptions import ClientError

from local.copies import copy_objects
from local.errors import CommandError


class Rows(NamedTuple):
    """The result of a query."""

    columns: list[str]
    rows: list[tuple[Any, ...]]


class Lake:
    """A deployed stack. ``title`` names it for people; ``folder`` is for files that a command copies from it.

    ``after_interrupt`` says what Ctrl-C has done to a run, and ``without_stack`` that there is no stack. If
    ``runs_on``, executions go on when a command ends.
    """

    after_interrupt: str
    without_stack: str
    runs_on: bool

    def __init__(self, title: str, folder: Path, stack_name: str) -> None:
        self.title = title
        self.folder = folder
        self.stack_name = stack_name

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def client(self, service: str) -> Any:
        """Return the boto3 client of a service."""
        raise NotImplementedError

    def prepare(self, feeds: list[Any], *, remember: bool = True) -> list[Any]:
        """Get ready for a run over ``feeds``, and return the feeds for its execution input.

        Runs without a feed take those of the last preparation that was to ``remember`` them.
        """
        raise NotImplementedError

    def serve_feeds(self, feeds: list[Any]) -> None:
        """Serve those of a run's feeds that come from this machine; without ``feeds``, a run reads the stack's."""

    def query(self, sql: str) -> Rows:
        """Run a SQL query over the tables of the lake."""
        raise NotImplementedError

    def save(self, run_id: str, started_at: datetime) -> dict[str, Any]:
        """Copy the results of a run to where a user can reach them; return the place of each by its title."""
        raise NotImplementedError

    def save_receipt(self, key: str) -> dict[str, Any]:
        """Copy a receipt to where a user can reach it; return the places by title."""
        raise NotImplementedError

    def drop_copies(self) -> None:
        """Delete copies on this machine that an erasure would not reach."""

    @property
    def options(self) -> str:
        """The options of the command line that lead to this lake."""
        raise NotImplementedError

    def resources(self, kind: str) -> list[str]:
        """List the physical names of the stack's resources of a type, such as ``AWS::Logs::LogGroup``."""
        # A stack that does not exist is named once, in ``outputs``.
        assert self.outputs
        pages = self.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=self.stack_name)
        resources = (resource for page in pages for resource in page["StackResourceSummaries"])
        return [one["PhysicalResourceId"] for one in resources if one["ResourceType"] == kind]

    @cached_property
    def outputs(self) -> dict[str, str]:
        """The outputs of the stack."""
        try:
            (stack,) = self.client("cloudformation").describe_stacks(StackName=self.stack_name)["Stacks"]
        except ClientError as error:
            if "does not exist" in error.response["Error"]["Message"]:
                raise CommandError(f"{self.title}: {self.without_stack}") from None
            raise
        outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
        if not outputs.keys() >= {"StateMachineArn", "BucketName"}:
            raise CommandError(f"{self.title}: it is no stack of Imagelake")
        return outputs

    def objects(self, prefix: str) -> Iterator[dict[str, Any]]:
        """List the objects below a prefix of the bucket."""
        pages = self.client("s3").get_paginator("list_objects_v2")
        listed = pages.paginate(Bucket=self.outputs["BucketName"], Prefix=prefix)
        return (entry for page in listed for entry in page.get("Contents", []))

    def read(self, key: str) -> bytes | None:
        """Read an object; ``None`` if there is none."""
        s3 = self.client("s3")
        try:
            body: bytes = s3.get_object(Bucket=self.outputs["BucketName"], Key=key)["Body"].read()
        except s3.exceptions.NoSuchKey:
            return None
        return body

    def copy(self, prefix: str) -> None:
        """Copy the objects below a prefix of the bucket to ``folder``."""
        copy_objects(self.client("s3"), self.outputs["BucketName"], prefix, self.folder)
