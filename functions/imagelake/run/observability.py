"""One logger and one metrics sink for all functions: JSON logs under the run's id, metrics in EMF."""

from __future__ import annotations

import json
import os
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit, single_metric

from imagelake.run.masking import mask

# Path of the execution's name in every event; each log line has it as its correlation id.
RUN_ID = "run.run_id"


def _masked_json(line: dict[str, Any]) -> str:
    # As Powertools does it, but without credentials in URLs.
    return mask(json.dumps(line, default=str, separators=(",", ":"), ensure_ascii=False))


logger = Logger(json_serializer=_masked_json)
# Every stack has its own namespace, so that the metrics of two stacks in one account stay separate.
_NAMESPACE = os.environ.get("POWERTOOLS_METRICS_NAMESPACE", "Imagelake")
metrics = Metrics(namespace=_NAMESPACE)


def add_metric_of(name: str, unit: MetricUnit, value: float, **dimensions: str) -> None:
    """Send one metric with more dimensions than the service; CloudWatch accepts only ASCII in their values."""
    with single_metric(name=name, unit=unit, value=value, namespace=_NAMESPACE) as metric:
        for dimension, text in dimensions.items():
            metric.add_dimension(dimension, text)
