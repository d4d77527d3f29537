"""One feed's calls to its network: requests are authorized, responses are redacted and parsed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from imagelake.accounts.api import Api
from imagelake.accounts.authorization import Authorizer
from imagelake.accounts.redaction import Redactor
from imagelake.accounts.secrets import Secret
from imagelake.run.errors import CredentialsError, ImagelakeError, SourceUnavailableError
from imagelake.sources import Feed, Page, Source
from imagelake.sources.contract import Authorized
from imagelake.web.messages import Request, Response

# Enough time to store a new token while the old one works.
WARN_BEFORE = timedelta(days=14)
_EXPIRES_AT = "_expires_at"


class Session:
    """Sends a feed's requests; ``warnings`` are for an operator."""

    def __init__(
        self, source: Source, feed: Feed, api: Api, secret: Secret, trusted_origins: frozenset[str] = frozenset()
    ) -> None:
        self._source = source
        self._feed = feed
        self._api = api
        self._secret = secret
        authorized = source if isinstance(source, Authorized) else None
        self._sent = 0
        self._has_logged_in_again = False
        self._redactor = Redactor(secret, authorized.public_fields if authorized else frozenset())
        self._authorizer = (
            Authorizer(authorized, feed, api, secret, self._redactor, trusted_origins) if authorized else None
        )

    def read(self, request: Request) -> tuple[Response, Page]:
        """Return the response and its page; the response's URL is that of ``request``, which holds no secret."""
        sent = self._sent
        try:
            return self._read(request, is_first_try=True)
        except ImagelakeError as error:
            error.is_before_request = self._sent == sent
            raise

    def _read(self, request: Request, *, is_first_try: bool) -> tuple[Response, Page]:
        try:
            return self._exchange(request)
        except SourceUnavailableError as error:
            # The client knows no feeds, so its message begins with a host.
            text = str(error)
            named = text if text.startswith(self._feed.name) else f"{self._feed.name}: {text}"
            raise SourceUnavailableError(named) from error
        except CredentialsError as error:
            if self._authorizer and self._authorizer.forget_session(request) and not self._has_logged_in_again:
                # A session can end at any time; a new login tells if the credentials are still valid.
                self._has_logged_in_again = True
                return self._read(request, is_first_try=is_first_try)
            # A worker's copy of the secret is up to five minutes old, and somebody may have replaced the secret.
            if is_first_try and self._authorizer and self._authorizer.start_over():
                return self._read(request, is_first_try=False)
            if self._secret.loaded and self._secret.remedy not in str(error):
                raise CredentialsError(f"{error}; put in a new one: {self._secret.remedy}") from None
            raise

    def _exchange(self, request: Request) -> tuple[Response, Page]:
        authorized = self._authorizer.authorize(request) if self._authorizer else request
        self._sent += 1
        response = self._api.send(
            authorized, lambda response: self._is_final(self._redactor.response(response, request))
        )
        response = self._redactor.response(response, request)
        return response, self._source.parse(self._feed, response)

    def _is_final(self, response: Response) -> bool:
        """Tell if the adapter reads a response as something else than an outage, which alone can end by itself."""
        try:
            self._source.parse(self._feed, response)
        except SourceUnavailableError:
            return False
        except ImagelakeError:
            return True
        return True

    @property
    def warnings(self) -> list[str]:
        """The problems so far, and the tokens in use that expire soon."""
        problems = self._authorizer.warnings if self._authorizer else []
        return [*problems, *self._expiry_warnings()]

    @property
    def ends_at(self) -> datetime | None:
        """The time at which the first of the tokens in use expires, ``None`` if none has such a time."""
        times = [_time(text) for name, text in self._secret.loaded.items() if name.endswith(_EXPIRES_AT)]
        return min((time for time in times if time is not None), default=None)

    def _expiry_warnings(self) -> list[str]:
        limit = datetime.now(UTC) + WARN_BEFORE
        fields = self._secret.loaded
        return [
            f"{self._feed.name}: {name.removesuffix(_EXPIRES_AT)} of the secret {self._secret.name} expires at"
            f" {fields[name]}; put in a new one: {self._secret.remedy}"
            for name in sorted(fields)
            if name.endswith(_EXPIRES_AT) and _expires_before(fields[name], limit)
        ]


def _expires_before(text: str, limit: datetime) -> bool:
    expires_at = _time(text)
    return expires_at is None or expires_at < limit


def _time(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
