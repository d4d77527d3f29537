"""A caught error becomes a name and one sentence, whoever raised it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from imagelake.run.failures import CaughtError, Failure


@pytest.mark.parametrize(
    ("caught", "error", "message"),
    [
        (
            {"Error": "BadFeedError", "Cause": json.dumps({"errorMessage": "no such feed"})},
            "BadFeedError",
            "no such feed",
        ),
        ({"Error": "States.Timeout", "Cause": "too long"}, "States.Timeout", "too long"),
        ({"Error": "States.Timeout"}, "States.Timeout", "no cause given"),
        ({"Error": "States.Timeout", "Cause": None}, "States.Timeout", "no cause given"),
        ({"Error": "X", "Cause": '{"other": 1}'}, "X", '{"other": 1}'),
        ({"Error": "X", "Cause": '["errorMessage"]'}, "X", '["errorMessage"]'),
        ({"Error": "X", "Cause": "12"}, "X", "12"),
        ({"Error": "X", "Cause": '{"errorMessage": null}'}, "X", "None"),
        ({"Cause": "x"}, "Unknown", "x"),
        ({"Error": "X", "Cause": "[" * 100_000}, "X", "[" * 500),
        ({"Error": "X", "Cause": json.dumps({"errorMessage": "a\ud800b"})}, "X", "a?b"),
        ({"Error": "X", "Cause": "y" * 9000}, "X", "y" * 500),
    ],
)
def test_failure_of_a_caught_error(caught: dict[str, Any], error: str, message: str) -> None:
    assert Failure.of(CaughtError.model_validate(caught)) == Failure(error=error, message=message)
