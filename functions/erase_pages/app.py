"""Erase Pages: remove what is on the suppression list from the pages, rejects and stream records of one day."""

from __future__ import annotations

from itertools import chain
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from erase_pages.day import Day
from erase_pages.raw_pages import erase_pages
from erase_pages.rejects import erase_rejects
from erase_pages.request_names import RequestNames
from erase_pages.settings import ErasePagesSettings
from erase_pages.stream_records import erase_stream_records
from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.erased_objects import ErasedObjects
from imagelake.lake.suppression import suppressions
from imagelake.run.erasure_models import ErasePagesRequest, EraseResult, ErasureRequest
from imagelake.run.observability import logger
from imagelake.sources import get_source


@logger.inject_lambda_context(correlation_id_path="erasure.erasure_id")
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Take an ``ErasePagesRequest`` and return an ``EraseResult``."""
    request = ErasePagesRequest.model_validate(event)
    settings = ErasePagesSettings.load()
    bucket, erasure = Bucket(settings.bucket_name), request.erasure
    suppressed = suppressions(settings.suppression_table, settings.suppression_key)
    asked = bucket.get_model(object_keys.erasure_request(erasure.erasure_id), ErasureRequest)
    day = Day(
        source=get_source(request.day.source),
        dt=request.day.dt,
        bucket=bucket,
        objects=ErasedObjects(bucket, erasure.erasure_id),
        listed=suppressed.read(),
        names=RequestNames(asked.erase, request.day.source),
        suppress=lambda *name: suppressed.add(
            [name],
            reason=erasure.reason,
            erasure=erasure.erasure_id,
            since=erasure.started_at.isoformat(timespec="seconds"),
        ),
    )
    changes = list(chain(erase_pages(day), erase_rejects(day), erase_stream_records(day)))
    result = EraseResult(changed=len(changes), erased=sum(len(change.items) for change in changes))
    logger.info("pages erased", extra={"source": request.day.source, "dt": request.day.dt, **result.model_dump()})
    return result.model_dump(mode="json")
