"""A window: the records of one shard that one call takes, and the names that follow from them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime

from ingest_stream.records import Record


@dataclass(frozen=True)
class Window:
    """Sequence numbers ``first`` to ``last`` of a shard; ``dt`` is the day on which the first arrived, in UTC."""

    stream_arn: str
    shard: str
    first: str
    last: str
    dt: str

    @classmethod
    def of(cls, records: list[Record]) -> Window:
        """Make the window of one or more records of a shard, in order."""
        first, last = records[0], records[-1]
        return cls(
            stream_arn=first.stream_arn,
            shard=first.event_id.partition(":")[0],
            first=first.kinesis.sequence_number,
            last=last.kinesis.sequence_number,
            dt=datetime.fromtimestamp(first.kinesis.arrived_at, UTC).date().isoformat(),
        )

    @property
    def name(self) -> str:
        """Name of the window's execution; the same records, delivered again, have the same name.

        It has a hash, because two sequence numbers are longer than the 80 characters of an execution's name.
        """
        text = "\n".join([self.stream_arn, self.shard, self.first, self.last])
        return f"stream-{self.dt}-{hashlib.sha256(text.encode()).hexdigest()[:24]}"

    @property
    def stream_name(self) -> str:
        return self.stream_arn.rpartition("/")[2]

    @property
    def rejects_key(self) -> str:
        return f"rejects/source=stream/dt={self.dt}/{self.name}.jsonl"
