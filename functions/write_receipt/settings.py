"""Environment variables of Write Receipt."""

from __future__ import annotations

from pydantic import PositiveInt

from imagelake.run.settings import ResourceName, Settings


class WriteReceiptSettings(Settings):
    """Access to the lake and to the key of the hashes, and for how long copies remain."""

    bucket_name: ResourceName
    # The secret with the key of the hashes: a receipt has hashes instead of names.
    suppression_key: ResourceName
    point_in_time_recovery_days: PositiveInt
    log_retention_days: PositiveInt
    # A lake on one machine has none of AWS's copies.
    is_local: bool
