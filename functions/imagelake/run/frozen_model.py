"""The base class of all models that states exchange."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class FrozenModel(BaseModel):
    """A model that cannot change; pydantic builds its validator at the first use, so an import stays cheap."""

    model_config = ConfigDict(frozen=True, defer_build=True)
