"""Items of a batch that are on the suppression list: no download, no stored bytes, and an erased row in their place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from imagelake.lake.media_index import CLAIMED, MediaIndex, is_of
from imagelake.lake.parts import StagedRow
from imagelake.lake.rows import COLUMNS, TRANSFORM_VERSION, Status, new_row, tombstone
from imagelake.lake.suppression import SuppressionList
from imagelake.run.models import PlannedBatch
from transform.results import Result


class SuppressedItems:
    """The items of a plan that are on the list, by media id; those of other batches have their rows there."""

    def __init__(self, plan: PlannedBatch, listed: SuppressionList, media_index: MediaIndex) -> None:
        self._plan = plan
        self._listed = listed
        self.media_ids = {item.media_id for item in plan.items if listed.covers_item(item)}
        self._media_index = media_index

    def erase(self, results: list[Result]) -> list[Result]:
        """Take the bytes from results whose image is on the list."""
        return [
            Result(tombstone(result.row, with_ids=True), None)
            if self._listed.has_image(result.row["raw_sha256"])
            else result
            for result in results
        ]

    def is_living(self, row: StagedRow) -> bool:
        """Tell if a decided row is neither erased nor on the list."""
        return row["status"] != Status.ERASED and not self._listed.covers_item(row)

    def without_erased_originals(self, rows: list[StagedRow]) -> list[StagedRow]:
        """Take from near duplicates the names of originals that are on the list."""
        unmarked: Any = {"duplicate_of": None, "duplicate_distance": None, "duplicate_kind": None}
        return [row | unmarked if names_erased(row, self._listed) else row for row in rows]

    def with_erased(self, living: list[StagedRow], decided: Mapping[str, StagedRow]) -> list[StagedRow]:
        """Add the erased rows to the others, in the order of the plan."""
        rows = {row["media_id"]: row for row in living}
        rows |= {one: tombstone(row, with_ids=True) for one, row in decided.items() if one not in rows}
        rows |= self._listed_by_id()
        placed = dict(zip(self._plan.positions, (rows.get(item.media_id) for item in self._plan.items), strict=True))
        placed |= {position: self._nameless() for position in self._plan.erased}
        return [row for _, row in sorted(placed.items()) if row is not None]

    def _listed_by_id(self) -> dict[str, StagedRow]:
        """Make the erased rows of the items on the list; only those that this batch has claimed keep their ids."""
        batch, rows = self._plan.batch, {}
        # Read as late as possible, because an erasure can remove the claims meanwhile.
        entries = self._media_index.get_many(self.media_ids) if self.media_ids else {}
        for item in self._plan.items:
            if item.media_id not in self.media_ids:
                continue
            entry = entries.get(item.media_id)
            if entry is not None and entry["batch_id"] != batch.batch_id and entry["status"] != CLAIMED:
                continue  # the row is in the other batch
            row = new_row(item, run_id=self._plan.run_id, dt=batch.dt, image_options=self._plan.image_options_json)
            is_claimed = entry is not None and is_of(entry, batch)
            rows[item.media_id] = cast(StagedRow, tombstone(row, with_ids=is_claimed))
        return rows

    def _nameless(self) -> StagedRow:
        """Make the erased row of an item that the plan no longer has."""
        batch, row = self._plan.batch, dict.fromkeys((column.name for column in COLUMNS), None)
        kept = {
            "source": batch.source, "status": Status.ERASED, "run_id": self._plan.run_id, "dt": batch.dt,
            "transform_version": TRANSFORM_VERSION, "image_options": self._plan.image_options_json,
        }  # fmt: skip
        return cast(StagedRow, row | kept)


def names_erased(row: StagedRow, listed: SuppressionList) -> bool:
    """Tell if a row names an original that is on the list."""
    return row["duplicate_of"] is not None and listed.has_media(row["duplicate_of"])
