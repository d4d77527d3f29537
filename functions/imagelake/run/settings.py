"""The environment of a function as a typed model."""

from __future__ import annotations

import os
from functools import lru_cache

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, field_validator

from imagelake.run.errors import BadInputError


class Settings(BaseModel):
    """What ``template.yaml`` sets; each field is the environment variable of the same name in upper case."""

    model_config = ConfigDict(frozen=True)

    bucket_name: str = Field(min_length=3)
    image_keys_table: str = Field(min_length=3)
    image_hashes_table: str = Field(min_length=3)
    bookmarks_table: str = Field(min_length=3)
    # Origins exempt from the address, port and host checks: a mirror of one's own, a local sample feed.
    trusted_origins: frozenset[str] = frozenset()
    # Told to the networks in the User-Agent, so that they can reach whoever runs this.
    contact: str = ""
    # A network's credentials are the secret of this name and the network's after it.
    secrets_prefix: str = "imagelake/"
    batch_size: PositiveInt = 500
    posts_per_feed: PositiveInt = 1000
    failure_tolerance_percent: int = Field(default=20, ge=0, le=100)

    @field_validator("trusted_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return frozenset(part for part in value.split(",") if part) if isinstance(value, str) else value


@lru_cache(maxsize=1)
def settings() -> Settings:
    """Read the environment once per worker."""
    named = {name: os.environ[name.upper()] for name in Settings.model_fields if name.upper() in os.environ}
    try:
        return Settings.model_validate(named)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise BadInputError(f"environment variable {str(first['loc'][0]).upper()}: {first['msg']}") from error
