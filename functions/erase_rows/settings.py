"""Environment variables of Erase Rows."""

from __future__ import annotations

from imagelake.run.settings import ResourceName, Settings


class EraseRowsSettings(Settings):
    """Access to the lake."""

    bucket_name: ResourceName
    image_keys_table: ResourceName
    suppression_table: ResourceName
    # The secret with the key of the hashes in that table.
    suppression_key: ResourceName
