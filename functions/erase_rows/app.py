"""Erase Rows: make the changes of one erasure in one dataset file, and in the working objects of its batch."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from erase_rows.counted_objects import CountedObjects
from erase_rows.erasing import erase
from erase_rows.promotion import promote
from erase_rows.settings import EraseRowsSettings
from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.media_index import MediaIndex
from imagelake.lake.suppression import suppressions
from imagelake.run.erasure_models import EraseResult, EraseRowsRequest, FileChanges
from imagelake.run.observability import logger


@logger.inject_lambda_context(correlation_id_path="erasure.erasure_id")
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Take an ``EraseRowsRequest`` and return an ``EraseResult``."""
    request = EraseRowsRequest.model_validate(event)
    settings = EraseRowsSettings.load()
    erasure_id = request.erasure.erasure_id
    bucket, media_index = Bucket(settings.bucket_name), MediaIndex(settings.image_keys_table)
    objects = CountedObjects(bucket, erasure_id)

    changes = bucket.get_model(object_keys.erasure_list(erasure_id, f"files/{request.number}"), FileChanges)
    if request.step == "promote":
        promote(changes, bucket, objects, media_index)
    else:
        listed = suppressions(settings.suppression_table, settings.suppression_key).read()
        erase(changes, bucket, objects, media_index, listed)

    result = EraseResult(changed=objects.changed, erased=objects.erased)
    logger.info("rows erased", extra={"step": request.step, **result.model_dump()})
    return result.model_dump(mode="json")
