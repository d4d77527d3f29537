"""Environment variables of Erase Images."""

from __future__ import annotations

from imagelake.run.settings import ResourceName, Settings


class EraseImagesSettings(Settings):
    """Access to the lake, the media index and the hash log."""

    bucket_name: ResourceName
    image_keys_table: ResourceName
    image_hashes_table: ResourceName
