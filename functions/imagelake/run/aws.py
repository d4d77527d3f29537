"""Clients of AWS, and the one place where botocore's errors become ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, overload

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from imagelake.run.errors import ObjectMissingError, StorageDeniedError, StorageUnavailableError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_stepfunctions import SFNClient

# Batches talk to S3 and DynamoDB from many threads; a pool smaller than that throws connections away.
THREADS = 16
_CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": 5},
    max_pool_connections=THREADS,
    connect_timeout=5,
    read_timeout=60,
)

_MISSING = frozenset({"404", "NoSuchKey"})
# Beside every 5xx: throttles, and what another's call is in the way of.
_TRANSIENT = frozenset(
    {
        "ProvisionedThroughputExceededException", "RequestLimitExceeded", "RequestTimeout", "ThrottledException",
        "Throttling", "ThrottlingException", "TooManyRequestsException", "TransactionConflictException",
        "TransactionInProgressException",
    }
)  # fmt: skip


@overload
def client(service: Literal["s3"]) -> S3Client: ...
@overload
def client(service: Literal["dynamodb"]) -> DynamoDBClient: ...
@overload
def client(service: Literal["stepfunctions"]) -> SFNClient: ...
def client(service: Literal["s3", "dynamodb", "stepfunctions"]) -> Any:
    """One thread-safe client per service and worker."""
    return _client(service)


# `client` is not cached itself, because its overloads would hide `cache_clear` from mypy.
@cache
def _client(service: Literal["s3", "dynamodb", "stepfunctions"]) -> Any:
    return boto3.client(service, config=_CONFIG)


@contextmanager
def aws_errors(what: str) -> Iterator[None]:
    """Raise botocore's errors as ours; ``what`` is the object or table the call was about."""
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        operation = error.operation_name
        if code in _MISSING:
            raise ObjectMissingError(f"{operation}: {what} does not exist") from error
        if code in _TRANSIENT or error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500:
            raise StorageUnavailableError(f"{operation} on {what}: {code}") from error
        raise StorageDeniedError(
            f"{operation} on {what}: {code}: {error.response['Error'].get('Message', '')}"
        ) from error
    except BotoCoreError as error:
        raise StorageUnavailableError(f"{what}: {type(error).__name__}: {error}") from error
