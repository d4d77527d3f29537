"""Plan Rebuild: check the input of a rebuild, and list the dataset files that can have rows to make again."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagelake.lake.bucket import Bucket
from imagelake.run.contracts import PlanRebuildRequest
from imagelake.run.observability import logger, metrics
from plan_rebuild.planning import plan_rebuild
from plan_rebuild.settings import PlanRebuildSettings


@logger.inject_lambda_context(correlation_id_path="execution.name")
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Take a ``PlanRebuildRequest`` and return a ``PlanRebuildResult``."""
    request = PlanRebuildRequest.model_validate(event)

    result = plan_rebuild(request, Bucket(PlanRebuildSettings.load().bucket_name))

    metrics.add_metric("FilesListed", MetricUnit.Count, result.files)
    # The name of a feed can be the name of a person.
    logger.info(
        "rebuild planned", extra={"rebuild": result.rebuild.model_dump(exclude={"feeds"}), "files": result.files}
    )
    return result.model_dump(mode="json")
