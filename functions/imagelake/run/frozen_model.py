"""Base class of all models that states exchange."""

from __future__ import annotations

import threading
from typing import Any

from pydantic import BaseModel, ConfigDict

_building = threading.RLock()


class FrozenModel(BaseModel):
    """A model that cannot change; pydantic builds its validator at the first use, so an import stays cheap."""

    # An error that nobody catches is logged, so it must not have the value.
    model_config = ConfigDict(frozen=True, defer_build=True, hide_input_in_errors=True)

    @classmethod
    def model_rebuild(cls, **options: Any) -> bool | None:
        """Build the model now; pydantic's own method fails if two threads use a model for the first time at once."""
        with _building:
            return super().model_rebuild(**options)
