"""Environment variables of Report."""

from __future__ import annotations

from pydantic import Field

from imagelake.run.settings import ResourceName, Settings


class ReportSettings(Settings):
    """Access to the lake and the suppression list, the bus for events, and what a notification needs."""

    bucket_name: ResourceName
    suppression_table: ResourceName
    # The secret with the key of the hashes in that table.
    suppression_key: ResourceName
    event_bus_name: ResourceName
    # A run fails if more of its feeds fail. With 99 at most, a run whose feeds all fail always fails.
    run_failure_tolerance_percent: int = Field(ge=0, le=99)
    # For the commands in a notification.
    stack_name: str = Field(min_length=1)
    # The runbook's URL, or its path in the repository.
    runbook: str
