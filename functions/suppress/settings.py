"""Environment variables of Suppress."""

from __future__ import annotations

from imagelake.run.settings import ResourceName, Settings


class SuppressSettings(Settings):
    """The bucket, and the suppression list with the key of its hashes."""

    bucket_name: ResourceName
    suppression_table: ResourceName
    suppression_key: ResourceName
