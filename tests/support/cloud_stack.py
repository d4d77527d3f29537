"""A stack in a real AWS account, deployed from this checkout, and the sample feed in its bucket."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import boto3
from botocore.config import Config

from imagelake.lake.object_keys import staged_window

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "samples"
# Longer than a run takes, shorter than a session's credentials last.
LINK_SECONDS = 3600
RUN_SECONDS = 1800
# Error codes of the images that are rejected, by file; all others are ok.
REJECTED = {"truncated.jpg": "truncated", "page.jpg": "not_an_image", "bomb.png": "too_many_pixels"}


@dataclass(frozen=True)
class Cloud:
    """A deployed stack, its runs and its resources."""

    stack: str

    def client(self, service: str) -> Any:
        session: Any = boto3.Session()
        return session.client(service)

    @cached_property
    def _s3(self) -> S3Client:
        # Links of the older signature do not work in every region.
        return boto3.client("s3", config=Config(signature_version="s3v4"))

    @cached_property
    def outputs(self) -> dict[str, str]:
        found = boto3.client("cloudformation").describe_stacks(StackName=self.stack)["Stacks"][0]["Outputs"]
        return {output["OutputKey"]: output["OutputValue"] for output in found}

    def resource(self, logical_id: str) -> str:
        """The physical id of a resource."""
        answer = boto3.client("cloudformation").describe_stack_resource(
            StackName=self.stack, LogicalResourceId=logical_id
        )
        found: str = answer["StackResourceDetail"]["PhysicalResourceId"]
        return found

    def start(self, **options: Any) -> str:
        """Start a run; returns its ARN."""
        arn: str = self.client("stepfunctions").start_execution(
            stateMachineArn=self.outputs["StateMachineArn"],
            name=f"cloud-{uuid4().hex[:12]}",
            input=json.dumps(options),
        )["executionArn"]
        return arn

    def wait(self, arn: str) -> dict[str, Any]:
        """Wait until a run has ended; returns its description."""
        deadline = time.monotonic() + RUN_SECONDS
        while time.monotonic() < deadline:
            found: dict[str, Any] = self.client("stepfunctions").describe_execution(executionArn=arn)
            if found["status"] != "RUNNING":
                return found
            time.sleep(5)
        raise AssertionError(f"{arn} still runs after {RUN_SECONDS} s")

    def report(self, arn: str) -> dict[str, Any]:
        """The ``run.json`` of a run."""
        key = f"reports/{arn.rsplit(':', 1)[1]}/run.json"
        found: dict[str, Any] = json.loads(self._s3.get_object(Bucket=self.bucket, Key=key)["Body"].read())
        return found

    @property
    def bucket(self) -> str:
        return self.outputs["BucketName"]

    def stage_sample_feed(self) -> dict[str, str]:
        """Put the sample images and their posts into the bucket, as Ingest Stream does; returns the feed.

        The posts have signed URLs of the images, so nothing in the bucket becomes public. Their ids are new each time.
        """
        window = f"cloud-{uuid4().hex}"
        files = [*sorted((SAMPLES / "photos").iterdir()), *sorted((SAMPLES / "cases").iterdir())]
        # The first image comes twice: the same bytes at another URL.
        records = [self._record(window, index, file) for index, file in enumerate([*files, files[0]])]
        self._s3.put_object(Bucket=self.bucket, Key=staged_window(window), Body=json.dumps(records).encode())
        return {"source": "stream", "account": "cloud-test", "window": window}

    def _record(self, window: str, index: int, file: Path) -> dict[str, Any]:
        key = f"work/cloud-test/{window}/{index}-{file.name}"
        self._s3.put_object(Bucket=self.bucket, Key=key, Body=file.read_bytes())
        link = self._s3.generate_presigned_url(
            "get_object", Params={"Bucket": self.bucket, "Key": key}, ExpiresIn=LINK_SECONDS
        )
        media = {"media_id": f"{window}/{index}", "index": 0, "kind": "image", "url": link}
        post = {"post_id": str(index), "author_id": "samples", "posted_at": "2026-03-21T18:00:00Z", "media": [media]}
        return {"schema": "imagelake.post/1", "post": post}


def expected_totals() -> dict[str, int]:
    """The counts of a run over the staged feed."""
    images = len(list((SAMPLES / "photos").iterdir())) + len(list((SAMPLES / "cases").iterdir()))
    ok = images - len(REJECTED)
    return {
        "planned": images + 1,
        "shared": 0,
        "ok": ok,
        "duplicate": 1,
        "rejected": len(REJECTED),
        "failed": 0,
        "erased": 0,
    }


def deploy(stack: str) -> None:
    sam = Path(sys.executable).with_name("sam")
    overrides = ["ScheduleState=DISABLED"]
    if email := os.environ.get("IMAGELAKE_CLOUD_EMAIL"):
        overrides.append(f"NotificationEmail={email}")
    options = [
        "--resolve-s3",
        "--capabilities",
        "CAPABILITY_IAM",
        "--no-confirm-changeset",
        "--no-fail-on-empty-changeset",
    ]
    subprocess.run([str(sam), "build"], cwd=ROOT, check=True)
    command = [str(sam), "deploy", "--stack-name", stack, *options, "--parameter-overrides", *overrides]
    subprocess.run(command, cwd=ROOT, check=True)
