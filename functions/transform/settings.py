"""Environment variables of Transform."""

from __future__ import annotations

from imagelake.run.settings import ResourceName, Settings, TrustedOrigins


class TransformSettings(Settings):
    """Access to the lake, to image servers, and to the networks that give new URLs for expired ones."""

    bucket_name: ResourceName
    image_keys_table: ResourceName
    image_hashes_table: ResourceName
    suppression_table: ResourceName
    # The secret with the key of the hashes in that table.
    suppression_key: ResourceName
    trusted_origins: TrustedOrigins
    # Email or URL in the User-Agent, so that a server can reach the person who runs this.
    contact: str
    # The credentials of a network are the secret named by this prefix and the network's name.
    secrets_prefix: str
