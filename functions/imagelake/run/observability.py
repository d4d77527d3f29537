"""One logger and one metrics sink for all functions: JSON logs under the run's id, metrics in EMF."""

from __future__ import annotations

import os

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit, single_metric

# The execution's name is in every event under ``run``, and so in every line of log.
RUN_ID = "run.run_id"

logger = Logger()
# The stack's own, so that the metrics of two stacks in one account do not add up.
_NAMESPACE = os.environ.get("POWERTOOLS_METRICS_NAMESPACE", "Imagelake")
metrics = Metrics(namespace=_NAMESPACE)


def add_metric_of(name: str, unit: MetricUnit, value: float, **dimensions: str) -> None:
    """Send one metric that has dimensions beside its service; CloudWatch wants their values in ASCII."""
    with single_metric(name=name, unit=unit, value=value, namespace=_NAMESPACE) as metric:
        for dimension, of in dimensions.items():
            metric.add_dimension(dimension, of)
