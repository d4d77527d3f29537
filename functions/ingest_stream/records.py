"""Records of the stream, as Lambda delivers them, and the posts in them.

These models take 1 ms of import time; the batch processor of Powertools takes 100 ms.
"""

from __future__ import annotations

import base64
import traceback
from typing import Any, NamedTuple

from pydantic import Field

from imagelake.run.errors import ImagelakeError
from imagelake.run.frozen_model import FrozenModel
from imagelake.run.masking import mask_users_in_bytes
from imagelake.run.observability import logger
from imagelake.sources.stream import decode, to_post
from imagelake.sources.wire import reason


class BrokenRecordError(ImagelakeError):
    """Our code broke on the first record of a batch; the message has the kind and the place of the error."""


class KinesisData(FrozenModel):
    """The producer's part of a record, and its place in the shard."""

    data: str
    sequence_number: str = Field(alias="sequenceNumber")
    partition_key: str = Field(alias="partitionKey")
    arrived_at: float = Field(alias="approximateArrivalTimestamp")


class Record(FrozenModel):
    """One record, with the parts of Lambda's envelope that we read."""

    kinesis: KinesisData
    event_id: str = Field(alias="eventID")
    stream_arn: str = Field(alias="eventSourceARN")


class KinesisEvent(FrozenModel):
    """The event of Ingest Stream: one or more records of one shard, in order."""

    records: list[Record] = Field(alias="Records", min_length=1)


class ReadRecord(NamedTuple):
    """A decoded record that holds a post, or a reject: the record as received, with the reason."""

    post: dict[str, Any] | None = None
    reject: dict[str, Any] | None = None


def read_records(records: list[Record]) -> list[ReadRecord]:
    """Read records up to the first one on which our code breaks; raise ``BrokenRecordError`` if that is the first."""
    read: list[ReadRecord] = []
    for record in records:
        try:
            read.append(_read(record))
        except Exception as error:
            # Lambda redelivers from this record on, so this record and the rest belong to the next window.
            # The message of such an error can have any part of the record.
            where = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
            broken = type(error).__name__
            logger.error(
                "record not read",
                extra={"sequence_number": record.kinesis.sequence_number, "error": broken, "where": where},
            )
            if not read:
                # An error makes Lambda halve the batch until the record is alone. A report of the record would bring
                # the same batch again.
                raise BrokenRecordError(f"{broken} at {where[-1]}") from error
            break
    return read


def _read(record: Record) -> ReadRecord:
    kinesis = record.kinesis
    data = mask_users_in_bytes(base64.b64decode(kinesis.data))
    try:
        decoded = decode(data)
        to_post(decoded)
    except ValueError as error:
        raw = {
            "sequence_number": kinesis.sequence_number,
            "partition_key": kinesis.partition_key,
            "arrived_at": kinesis.arrived_at,
            "data_base64": base64.b64encode(data).decode(),
        }
        return ReadRecord(reject={"kind": "record", "post_id": None, "reason": reason(error), "raw": raw})
    return ReadRecord(post=decoded)
