"""Environment variables of Reconcile."""

from __future__ import annotations

from imagelake.run.settings import ResourceName, Settings


class ReconcileSettings(Settings):
    """Access to the lake."""

    bucket_name: ResourceName
    image_keys_table: ResourceName
