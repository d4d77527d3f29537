"""Versioned events of a run on the stack's EventBridge bus, to which other programs can react.

``docs/events.md`` describes them for those who receive them. An event is published at least once. The run itself needs
no event: if the bus is down, the run logs a warning, counts the events in a metric and goes on.
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import TYPE_CHECKING, ClassVar, Literal

import boto3
from aws_lambda_powertools.metrics import MetricUnit
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import ConfigDict, Field, computed_field

from imagelake.run.frozen_model import FrozenModel
from imagelake.run.masking import mask
from imagelake.run.models import Day
from imagelake.run.observability import logger, metrics

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_events.type_defs import PutEventsRequestEntryTypeDef

SOURCE = "imagelake"
# https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html
_PUT_MANY = 10
# A run waits for the bus for at most two tries of three seconds each.
_CONFIG = Config(retries={"mode": "standard", "total_max_attempts": 2}, connect_timeout=1, read_timeout=2)


class Event(FrozenModel):
    """Fields of every event; ``event_id`` is the same if the same event is published again."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)
    detail_type: ClassVar[str]

    version: Literal["1"] = "1"
    run_id: str
    dt: Day

    @computed_field(description="The same if the event is published again, so act once per id")  # type: ignore[prop-decorator]
    @property
    def event_id(self) -> str:
        """The id; it follows from the event type and the identity of what the event is about."""
        return hashlib.sha256("\n".join([self.detail_type, *self._identity()]).encode()).hexdigest()[:32]

    def _identity(self) -> tuple[str, str]:
        return self.run_id, ""


class RunStarted(Event):
    """The input of a run is accepted; nothing has been fetched yet."""

    detail_type = "Run Started"

    execution_arn: str
    feeds: list[str] = Field(description="Names of the feeds, as in the column feed")


class RunFinished(Event):
    """A run has its report. A run that breaks earlier has only AWS's own event."""

    detail_type = "Run Finished"

    execution_arn: str
    outcome: Literal["ok", "partial", "failed"]
    totals: dict[str, int] = Field(
        description="Media items by status; planned is their sum, shared are items that another feed's batch claimed"
    )
    errors: dict[str, int] = Field(description="Media items without an image, by error code")
    bucket: str
    report_key: str = Field(description="Key of the report's page; run.json is beside it")


class FeedFailed(Event):
    """A feed of a run failed; the other feeds went on."""

    detail_type = "Feed Failed"

    feed_id: str
    feed: str
    error: str = Field(description="Name of the error; docs/runbook.md explains each")
    message: str

    def _identity(self) -> tuple[str, str]:
        return self.run_id, self.feed_id


class BatchWritten(Event):
    """Rows of a batch are in the dataset and in the media index; a batch without rows has no event."""

    detail_type = "Batch Written"

    feed_id: str
    source: str
    batch_id: str
    bucket: str
    key: str = Field(description="The Parquet file")
    rows: int = Field(description="Number of rows that were written, at least one")
    retried_by: str = Field(default="", description="Id of the run that retried failed items of the batch, or empty")

    def _identity(self) -> tuple[str, str]:
        # If a worker dies between the event and the end of its batch, another run publishes the same event.
        return self.batch_id, self.retried_by


EVENTS: tuple[type[Event], ...] = (RunStarted, RunFinished, FeedFailed, BatchWritten)


def publish(bus: str, *events: Event) -> None:
    """Put events on the bus named ``bus``. Never raises an error of AWS."""
    entries: list[PutEventsRequestEntryTypeDef] = [
        {
            "Source": SOURCE,
            "DetailType": event.detail_type,
            "Detail": mask(event.model_dump_json()),
            "EventBusName": bus,
        }
        for event in events
    ]
    unsent = sum(_put(entries[start : start + _PUT_MANY]) for start in range(0, len(entries), _PUT_MANY))
    if unsent:
        metrics.add_metric("EventsNotSent", MetricUnit.Count, unsent)


def _put(entries: list[PutEventsRequestEntryTypeDef]) -> int:
    """Put at most ten entries; return the number of entries that the bus did not take."""
    try:
        answer = _client().put_events(Entries=entries)
    except (BotoCoreError, ClientError) as error:
        logger.warning("events not sent", extra={"events": len(entries), "reason": str(error)})
        return len(entries)
    refused = [entry["ErrorCode"] for entry in answer["Entries"] if "ErrorCode" in entry]
    if refused:
        logger.warning("events not sent", extra={"events": len(refused), "reason": ", ".join(sorted(set(refused)))})
    return len(refused)


@cache
def _client() -> EventBridgeClient:
    return boto3.client("events", config=_CONFIG)
