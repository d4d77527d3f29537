"""The rows that raw images give now, made by the code of Transform, part by part."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from itertools import groupby
from typing import Any, cast

from botocore.exceptions import ClientError

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.parts import Parts, StagedRow
from imagelake.lake.rows import Row, Status
from imagelake.run.errors import (
    DownloadError,
    ErrorCode,
    ObjectMissingError,
    StorageDeniedError,
    StorageUnavailableError,
)
from imagelake.run.image_option_models import ImageOptions
from imagelake.run.models import PlannedBatch
from imagelake.run.posts import Item
from imagelake.run.rebuild_models import RebuildPlan
from imagelake.run.retries import attempts
from transform.attempts import Attempts
from transform.results import ITEMS_PER_PART, Result, make_results

_TRIES = 10
# Parts of Transform that are one part here: a dead worker loses no downloads, and every part costs a PUT. Images of
# their full size stay apart, because all images of a part are in memory at once.
_TOGETHER = 4
# What a row keeps besides its post.
_KEPT = ("run_id", "dt")


class RawImages:
    """Makes the rows of a plan again. ``unreadable`` are items whose raw images are missing, damaged or archived."""

    def __init__(self, bucket: Bucket, plan: RebuildPlan) -> None:
        self._bucket = bucket
        self._plan = plan
        self._parts = Parts(bucket, plan.batch)
        self._old = {row["media_id"]: row for row in plan.rows}
        self.unreadable: set[str] = set()

    def make_rows(self, attempt: Attempts, seconds_left: Callable[[], float]) -> dict[str, StagedRow]:
        """Return the rows by media id, without those that there was no time for; earlier tries have made some."""
        rows: dict[str, StagedRow] = {}
        for number in self._parts.numbers():
            rows |= self._parts.read(number).rows
        first = 0
        for planned in self._planned():
            media_ids = {item.media_id for item in planned.items} - rows.keys()
            together = 1 if planned.resize_mode == "no" else _TOGETHER
            with closing(self._results(planned, media_ids, attempt, seconds_left)) as results:
                for number, part in _joined(results, together):
                    rows |= self._keep(first + number, part)
            first += -(-len(planned.items) // (ITEMS_PER_PART * together))
        return rows

    def _planned(self) -> Iterator[PlannedBatch]:
        """Group the rows by their options, as Transform plans them."""
        groups: dict[str, list[Item]] = {}
        for row in self._plan.rows:
            fields = {name: row[name] for name in Item.model_fields if name != "expires_at"}
            groups.setdefault(row["image_options"], []).append(Item(**fields, expires_at=None))
        for options, items in groups.items():
            values = ImageOptions.model_validate_json(options).image_options
            yield PlannedBatch(batch=self._plan.batch, run_id="", items=items, **values)

    def _results(
        self, planned: PlannedBatch, media_ids: set[str], attempt: Attempts, seconds_left: Callable[[], float]
    ) -> Any:
        if attempt.is_careful:
            # Imported only here, because it is needed so rarely.
            from transform.careful import make_results_carefully

            return make_results_carefully(planned, media_ids, self._read, seconds_left, attempt)
        return make_results(planned, media_ids, self._read, seconds_left)

    def _read(self, item: Item) -> bytes:
        """Read the raw image of an item and check that it is as it was downloaded."""
        sha256 = self._old[item.media_id]["raw_sha256"]
        try:
            body = self._bucket.get(object_keys.raw_image(sha256))
        except ObjectMissingError as error:
            raise DownloadError(ErrorCode.NOT_FOUND, str(error)) from error
        except StorageDeniedError as error:
            if not _is_archived(error):
                raise
            raise DownloadError(ErrorCode.NOT_FOUND, str(error)) from error
        if hashlib.sha256(body).hexdigest() != sha256:
            raise DownloadError(ErrorCode.NOT_FOUND, f"{object_keys.raw_image(sha256)} is damaged")
        return body

    def _keep(self, number: int, results: list[Result]) -> Mapping[str, StagedRow]:
        """Store the rows of a part; of several workers, each makes the same rows."""
        self.unreadable |= {one.row["media_id"] for one in results if one.row["status"] == Status.FAILED}
        new = [self._as_it_was(one.row) for one in results if one.row["status"] != Status.FAILED]
        for _ in attempts(_TRIES):
            part = self._parts.read(number)
            rows = self._parts.write(number, part, new)
            if rows is not None:
                return rows
        raise StorageUnavailableError(f"part {number}: {_TRIES} times another worker was first")

    def _as_it_was(self, row: Row) -> Row:
        old = self._old[row["media_id"]]
        return cast(Row, row | {name: old[name] for name in _KEPT})


def _is_archived(error: StorageDeniedError) -> bool:
    """Tell if a rule of the user has moved an object to Glacier, where it has to be restored before it is read.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html has the code.
    """
    cause = error.__cause__
    return isinstance(cause, ClientError) and cause.response["Error"]["Code"] == "InvalidObjectState"


def _joined(results: Iterable[tuple[int, list[Result]]], together: int) -> Iterator[tuple[int, list[Result]]]:
    """Join so many parts of Transform to one, without the raw images, which are the largest."""
    for number, parts in groupby(results, key=lambda result: result[0] // together):
        yield number, [one._replace(raw=None) for _, part in parts for one in part]
