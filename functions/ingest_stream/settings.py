"""Environment variables of Ingest Stream."""

from __future__ import annotations

from imagelake.run.settings import ResourceName, Settings


class IngestStreamSettings(Settings):
    """Access to the lake, and the state machine that reads a staged window."""

    bucket_name: ResourceName
    suppression_table: ResourceName
    # The secret with the key of the hashes in that table.
    suppression_key: ResourceName
    state_machine_arn: ResourceName
