"""Environment variables of Unpack."""

from __future__ import annotations

from imagelake.run.settings import ResourceName, Settings


class UnpackSettings(Settings):
    """Access to the lake."""

    bucket_name: ResourceName
    suppression_table: ResourceName
    # The secret with the key of the hashes in that table.
    suppression_key: ResourceName
