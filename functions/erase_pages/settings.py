"""Environment variables of Erase Pages."""

from __future__ import annotations

from imagelake.run.settings import ResourceName, Settings


class ErasePagesSettings(Settings):
    """Access to the lake and to the suppression list."""

    bucket_name: ResourceName
    suppression_table: ResourceName
    # The secret with the key of the hashes in that table.
    suppression_key: ResourceName
