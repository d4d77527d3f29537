"""The event of Relay Alert: the parts of SNS's messages that we read."""

from __future__ import annotations

from pydantic import Field

from imagelake.run.frozen_model import FrozenModel


class Notification(FrozenModel):
    """One message that the topic published; a message of an EventBridge rule has no subject."""

    message: str = Field(alias="Message")
    published_at: str = Field(alias="Timestamp")
    subject: str | None = Field(default=None, alias="Subject")


class Delivery(FrozenModel):
    """One record of the event."""

    notification: Notification = Field(alias="Sns")


class SnsEvent(FrozenModel):
    """SNS delivers one record at a time, in a list."""

    records: list[Delivery] = Field(alias="Records")
