"""Environment variables of Erase Images."""

from __future__ import annotations

from imagelake.run.settings import ResourceName, Settings


class EraseImagesSettings(Settings):
    """Access to the lake, the media index, the hash log, the bookmarks and the suppression list."""

    bucket_name: ResourceName
    image_keys_table: ResourceName
    image_hashes_table: ResourceName
    bookmarks_table: ResourceName
    suppression_table: ResourceName
    # The secret with the key of the hashes in that table.
    suppression_key: ResourceName
