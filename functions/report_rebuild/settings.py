"""Environment variables of Report Rebuild."""

from __future__ import annotations

from imagelake.run.settings import ResourceName, Settings


class ReportRebuildSettings(Settings):
    """Access to the lake, and the place of the runbook for notifications."""

    bucket_name: ResourceName
    runbook: str
