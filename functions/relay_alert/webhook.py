"""The webhook: its URL, which is a secret, and the sending of alerts, with retries."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from imagelake.run.errors import CredentialsError, ImagelakeError
from imagelake.run.retries import retry
from imagelake.web.client import GuardedClient
from imagelake.web.errors import HttpError, UrlRefusedError
from imagelake.web.retry_after import retry_seconds
from imagelake.web.urls import Url, parse_origins
from relay_alert.formats import FORMATS

TRIES = 3
LONGEST_PAUSE = 10.0
# Far more than any service answers to a webhook.
_MOST_BYTES = 100_000
_BY_HOST = {
    "discord.com": "discord",
    "discordapp.com": "discord",
    "hooks.slack.com": "slack",
    "hooks.slack-gov.com": "slack",
}


class AlertNotSentError(ImagelakeError):
    """The webhook did not take the alert; the message names its host and its status, never its path.

    ``retry_after`` is the number of seconds to wait before a retry, or ``None`` if a retry cannot help.
    """

    def __init__(self, message: str, retry_after: float | None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@dataclass(frozen=True)
class Webhook:
    """The URL that alerts are sent to, and their format, one of ``FORMATS``."""

    url: str = field(repr=False)
    format: str

    @classmethod
    def of(cls, url: str, wanted: str | None = None, trusted_origins: frozenset[str] = frozenset()) -> Webhook:
        """Return the webhook at ``url`` with the format ``wanted`` or its host's; raises ``CredentialsError``."""
        try:
            parsed = Url.parse(url)
        except UrlRefusedError:
            raise CredentialsError("the webhook's secret holds no valid URL") from None
        # The URL is a password: everybody who reads it on its way can post.
        if parsed.scheme != "https" and parsed.origin not in parse_origins(trusted_origins):
            raise CredentialsError("the webhook's secret holds a URL that is not https")
        chosen = wanted or _BY_HOST.get(parsed.host, "json")
        if chosen not in FORMATS:
            raise CredentialsError(f"the webhook's secret asks for a format that is not one of {', '.join(FORMATS)}")
        return cls(url, chosen)

    def send(self, payload: dict[str, Any], client: GuardedClient) -> None:
        """Post ``payload``; raises ``AlertNotSentError`` after the last try."""
        retry(lambda: self._send_once(payload, client), tries=TRIES, on=AlertNotSentError, pause=_pause)

    def _send_once(self, payload: dict[str, Any], client: GuardedClient) -> None:
        try:
            response = client.exchange(
                "POST", self.url, json=payload, max_bytes=_MOST_BYTES, connect=3.0, read=8.0, total=10.0
            )
        except HttpError as error:
            # Drop the cause: its traceback holds the secret URL.
            raise AlertNotSentError(str(error), retry_after=0.0) from None
        if response.status >= 300:
            is_temporary = response.status == 429 or response.status >= 500
            wait = retry_seconds(response.headers.get("retry-after"), response.headers.get("date")) or 0.0
            raise AlertNotSentError(
                f"{Url.parse(self.url).host} answered {response.status}", retry_after=wait if is_temporary else None
            )


def _pause(error: AlertNotSentError, failed: int) -> float | None:
    if error.retry_after is None:
        return None
    seconds = max(2.0 ** (failed - 1), error.retry_after)
    return seconds if seconds <= LONGEST_PAUSE else None
