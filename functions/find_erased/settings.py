"""Environment variables of Find Erased."""

from __future__ import annotations

from imagelake.run.settings import ResourceName, Settings


class FindErasedSettings(Settings):
    """Access to the lake, and the state machines whose executions store what they have read."""

    bucket_name: ResourceName
    image_keys_table: ResourceName
    image_hashes_table: ResourceName
    suppression_table: ResourceName
    suppression_key: ResourceName
    state_machine_arn: ResourceName
    rebuild_state_machine_arn: ResourceName
