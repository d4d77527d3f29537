"""Environment variables of Plan Rebuild."""

from __future__ import annotations

from imagelake.run.settings import ResourceName, Settings


class PlanRebuildSettings(Settings):
    """Access to the lake."""

    bucket_name: ResourceName
