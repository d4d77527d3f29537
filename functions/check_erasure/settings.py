"""Environment variables of Check Erasure."""

from __future__ import annotations

from imagelake.run.settings import ResourceName, Settings


class CheckErasureSettings(Settings):
    """The bucket, and the key of the hashes in the suppression list."""

    bucket_name: ResourceName
    suppression_table: ResourceName
    suppression_key: ResourceName
