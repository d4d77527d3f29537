"""Environment variables of Record Failure."""

from __future__ import annotations

from imagelake.run.settings import ResourceName, Settings


class RecordFailureSettings(Settings):
    """Access to the lake."""

    bucket_name: ResourceName
