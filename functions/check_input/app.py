"""Check Input: turn the execution input into a run, or fail at once naming the field that is wrong."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from check_input.run_input import Execution, start_run
from check_input.settings import CheckInputSettings
from imagelake.run.events import RunStarted, publish
from imagelake.run.observability import logger, metrics


@logger.inject_lambda_context(correlation_id_path="execution.name")
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Event: ``{"input": execution input, "execution": {"arn", "name", "started_at"}}``."""
    execution = Execution.model_validate(event["execution"])
    config = CheckInputSettings.load()
    run, feeds = start_run(event["input"], execution, config)
    metrics.add_metric("FeedsPlanned", MetricUnit.Count, len(feeds))
    logger.info("input accepted", extra={"run": run.model_dump(), "feeds": [feed.name for feed in feeds]})
    publish(
        config.event_bus_name,
        RunStarted(run_id=run.run_id, dt=run.dt, execution_arn=run.execution_arn, feeds=[feed.name for feed in feeds]),
    )
    return {"run": run.model_dump(), "feeds": [feed.model_dump() for feed in feeds]}
