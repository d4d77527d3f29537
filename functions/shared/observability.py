"""One logger and one metrics sink for all functions: JSON logs under the run's id, metrics in EMF."""

from __future__ import annotations

from aws_lambda_powertools import Logger, Metrics

# The execution's name is in every event under ``run``, and so in every line of log.
RUN_ID = "run.run_id"

logger = Logger()
metrics = Metrics(namespace="Imagelake")
