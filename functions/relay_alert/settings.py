"""Environment variables of Relay Alert."""

from __future__ import annotations

from imagelake.run.settings import ResourceName, Settings, TrustedOrigins


class RelayAlertSettings(Settings):
    """The secret with the webhook's URL, and how to reach that URL."""

    alert_webhook_secret: ResourceName
    trusted_origins: TrustedOrigins
    # Email or URL in the User-Agent, so that the service can reach the person who runs this.
    contact: str
