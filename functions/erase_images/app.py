"""Erase Images: delete raw images, hashes, ids in bookmarks, older versions and entries of the media index."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from erase_images.erasing import Erasing
from erase_images.settings import EraseImagesSettings
from imagelake.run.erasure_models import EraseResult, ErasureCall
from imagelake.run.observability import logger


@logger.inject_lambda_context(correlation_id_path="erasure.erasure_id")
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Take an ``ErasureCall`` and return an ``EraseResult``."""
    erasing = Erasing(ErasureCall.model_validate(event).erasure, EraseImagesSettings.load())

    images = erasing.erase_raw_images()
    hashes = erasing.erase_hashes()
    bookmarks = erasing.erase_bookmarks()
    messages = erasing.erase_messages()
    versions = erasing.erase_older_versions()
    owners = erasing.unmap_images()
    # These come last, because an erasure that was killed finds its work through them.
    items = erasing.unmap_items()

    result = EraseResult(changed=images + hashes + bookmarks + messages + owners + items, erased=images + items)
    counts = {"images": images, "hashes": hashes, "older_versions": versions, "owners": owners, "items": items}
    logger.info("images erased", extra=counts)
    return result.model_dump(mode="json")
