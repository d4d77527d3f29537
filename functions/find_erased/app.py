"""Find Erased: search everything that an erasure erases, and list it for the steps that follow."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from find_erased.finding import find
from find_erased.settings import FindErasedSettings
from imagelake.run.erasure_models import ErasureCall
from imagelake.run.observability import logger


@logger.inject_lambda_context(correlation_id_path="erasure.erasure_id")
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Take an ``ErasureCall`` and return a ``FindErasedResult``."""
    erasure = ErasureCall.model_validate(event).erasure
    settings = FindErasedSettings.load()

    result = find(erasure, settings)

    logger.info("erasure searched", extra={"result": result.model_dump(mode="json")})
    return result.model_dump(mode="json")
