"""Base class of the settings of each function: its environment variables as a frozen model."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cache
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, ValidationError

from imagelake.run.errors import BadInputError
from imagelake.run.frozen_model import FrozenModel
from imagelake.run.sentences import faults


def _split(value: object) -> object:
    return frozenset(part for part in value.split(",") if part) if isinstance(value, str) else value


# Name or ARN of something that the stack creates; CloudFormation leaves none of them empty.
ResourceName = Annotated[str, Field(min_length=3)]
# Origins whose hosts, ports and IP addresses are not checked: such as a mirror of your own or the local sample feed.
TrustedOrigins = Annotated[frozenset[str], BeforeValidator(_split)]


def select_variables(names: Iterable[str]) -> dict[str, str]:
    """Return those of these environment variables that are set, for a child process that gets no others."""
    return {name: os.environ[name] for name in names if name in os.environ}


class Settings(FrozenModel):
    """Environment variables of one function; each field is the variable of the same name in upper case.

    No field has a default: ``template.yaml`` sets every variable, and its parameters have the defaults.
    """

    @classmethod
    @cache
    def load(cls) -> Self:
        """Read the environment once per class and worker; raise ``BadInputError`` naming the wrong variable."""
        values = {name: os.environ[name.upper()] for name in cls.model_fields if name.upper() in os.environ}
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            name, fault = next(faults(error, cls))
            raise BadInputError(f"environment variable {name.upper()}: {fault}") from None
