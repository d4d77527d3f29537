"""Check Erasure: turn the input of an execution into an erasure, or fail at once with the name of the wrong field."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from check_erasure.request import erasure_of
from check_erasure.settings import CheckErasureSettings
from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.suppression import suppressions
from imagelake.run.contracts import CheckErasureRequest, CheckErasureResult
from imagelake.run.erasure_models import ErasureRequest
from imagelake.run.observability import logger


@logger.inject_lambda_context(correlation_id_path="execution.name")
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Take a ``CheckErasureRequest`` and return a ``CheckErasureResult``."""
    call = CheckErasureRequest.model_validate(event)
    settings = CheckErasureSettings.load()

    request = ErasureRequest.read(call.input)
    keyed_hash = suppressions(settings.suppression_table, settings.suppression_key).keyed_hash
    erasure = erasure_of(request, call.execution, keyed_hash)
    Bucket(settings.bucket_name).put_json(
        object_keys.erasure_request(erasure.erasure_id), request.model_dump(mode="json")
    )
    logger.info("erasure accepted", extra={"erasure": erasure.model_dump(mode="json")})
    return CheckErasureResult(erasure=erasure).model_dump(mode="json")
