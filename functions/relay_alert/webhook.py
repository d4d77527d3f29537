"""The webhook: its address, which is a secret, and the sending, tried again where that can help."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from imagelake.run.errors import CredentialsError, DownloadError
from imagelake.run.retries import retry
from imagelake.web.client import GuardedClient
from relay_alert.formats import FORMATS

TRIES = 3
LONGEST_PAUSE = 10.0
# Far more than any service's answer to a webhook.
_MOST_BYTES = 100_000
_BY_HOST = {
    "discord.com": "discord",
    "discordapp.com": "discord",
    "hooks.slack.com": "slack",
    "hooks.slack-gov.com": "slack",
}


class AlertNotSentError(Exception):
    """The webhook did not take the alert; the message names its host and its answer, never its path.

    ``retry_after`` are the seconds to wait before a retry, ``None`` if a retry cannot help.
    """

    def __init__(self, message: str, retry_after: float | None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@dataclass(frozen=True)
class Webhook:
    """Where alerts go, and in which of ``FORMATS``."""

    url: str = field(repr=False)
    format: str

    @classmethod
    def of(cls, url: str, wanted: str | None = None, trusted_origins: frozenset[str] = frozenset()) -> Webhook:
        """The webhook at ``url``, in the format ``wanted`` or that of its host. Raises ``CredentialsError``."""
        try:
            parts = urlsplit(url)
            host = (parts.hostname or "").lower()
        except ValueError:
            raise CredentialsError("the webhook's secret holds no valid URL") from None
        # Whoever has the address can post.
        if parts.scheme != "https" and f"{parts.scheme}://{parts.netloc}" not in trusted_origins:
            raise CredentialsError("the webhook's secret holds a URL that is not https")
        chosen = wanted or _BY_HOST.get(host, "json")
        if chosen not in FORMATS:
            raise CredentialsError(f"the webhook's secret asks for a format that is not one of {', '.join(FORMATS)}")
        return cls(url, chosen)

    def send(self, payload: dict[str, Any], client: GuardedClient) -> None:
        """Post ``payload``; raises ``AlertNotSentError`` in the end."""
        retry(lambda: self._send_once(payload, client), tries=TRIES, on=AlertNotSentError, pause=_pause)

    def _send_once(self, payload: dict[str, Any], client: GuardedClient) -> None:
        try:
            answer = client.exchange(
                "POST", self.url, json=payload, max_bytes=_MOST_BYTES, connect=3.0, read=8.0, total=10.0
            )
        except DownloadError as error:
            # Drop the cause: its traceback holds the secret URL.
            raise AlertNotSentError(str(error), retry_after=0.0) from None
        if answer.status >= 300:
            is_temporary = answer.status == 429 or answer.status >= 500
            raise AlertNotSentError(
                f"{urlsplit(self.url).hostname} answered {answer.status}",
                retry_after=_retry_after(answer.headers.get("retry-after", "")) if is_temporary else None,
            )


def _pause(error: AlertNotSentError, failed: int) -> float | None:
    if error.retry_after is None:
        return None
    seconds = max(2.0 ** (failed - 1), error.retry_after)
    return seconds if seconds <= LONGEST_PAUSE else None


def _retry_after(text: str) -> float:
    try:
        return max(0.0, float(text))
    except ValueError:
        return 0.0
