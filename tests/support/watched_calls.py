"""The calls of AWS that a piece of code makes."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.private_parts import calls_of_aws


def watch(monkeypatch: pytest.MonkeyPatch, *watched: str) -> list[str]:
    """Collect the names of these calls of AWS, or the codes of their errors."""
    made: list[str] = []
    client_class, method = calls_of_aws()
    call = getattr(client_class, method)

    def make(client: Any, operation: str, arguments: dict[str, Any]) -> Any:
        try:
            answer = call(client, operation, arguments)
        except ClientError as error:
            if operation in watched:
                made.append(error.response["Error"]["Code"])
            raise
        if operation in watched:
            made.append(operation)
        return answer

    monkeypatch.setattr(client_class, method, make)
    return made
