"""The request to rebuild rows from raw images, and what the states of a rebuild pass on."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, NonNegativeInt, ValidationError, model_validator

from imagelake.run.errors import BadInputError, ErrorCode
from imagelake.run.frozen_model import FrozenModel
from imagelake.run.image_option_models import ImageOptionChanges, refuse_impossible_sizes
from imagelake.run.models import Batch
from imagelake.run.sentences import faults
from imagelake.run.user_json import check_user_json

_MAX_NAMES = 50
_Name = Annotated[str, Field(min_length=1, max_length=1000)]
_Network = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]


def _check_day(text: str) -> str:
    try:
        is_day = date.fromisoformat(text).isoformat() == text
    except ValueError:
        is_day = False
    if not is_day:
        raise ValueError("it has to be a day such as 2026-11-01")
    return text


_Day = Annotated[str, Field(max_length=10), AfterValidator(_check_day)]


class RebuildRequest(ImageOptionChanges):
    """The input of a rebuild: which rows, and the image options that change; without any field, all rows.

    A row is rebuilt if it matches every field that is set; an empty list would match none. ``feeds`` are names as in
    the column ``feed``. With ``dry_run``, the rows are counted and the rebuild is priced.
    """

    model_config = ConfigDict(extra="forbid")

    networks: list[_Network] | None = Field(default=None, min_length=1, max_length=_MAX_NAMES)
    feeds: list[_Name] | None = Field(default=None, min_length=1, max_length=_MAX_NAMES)
    from_day: _Day | None = None
    to_day: _Day | None = None
    transform_version_below: int | None = Field(default=None, ge=1, strict=True)
    error_codes: list[ErrorCode] | None = Field(default=None, min_length=1, max_length=len(ErrorCode))
    dry_run: bool = Field(default=False, strict=True)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        refuse_impossible_sizes(self.min_image_size, self.max_image_area)
        if self.from_day and self.to_day and self.from_day > self.to_day:
            raise ValueError(f"from_day {self.from_day} is after to_day {self.to_day}")
        return self

    @classmethod
    def read(cls, value: Any) -> Self:
        """Check the input of an execution; raise ``BadInputError`` with one sentence for each wrong field."""
        try:
            check_user_json(value)
            return cls.model_validate(value)
        except ValidationError as error:
            problems = [f"{name}: {fault}" if name else fault for name, fault in faults(error, cls)]
            raise BadInputError(f"rebuild request: {'; '.join(problems)}") from None
        except ValueError as error:
            raise BadInputError(f"rebuild request: {error}") from None

    def has_file(self, batch: Batch) -> bool:
        """Tell if a file can have rows that match."""
        return (
            (not self.networks or batch.source in self.networks)
            and (self.from_day is None or self.from_day <= batch.dt)
            and (self.to_day is None or batch.dt <= self.to_day)
        )

    def has_row(self, row: dict[str, Any]) -> bool:
        """Tell if a row of such a file matches."""
        return (
            (not self.feeds or row["feed"] in self.feeds)
            and (self.transform_version_below is None or (row["transform_version"] or 0) < self.transform_version_below)
            and (not self.error_codes or row["error_code"] in self.error_codes)
        )


class RebuildPlan(FrozenModel):
    """The rows of a file to make again, without images; each has the image options to use."""

    batch: Batch
    rows: list[dict[str, Any]]


class Selected(FrozenModel):
    """The number of rows that a rebuild makes again in a file, and the bytes of their raw images."""

    rows: NonNegativeInt
    raw_bytes: NonNegativeInt


class RebuiltCounts(FrozenModel):
    """Counts of the selected rows of a file, by what became of them.

    ``unreadable`` rows stay as they are, because their raw images are missing, damaged or archived. ``kept`` rows stay
    because the new options reject an image to which duplicates refer. ``changed`` rows have another status than before.
    """

    ok: NonNegativeInt = 0
    duplicate: NonNegativeInt = 0
    rejected: NonNegativeInt = 0
    unreadable: NonNegativeInt = 0
    kept: NonNegativeInt = 0
    changed: NonNegativeInt = 0

    @property
    def made(self) -> int:
        """The number of new rows."""
        return self.ok + self.duplicate + self.rejected


UnpackStatus = Literal["planned", "nothing", "done"]
RebuildOutcome = Literal["ok", "partial", "failed"]
