"""Environment variables of Rebuild Images."""

from __future__ import annotations

from imagelake.run.settings import ResourceName, Settings


class RebuildImagesSettings(Settings):
    """Access to the lake; no network is needed."""

    bucket_name: ResourceName
    image_keys_table: ResourceName
    image_hashes_table: ResourceName
