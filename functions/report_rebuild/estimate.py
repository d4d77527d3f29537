"""The price and the time of a rebuild, by arithmetic; docs/costs.md has the prices."""

from __future__ import annotations

from pydantic import NonNegativeFloat

from imagelake.run.frozen_model import FrozenModel
from imagelake.run.rebuild_models import Selected

# List prices of us-east-1 in 2026, USD.
_GET, _GET_GLACIER, _PUT, _RETRIEVED_GB = 0.4e-6, 10e-6, 5e-6, 0.03
_GB_SECOND, _TRANSITION, _READ_UNIT = 0.0000166667, 25e-6, 0.125e-6
# The functions of one file without the images: Unpack and Write Parquet, with their starts.
_FILE_GB_SECONDS, _FILE_TRANSITIONS, _FILE_PUTS, _FILE_GETS = 5.2, 5, 9, 14
# Rebuild Images has two processors and 3.5 GB, and writes one part for 100 images.
_IMAGES_PER_SECOND, _IMAGE_GB, _IMAGES_PER_PART = 150, 3.46, 100
_WORKERS, _SECONDS_PER_FILE, _START_SECONDS = 20, 4, 20


class Estimate(FrozenModel):
    """The price with raw images in S3 Standard and in Glacier Instant Retrieval, and the time."""

    usd: NonNegativeFloat
    usd_glacier: NonNegativeFloat
    minutes: NonNegativeFloat


def estimate(selected: Selected, files: int) -> Estimate:
    """Estimate a rebuild of the selected rows in so many files."""
    images = selected.rows
    parts = images / _IMAGES_PER_PART
    usd = images * (_IMAGE_GB / _IMAGES_PER_SECOND * _GB_SECOND + _READ_UNIT / 2) + parts * (_PUT + 2 * _GET)
    usd += files * (
        _FILE_GB_SECONDS * _GB_SECOND + _FILE_TRANSITIONS * _TRANSITION + _FILE_PUTS * _PUT + _FILE_GETS * _GET
    )
    glacier = images * _GET_GLACIER + selected.raw_bytes / 1e9 * _RETRIEVED_GB
    seconds = _START_SECONDS + (images / _IMAGES_PER_SECOND + files * _SECONDS_PER_FILE) / _WORKERS
    return Estimate(
        usd=round(usd + images * _GET, 4), usd_glacier=round(usd + glacier, 4), minutes=round(seconds / 60, 1)
    )
