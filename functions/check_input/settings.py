"""Environment variables of Check Input."""

from __future__ import annotations

from pydantic import Field, PositiveInt

from imagelake.run.models import MAX_BATCH_SIZE, MAX_POSTS_PER_FEED
from imagelake.run.settings import ResourceName, Settings


class CheckInputSettings(Settings):
    """Defaults of the execution input, the bus for events, and the bucket with the open batches."""

    bucket_name: ResourceName
    event_bus_name: ResourceName
    batch_size: PositiveInt = Field(le=MAX_BATCH_SIZE)
    posts_per_feed: PositiveInt = Field(le=MAX_POSTS_PER_FEED)
    failure_tolerance_percent: int = Field(ge=0, le=100)
