"""Relay Alert: pass what the topic publishes on to a webhook: Discord's, Slack's or any that takes JSON.

It runs beside the run, after SNS: whatever becomes of it here, the run has ended as it has and the mail has gone out.
"""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagelake.accounts.secrets import Secret
from imagelake.run.observability import logger, metrics
from imagelake.web.client import GuardedClient
from relay_alert.alert import Alert
from relay_alert.formats import FORMATS
from relay_alert.settings import RelayAlertSettings
from relay_alert.webhook import Webhook


@logger.inject_lambda_context
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Event: what SNS delivers, one record at a time; after an error Lambda tries again and then keeps the event."""
    config = RelayAlertSettings.load()
    secret = Secret(config.alert_webhook_secret, ("url",))
    webhook = Webhook.of(secret["url"], secret.get("format"), config.trusted_origins)
    with GuardedClient(contact=config.contact, trusted_origins=config.trusted_origins) as client:
        for record in event["Records"]:
            alert = Alert.of(record["Sns"])
            webhook.send(FORMATS[webhook.format](alert), client)
            logger.info("alert relayed", extra={"title": alert.title, "format": webhook.format})
    metrics.add_metric("AlertsRelayed", MetricUnit.Count, len(event["Records"]))
    return {"relayed": len(event["Records"])}
