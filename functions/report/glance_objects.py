"""The two objects of the lake at a glance: a small JSON with all its figures, and the page that is made from it."""

from __future__ import annotations

from collections.abc import Callable

from imagelake.lake.bucket import Bucket, Version
from imagelake.lake.object_keys import GLANCE, GLANCE_PAGE
from imagelake.run.errors import ObjectMissingError, StorageUnavailableError
from imagelake.run.observability import logger
from imagelake.run.retries import attempts
from report.contact_sheet import ShownImage
from report.glance import Glance, with_run
from report.glance_images import thumbnails
from report.glance_page import render_glance
from report.run_coverage import Coverage
from report.summary import Summary

_TRIES = 10
_MAX_PAUSE = 0.5
_JSON = "application/json"


def update_glance(summary: Summary, coverage: Coverage, images: list[ShownImage], bucket: Bucket) -> None:
    """Count a run, and write the page again; a run whose report is repeated is counted once."""
    image_bytes = sum(feed.image_bytes for feed in summary.feeds)
    small = thumbnails(images)
    _count(bucket, lambda before: with_run(before, coverage.run_row, coverage.rows, image_bytes, small))
    _write_page(bucket)


def _count(bucket: Bucket, change: Callable[[Glance], Glance]) -> None:
    for _ in attempts(_TRIES, max_pause=_MAX_PAUSE):
        before, version = _read(bucket)
        after = change(before)
        body = after.model_dump_json(exclude_defaults=True).encode()
        if after == before or bucket.put_if_unchanged(GLANCE, body, _JSON, version):
            return
    raise _conflict(GLANCE)


def _write_page(bucket: Bucket) -> None:
    """Write the page until its figures are still the newest ones after it is written.

    So of two runs that write it at once, the later one, or an erasure, always ends up in it.
    """
    for _ in attempts(_TRIES, max_pause=_MAX_PAUSE):
        glance, made_from = _read(bucket)
        bucket.put(GLANCE_PAGE, render_glance(glance).encode(), "text/html; charset=utf-8")
        now = bucket.version(GLANCE)
        if (now and now.etag) == (made_from and made_from.etag):
            return
    raise _conflict(GLANCE_PAGE)


def _read(bucket: Bucket) -> tuple[Glance, Version | None]:
    try:
        body, version = bucket.get_with_version(GLANCE)
    except ObjectMissingError:
        return Glance(), None
    try:
        return Glance.model_validate_json(body), version
    except ValueError as error:
        # It can only be made anew, and no report waits for a person because of it.
        logger.warning("the lake at a glance starts anew", extra={"key": GLANCE, "error": str(error)[:500]})
        return Glance(), version


def _conflict(key: str) -> StorageUnavailableError:
    return StorageUnavailableError(f"{key}: {_TRIES} times another run was first")
