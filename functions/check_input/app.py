"""Check Input: turn the execution input into a run and its feeds, or fail at once with the name of the wrong field."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from check_input.run_input import start_run
from check_input.settings import CheckInputSettings
from imagelake.run.contracts import CheckInputRequest
from imagelake.run.events import RunStarted, publish
from imagelake.run.observability import logger, metrics


@logger.inject_lambda_context(correlation_id_path="execution.name")
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Take a ``CheckInputRequest`` and return a ``CheckInputResult``."""
    request = CheckInputRequest.model_validate(event)
    settings = CheckInputSettings.load()

    result = start_run(request, settings)

    run, feeds = result.run, [feed.name for feed in result.feeds]
    metrics.add_metric("FeedsPlanned", MetricUnit.Count, len(feeds))
    logger.info("input accepted", extra={"run": run.model_dump(), "feed_ids": [feed.feed_id for feed in result.feeds]})
    if not run.plan:
        started = RunStarted(run_id=run.run_id, dt=run.dt, execution_arn=run.execution_arn, feeds=feeds)
        publish(settings.event_bus_name, started)
    return result.model_dump(mode="json")
