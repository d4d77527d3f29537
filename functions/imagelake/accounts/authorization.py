"""Authorization: add the network's credentials to a request right before it is sent, and renew them first if needed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from imagelake.accounts.api import Api, as_feed_error
from imagelake.accounts.redaction import Redactor
from imagelake.accounts.secrets import Secret
from imagelake.run.errors import BadFeedError, ImagelakeError, SourceChangedError
from imagelake.sources import Feed
from imagelake.sources.contract import Authorized
from imagelake.web.errors import UrlRefusedError
from imagelake.web.messages import Request
from imagelake.web.urls import Url, parse_origins

# Session tokens that are not written back to Secrets Manager, cached per worker by secret and origin.
_session_tokens: dict[tuple[str, str], Mapping[str, str]] = {}


class Authorizer:
    """Adds a network's credentials to requests; renews them at most once."""

    def __init__(
        self,
        source: Authorized,
        feed: Feed,
        api: Api,
        secret: Secret,
        redactor: Redactor,
        trusted_origins: frozenset[str],
    ) -> None:
        self._source = source
        self._feed = feed
        self._api = api
        self._secret = secret
        self._redactor = redactor
        self._trusted = parse_origins(trusted_origins)
        self._tried_renewal = False
        self.warnings: list[str] = []

    def authorize(self, request: Request) -> Request:
        """Return ``request`` with the credentials that it needs."""
        self._secret.override(_session_tokens.get(self._key(request), {}))
        self._renew_if_due(request)
        return self._with_credentials(request)

    def forget_session(self, request: Request) -> bool:
        """Forget the session token of the request's origin, after the network has refused it; tell if there was one."""
        token = _session_tokens.pop(self._key(request), None)
        if token is None:
            return False
        self._secret.forget(token)
        self._tried_renewal = False
        return True

    def start_over(self) -> bool:
        """Read the secret again after the network has refused it; tell if it has changed."""
        changed = self._secret.reload()
        if changed:
            self._tried_renewal = False
            self.warnings.clear()
        return changed

    def _key(self, request: Request) -> tuple[str, str]:
        return self._secret.name, _url(request).origin

    def _with_credentials(self, request: Request) -> Request:
        authorized = self._source.authorize(request, self._secret)
        if authorized != request:
            self._check_origin(authorized)
        return authorized

    def _check_origin(self, request: Request) -> None:
        url = _url(request)
        if url.origin in self._trusted:
            return
        hosts = self._source.secret_hosts
        if url.scheme != "https" or (hosts is not None and url.authority not in hosts):
            raise BadFeedError(
                f"{self._feed.name}: its credentials are not sent to {url.origin}; to allow that, add this origin to"
                " TrustedOrigins"
            )

    def _renew_if_due(self, request: Request) -> None:
        now = datetime.now(UTC)
        renewal = self._source.renewal(request, self._secret, now)
        if renewal is None or self._tried_renewal:
            return
        self._tried_renewal = True
        if self._source.keeps_renewed:
            # Another worker may have renewed and saved the token since this one read it.
            self._secret.reload()
            renewal = self._source.renewal(request, self._secret, now)
            if renewal is None:
                return
        try:
            fields = self._renew(renewal, now)
        except ImagelakeError as error:
            if not self._source.keeps_renewed:
                raise
            self.warnings.append(f"{self._feed.name}: the token could not be renewed: {error}")
            return
        self._secret.override(fields)
        if self._source.keeps_renewed:
            self._save(fields)
        else:
            _session_tokens[self._key(request)] = fields

    def _renew(self, renewal: Request, now: datetime) -> Mapping[str, str]:
        try:
            response = self._api.send(self._with_credentials(renewal))
            # A success is not redacted: it has the token to store, which may be the same as the old one.
            if response.status >= 300:
                response = self._redactor.response(response, renewal)
            return self._source.renewed(self._feed, response, now)
        except SourceChangedError:
            # Drop the message and the cause: the response may hold a new token where we do not expect it.
            raise SourceChangedError(
                f"{self._feed.name}: the answer to its login is not one the network documents"
            ) from None
        except ImagelakeError as error:
            # Replace the message alone: a rate limit keeps its time.
            error.args = (self._redactor.text(str(error)),)
            raise

    def _save(self, fields: Mapping[str, str]) -> None:
        try:
            self._secret.save(fields)
        except ImagelakeError as error:
            # The old token still works, and the next run renews it again.
            self.warnings.append(f"{self._feed.name}: the renewed token could not be stored: {error}")


def _url(request: Request) -> Url:
    try:
        return Url.parse(request.url)
    except UrlRefusedError as error:
        raise as_feed_error(error) from error
