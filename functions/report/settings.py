"""Environment variables of Report."""

from __future__ import annotations

from imagelake.run.settings import ResourceName, Settings


class ReportSettings(Settings):
    """Access to the lake, and the bus for events."""

    bucket_name: ResourceName
    event_bus_name: ResourceName
