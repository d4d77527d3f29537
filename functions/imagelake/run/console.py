"""URLs of the AWS console, in the region and the partition of a resource."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self
from urllib.parse import quote

# Each partition has a console of its own: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html
DOMAINS = {
    "aws": "console.aws.amazon.com",
    "aws-cn": "console.amazonaws.cn",
    "aws-us-gov": "console.amazonaws-us-gov.com",
}


# AWS gives nobody this account; the engine on this machine has it.
_LOCAL_ACCOUNT = "000000000000"


def is_local(arn: str) -> bool:
    """Tell if a resource belongs to a lake on this machine."""
    return arn.split(":")[4:5] == [_LOCAL_ACCOUNT]


@dataclass(frozen=True)
class Console:
    """The console of one region; a lake on this machine has none, so the names stand for their URLs."""

    domain: str
    region: str
    is_local: bool = False

    @classmethod
    def of(cls, arn: str) -> Self:
        """Return the console of the region and the partition in ``arn``."""
        _, partition, _, region, *_ = arn.split(":")
        return cls(DOMAINS.get(partition, DOMAINS["aws"]), region, is_local(arn))

    def execution(self, arn: str) -> str:
        """URL of an execution."""
        if self.is_local:
            return arn
        return f"{self._home('states')}#/v2/executions/details/{quote(arn, safe=':')}"

    def alarm(self, name: str) -> str:
        """URL of an alarm."""
        return f"{self._home('cloudwatch')}#alarmsV2:alarm/{quote(name, safe='')}"

    def object(self, bucket: str, key: str) -> str:
        """URL of an object, where it can be opened and downloaded."""
        return self._s3("object", bucket, key)

    def folder(self, bucket: str, prefix: str) -> str:
        """URL of the list of all objects below ``prefix``."""
        return self._s3("buckets", bucket, prefix)

    def _home(self, service: str) -> str:
        return f"https://{self.region}.{self.domain}/{service}/home?region={self.region}"

    def _s3(self, kind: str, bucket: str, prefix: str) -> str:
        if self.is_local:
            return prefix
        return f"https://{self.region}.{self.domain}/s3/{kind}/{bucket}?region={self.region}&prefix={quote(prefix)}"
