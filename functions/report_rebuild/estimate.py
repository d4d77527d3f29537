"""The price and the time of a rebuild, by arithmetic; docs/costs.md has the prices."""

from __future__ import annotations

from pydantic import NonNegativeFloat

from imagelake.run import prices
from imagelake.run.frozen_model import FrozenModel
from imagelake.run.rebuild_models import Selected

# USD in Glacier Instant Retrieval: a GET, and a GB that is read.
_GET_GLACIER, _RETRIEVED_GB = 10e-6, 0.03
# The functions of one file without the images: Unpack and Write Parquet, with their starts.
_FILE_GB_SECONDS, _FILE_TRANSITIONS, _FILE_PUTS, _FILE_GETS = 5.2, 5, 10, 14
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
    usd = images * (_IMAGE_GB / _IMAGES_PER_SECOND * prices.LAMBDA_GB_SECOND + prices.DYNAMO_READ / 2) + parts * (
        prices.S3_PUT + 2 * prices.S3_GET
    )
    usd += files * (
        _FILE_GB_SECONDS * prices.LAMBDA_GB_SECOND
        + _FILE_TRANSITIONS * prices.TRANSITION
        + _FILE_PUTS * prices.S3_PUT
        + _FILE_GETS * prices.S3_GET
    )
    glacier = images * _GET_GLACIER + selected.raw_bytes / 1e9 * _RETRIEVED_GB
    seconds = _START_SECONDS + (images / _IMAGES_PER_SECOND + files * _SECONDS_PER_FILE) / _WORKERS
    return Estimate(
        usd=round(usd + images * prices.S3_GET, 4), usd_glacier=round(usd + glacier, 4), minutes=round(seconds / 60, 1)
    )
