"""A window: the records of one shard that one call of the consumer took, and the names that follow from them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime

from aws_lambda_powertools.utilities.data_classes.kinesis_stream_event import KinesisStreamRecord


@dataclass(frozen=True)
class Window:
    """Sequence numbers ``first`` to ``last`` of a shard; ``dt`` is the day on which the first arrived, in UTC."""

    stream_arn: str
    shard: str
    first: str
    last: str
    dt: str

    @classmethod
    def of(cls, records: list[KinesisStreamRecord]) -> Window:
        """The window of one or more records, which come in the order of their shard."""
        first, last = records[0], records[-1]
        arrived_at = datetime.fromtimestamp(first.kinesis.approximate_arrival_timestamp, UTC)
        return cls(
            stream_arn=first.event_source_arn,
            shard=first.event_id.partition(":")[0],
            first=first.kinesis.sequence_number,
            last=last.kinesis.sequence_number,
            dt=arrived_at.date().isoformat(),
        )

    @property
    def name(self) -> str:
        """The name of its execution: the same records, delivered again, have the same.

        Two sequence numbers are longer together than the 80 characters a name may have.
        """
        text = "\n".join([self.stream_arn, self.shard, self.first, self.last])
        return f"stream-{self.dt}-{hashlib.sha256(text.encode()).hexdigest()[:24]}"

    @property
    def stream_name(self) -> str:
        return self.stream_arn.rpartition("/")[2]

    @property
    def rejects_key(self) -> str:
        return f"rejects/source=stream/dt={self.dt}/{self.name}.jsonl"
