"""Clients of AWS, and the conversion of botocore's errors into ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, overload

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from imagelake.run.errors import ObjectMissingError, StorageDeniedError, StorageUnavailableError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_stepfunctions import SFNClient

Service = Literal["s3", "dynamodb", "stepfunctions", "secretsmanager"]
# Batches call S3 and DynamoDB from this many threads; a smaller pool would drop connections.
THREADS = 16
_CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": 5},
    max_pool_connections=THREADS,
    connect_timeout=5,
    read_timeout=60,
)

_MISSING = frozenset({"404", "NoSuchKey", "NoSuchVersion"})
# Codes that are retried like any 5xx: throttling and write conflicts.
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
@overload
def client(service: Literal["secretsmanager"]) -> SecretsManagerClient: ...
def client(service: Service) -> Any:
    """One thread-safe client per service and worker."""
    return _client(service)


# `client` is not cached itself, because its overloads would hide `cache_clear` from mypy.
@cache
def _client(service: Service) -> Any:
    return boto3.client(service, config=_CONFIG)


@contextmanager
def aws_errors(subject: str) -> Iterator[None]:
    """Convert botocore's errors into ours; ``subject`` names the object or table of the call."""
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        operation = error.operation_name
        if code in _MISSING:
            raise ObjectMissingError(f"{operation}: {subject} does not exist") from error
        if code in _TRANSIENT or error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500:
            raise StorageUnavailableError(f"{operation} on {subject}: {code}") from error
        raise StorageDeniedError(
            f"{operation} on {subject}: {code}: {error.response['Error'].get('Message', '')}"
        ) from error
    except (BotoCoreError, HTTPError) as error:
        raise StorageUnavailableError(f"{subject}: {type(error).__name__}: {error}") from error
