"""The day that is erased, and what all its places need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from erase_pages.request_names import RequestNames
from imagelake.lake.bucket import Bucket
from imagelake.lake.erased_objects import ErasedObjects
from imagelake.lake.suppression import SuppressionList
from imagelake.sources import Source


@dataclass(frozen=True)
class Day:
    """One day of one network; ``suppress`` puts a name on the suppression list, ``own_feeds`` has the feeds on it."""

    source: Source
    dt: str
    bucket: Bucket
    objects: ErasedObjects
    listed: SuppressionList
    names: RequestNames
    suppress: Callable[..., object]
    own_feeds: set[str] = field(default_factory=set)
