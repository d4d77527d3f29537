"""Environment variables of Fetch."""

from __future__ import annotations

from imagelake.run.settings import ResourceName, Settings, TrustedOrigins


class FetchSettings(Settings):
    """Access to the lake and to the networks."""

    bucket_name: ResourceName
    bookmarks_table: ResourceName
    suppression_table: ResourceName
    # The secret with the key of the hashes in that table.
    suppression_key: ResourceName
    trusted_origins: TrustedOrigins
    # Email or URL in the User-Agent, so that a network can reach the person who runs this.
    contact: str
    # The credentials of a network are the secret named by this prefix and the network's name.
    secrets_prefix: str
