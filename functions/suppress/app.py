"""Suppress: put what a request names, or what was found, on the list of what must not come back."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from imagelake.lake.bucket import Bucket
from imagelake.lake.suppression import suppressions
from imagelake.run.erasure_models import SuppressRequest, SuppressResult
from imagelake.run.observability import logger
from suppress.names import names_of, note_time
from suppress.settings import SuppressSettings


@logger.inject_lambda_context(correlation_id_path="erasure.erasure_id")
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Take a ``SuppressRequest`` and return a ``SuppressResult``."""
    request = SuppressRequest.model_validate(event)
    settings = SuppressSettings.load()
    erasure, bucket = request.erasure, Bucket(settings.bucket_name)

    names, digest = names_of(request, bucket)
    entries = suppressions(settings.suppression_table, settings.suppression_key).add(
        names,
        reason=erasure.reason,
        erasure=erasure.erasure_id,
        since=erasure.started_at.isoformat(timespec="seconds"),
    )
    # This comes last: a run that begins after this time cannot bring anything back.
    note_time(erasure.erasure_id, bucket, digest)
    logger.info("suppressed", extra={"what": request.what, "entries": entries})
    return SuppressResult(entries=entries).model_dump(mode="json")
