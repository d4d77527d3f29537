"""Upload the built stack to a bucket and print the URL of its template; ``make package BUCKET=...`` runs it."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError

_FOLDER = "imagelake"
_STDERR = 2


def package(template: Path, bucket: str) -> str:
    """Upload code and layer, then the template that refers to them; return the template's URL."""
    s3 = boto3.client("s3")
    region = s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] or "us-east-1"
    with tempfile.TemporaryDirectory() as folder:
        packaged = Path(folder) / "template.yaml"
        # Uploads have the checksum of their content as name, so the same build is uploaded once.
        sam = [str(Path(sys.executable).with_name("sam")), "package", "--no-progressbar", "--region", region]
        sam += ["--template-file", str(template), "--output-template-file", str(packaged)]
        # Only the URL goes to the standard output.
        subprocess.run([*sam, "--s3-bucket", bucket, "--s3-prefix", _FOLDER], check=True, stdout=_STDERR)
        body = packaged.read_bytes()
    key = f"{_FOLDER}/template-{hashlib.sha256(body).hexdigest()[:16]}.yaml"
    s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType="application/yaml")
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"https://{bucket}.s3.{region}.{suffix}/{key}"


def main(arguments: Sequence[str]) -> int:
    """Package the template of the first argument into the bucket of the second one."""
    template, bucket = arguments
    if not bucket:
        print(
            "error: name a bucket of yours in the region of the stack: make package BUCKET=my-bucket", file=sys.stderr
        )
        return 1
    try:
        print(package(Path(template), bucket))
    except (BotoCoreError, ClientError) as error:
        print(f"error: {bucket}: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        return error.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
