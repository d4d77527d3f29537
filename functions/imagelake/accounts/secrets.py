"""A network's credentials: one secret in Secrets Manager, a JSON object of texts, read at the first use of a field."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

import boto3
from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError
from aws_lambda_powertools.utilities.parameters.secrets import SecretsProvider
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from imagelake.run.aws import aws_errors
from imagelake.run.errors import CredentialsError

# A new token in Secrets Manager is in use after this time at the latest.
_CACHE_SECONDS = 300
_CONFIG = Config(retries={"mode": "standard", "total_max_attempts": 5}, connect_timeout=5, read_timeout=10)


class Secret(Mapping[str, str]):
    """The fields of a network's secret; ``repr`` shows none of them.

    The first use of a field reads the secret, because most networks need none. ``expected`` are the fields that the
    network's manifest names. Raises ``CredentialsError`` for a missing field, ``StorageDeniedError`` and
    ``StorageUnavailableError``.
    """

    def __init__(self, name: str, expected: tuple[str, ...]) -> None:
        self.name = name
        self._expected = expected
        self._text: str | None = None
        self._stored: dict[str, str] | None = None
        self._overrides: dict[str, str] = {}
        self._forgotten: list[tuple[str, str]] = []

    def __repr__(self) -> str:
        return f"Secret({self.name!r})"

    def __getitem__(self, field: str) -> str:
        fields = self._fields()
        if field not in fields:
            raise CredentialsError(f"{self._missing(field)}: {self.remedy}")
        return fields[field]

    def __contains__(self, field: object) -> bool:
        return field in self._fields()

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields())

    def __len__(self) -> int:
        return len(self._fields())

    def get(self, field: str, default: Any = None) -> Any:
        """Return the field's value or ``default``; a secret that does not exist has no fields."""
        return self._fields().get(field, default)

    @property
    def loaded(self) -> Mapping[str, str]:
        """The fields that are known already, without a call of AWS."""
        return {**(self._stored or {}), **self._overrides}

    def secret_values(self, public_fields: frozenset[str]) -> list[str]:
        """Return all values seen so far, overridden ones included and those of ``public_fields`` excluded."""
        fields = [*(self._stored or {}).items(), *self._overrides.items(), *self._forgotten]
        return [value for name, value in fields if name not in public_fields]

    @property
    def remedy(self) -> str:
        """The command that creates or replaces the secret."""
        verb = "create-secret --name" if self._text is None else "put-secret-value --secret-id"
        fields = json.dumps(dict.fromkeys(self._expected, "..."))
        return f"aws secretsmanager {verb} {self.name} --secret-string '{fields}'"

    def override(self, fields: Mapping[str, str]) -> None:
        """Use ``fields`` instead of the stored ones, without storing them."""
        self._overrides |= fields

    def forget(self, fields: Iterable[str]) -> None:
        """Use the stored fields again in place of overridden ones, whose values stay secret."""
        self._forgotten += [(name, self._overrides.pop(name)) for name in fields if name in self._overrides]

    def reload(self) -> bool:
        """Read the stored fields now, without the cache, in place of all others; tell if the secret has changed."""
        before = self._text
        self._forgotten += [*(self._stored or {}).items(), *self._overrides.items()]
        self._text, self._overrides = self._read(force=True), {}
        self._stored = self._parse(self._text)
        return self._text != before

    def save(self, fields: Mapping[str, str]) -> None:
        """Store ``fields`` beside the others, unless another worker has replaced the secret since it was read."""
        self._fields()
        assert self._text is not None, "a secret that does not exist cannot have been renewed"
        with aws_errors(self.name):
            try:
                _provider().client.put_secret_value(
                    SecretId=self.name,
                    SecretString=json.dumps({**json.loads(self._text), **fields}),
                    # All workers that read the same text use the same token, so AWS refuses the second of them.
                    ClientRequestToken=hashlib.sha256(self._text.encode()).hexdigest(),
                )
            except ClientError as error:
                if error.response["Error"]["Code"] != "ResourceExistsException":
                    raise
        self._read(force=True)

    def _fields(self) -> Mapping[str, str]:
        if self._stored is None:
            self._text = self._read()
            self._stored = self._parse(self._text)
        return {**self._stored, **self._overrides}

    def _read(self, *, force: bool = False) -> str | None:
        """Return the secret's text, or ``None`` if there is no such secret."""
        try:
            text = _provider().get(self.name, max_age=_CACHE_SECONDS, force_fetch=force)
        except GetParameterError as wrapper:
            error = wrapper.__context__
            assert isinstance(error, ClientError | BotoCoreError)
            if isinstance(error, ClientError) and error.response["Error"]["Code"] == "ResourceNotFoundException":
                return None
            with aws_errors(self.name):
                raise error from None
        return text if isinstance(text, str) else ""

    def _parse(self, text: str | None) -> dict[str, str]:
        if text is None:
            return {}
        try:
            content = json.loads(text)
        except ValueError:
            content = None
        if not isinstance(content, dict):
            # Not raised from the parser's error, which holds the text.
            raise CredentialsError(f"the secret {self.name} is not a JSON object: {self.remedy}")
        fields = {name: str(value).strip() for name, value in content.items() if isinstance(value, str | int)}
        for name, value in fields.items():
            if not (value.isascii() and value.isprintable()):
                raise CredentialsError(f"the field {name} of the secret {self.name} is not printable ASCII")
        return {name: value for name, value in fields.items() if value}

    def _missing(self, field: str) -> str:
        if self._text is None:
            return f"there is no secret {self.name}, whose field {field} is needed"
        return f"the secret {self.name} has no field {field}"


@cache
def _provider() -> SecretsProvider:
    return SecretsProvider(boto3_client=boto3.client("secretsmanager", config=_CONFIG))
