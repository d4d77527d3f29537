"""Environment variables of Map Keys."""

from __future__ import annotations

from imagelake.run.settings import ResourceName, Settings


class MapKeysSettings(Settings):
    """Access to the lake, and the bus for events."""

    bucket_name: ResourceName
    image_keys_table: ResourceName
    event_bus_name: ResourceName
