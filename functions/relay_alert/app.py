"""Relay Alert: send each message of the topic to a webhook of Discord, Slack or any service that takes JSON.

It runs after a run and beside the email: a failure here changes neither of them.
"""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagelake.accounts.secrets import Secret
from imagelake.run.errors import CredentialsError
from imagelake.run.observability import logger, metrics
from imagelake.web.client import GuardedClient
from relay_alert.alert import Alert
from relay_alert.formats import FORMATS
from relay_alert.notification import SnsEvent
from relay_alert.settings import RelayAlertSettings
from relay_alert.webhook import Webhook


@logger.inject_lambda_context
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Take an event of SNS; after an error, Lambda retries and then puts the event on the dead-letter queue."""
    records = SnsEvent.model_validate(event).records
    settings = RelayAlertSettings.load()

    webhook = _webhook(settings)
    with GuardedClient(contact=settings.contact, trusted_origins=settings.trusted_origins) as client:
        for record in records:
            alert = Alert.of(record.notification)
            webhook.send(FORMATS[webhook.format](alert), client)
            logger.info("alert relayed", extra={"severity": alert.severity, "format": webhook.format})

    metrics.add_metric("AlertsRelayed", MetricUnit.Count, len(records))
    return {"relayed": len(records)}


def _webhook(settings: RelayAlertSettings) -> Webhook:
    secret = Secret(settings.alert_webhook_secret, ("url",))
    try:
        return Webhook.of(secret["url"], secret.get("format"), settings.trusted_origins)
    except CredentialsError:
        # A worker's copy of the secret is up to five minutes old.
        if not secret.reload():
            raise
        return Webhook.of(secret["url"], secret.get("format"), settings.trusted_origins)
