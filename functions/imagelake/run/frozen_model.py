"""Base class of all models that states exchange."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class FrozenModel(BaseModel):
    """A model that cannot change.

    It is built at import. ``defer_build`` saves 7 ms of import time, but threads that use a model for the first time
    at the same moment would build it at the same moment, and pydantic raises an error then.
    """

    model_config = ConfigDict(frozen=True)
