"""A network's credentials: one secret of Secrets Manager, a JSON object of texts, read when it is first touched."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import boto3
from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError
from aws_lambda_powertools.utilities.parameters.secrets import SecretsProvider
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from imagelake.run.aws import aws_errors
from imagelake.run.errors import CredentialsError

# A new token that somebody puts in is seen after this at the latest.
_CACHE_SECONDS = 300
_CONFIG = Config(retries={"mode": "standard", "total_max_attempts": 5}, connect_timeout=5, read_timeout=10)


class Secret(Mapping[str, str]):
    """The fields of a network's secret; its text form shows none of them.

    ``expected`` are the fields that the network's manifest names. Reading raises ``CredentialsError``,
    ``StorageDeniedError`` and ``StorageUnavailableError``; to touch a field that is not there raises the first.
    """

    def __init__(self, name: str, expected: tuple[str, ...]) -> None:
        self.name = name
        self._expected = expected
        self._text: str | None = None
        self._stored: dict[str, str] | None = None
        self._remembered: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"Secret({self.name!r})"

    def __getitem__(self, field: str) -> str:
        values = self._values()
        if field not in values:
            raise CredentialsError(f"{self._lacks(field)}: {self.remedy}")
        return values[field]

    def __contains__(self, field: object) -> bool:
        return field in self._values()

    def __iter__(self) -> Iterator[str]:
        return iter(self._values())

    def __len__(self) -> int:
        return len(self._values())

    def get(self, field: str, default: Any = None) -> Any:
        """The field's value or ``default``; a secret that does not exist has no fields."""
        return self._values().get(field, default)

    @property
    def touched(self) -> Mapping[str, str]:
        """The fields as far as they are known without another call."""
        return {**(self._stored or {}), **self._remembered}

    def known_values(self, public: frozenset[str]) -> list[str]:
        """Every value that was read or remembered, also one that another went before, but for ``public`` fields."""
        fields = [*(self._stored or {}).items(), *self._remembered.items()]
        return [value for name, value in fields if name not in public]

    @property
    def remedy(self) -> str:
        """The command that mends it."""
        verb = "put-secret-value --secret-id" if self._stored else "create-secret --name"
        fields = json.dumps(dict.fromkeys(self._expected, "..."))
        return f"aws secretsmanager {verb} {self.name} --secret-string '{fields}'"

    def remember(self, fields: Mapping[str, str]) -> None:
        """Let ``fields`` go before those that are stored."""
        self._remembered |= fields

    def read_again(self) -> None:
        """Read what is stored now, whatever this worker has read of it before."""
        self._text = self._read(force=True)
        self._stored = self._parsed(self._text)

    def keep(self, fields: Mapping[str, str]) -> None:
        """Store ``fields`` with the others, unless another writer has replaced what was read; then that one stays."""
        self._values()
        assert self._text is not None, "what does not exist cannot have been renewed"
        with aws_errors(self.name):
            try:
                _provider().client.put_secret_value(
                    SecretId=self.name,
                    SecretString=json.dumps({**json.loads(self._text), **fields}),
                    # The same for all who read the same text, so the second of them is refused.
                    ClientRequestToken=hashlib.sha256(self._text.encode()).hexdigest(),
                )
            except ClientError as error:
                if error.response["Error"]["Code"] != "ResourceExistsException":
                    raise
        self._read(force=True)

    def _values(self) -> Mapping[str, str]:
        if self._stored is None:
            self._text = self._read()
            self._stored = self._parsed(self._text)
        return {**self._stored, **self._remembered}

    def _read(self, *, force: bool = False) -> str | None:
        """The secret's text, or ``None`` if there is no such secret."""
        try:
            text = _provider().get(self.name, max_age=_CACHE_SECONDS, force_fetch=force)
        except GetParameterError as wrapped:
            error = wrapped.__context__
            assert isinstance(error, ClientError | BotoCoreError)
            if isinstance(error, ClientError) and error.response["Error"]["Code"] == "ResourceNotFoundException":
                return None
            with aws_errors(self.name):
                raise error from None
        return text if isinstance(text, str) else ""

    def _parsed(self, text: str | None) -> dict[str, str]:
        if text is None:
            return {}
        try:
            value = json.loads(text)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            # Not the parser's own error: it holds the text.
            raise CredentialsError(f"the secret {self.name} is not a JSON object: {self.remedy}")
        fields = {name: str(part).strip() for name, part in value.items() if isinstance(part, str | int)}
        for name, part in fields.items():
            if not (part.isascii() and part.isprintable()):
                raise CredentialsError(f"the field {name} of the secret {self.name} holds what no credential does")
        return {name: part for name, part in fields.items() if part}

    def _lacks(self, field: str) -> str:
        if self._text is None:
            return f"there is no secret {self.name}, whose field {field} is needed"
        return f"the secret {self.name} has no field {field}"


@cache
def _provider() -> SecretsProvider:
    return SecretsProvider(boto3_client=boto3.client("secretsmanager", config=_CONFIG))
