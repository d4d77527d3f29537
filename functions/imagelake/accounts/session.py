"""One feed's calls to its network: authorised at the last moment, and what comes back holds no secret."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from imagelake.accounts.api import Api, as_feed_error
from imagelake.accounts.redaction import without
from imagelake.accounts.secrets import Secret
from imagelake.run.errors import BadFeedError, CredentialsError, ImagelakeError, SourceChangedError
from imagelake.sources import Feed, Page, Source
from imagelake.sources.contract import Authorized
from imagelake.web.errors import UrlRefusedError
from imagelake.web.messages import Request, Response
from imagelake.web.urls import Url, parse_origins

# Time enough to put in a new token while the old one works.
WARN_BEFORE = timedelta(days=14)
_ENDS_AT = "_expires_at"

# What exchanges brought that nobody keeps, for the life of this worker: by secret and origin.
_brought: dict[tuple[str, str], Mapping[str, str]] = {}


class Session:
    """Sends a feed's requests; ``warnings`` says what somebody has to see to."""

    def __init__(
        self, source: Source, feed: Feed, api: Api, secret: Secret, trusted_origins: frozenset[str] = frozenset()
    ) -> None:
        self._source = source
        self._feed = feed
        self._api = api
        self._secret = secret
        self._trusted = parse_origins(trusted_origins)
        self._tried_renewal = False
        self._warnings: list[str] = []

    def read(self, request: Request) -> tuple[Response, Page]:
        """The answer and the page it holds; the answer's address is that of ``request``, which has no secret."""
        try:
            answer = self._api.send(self._authorised(request))
            response = self._clean(answer, self._api.address(request))
            return response, self._source.parse(self._feed, response)
        except CredentialsError as error:
            _brought.pop(self._place(request), None)
            if self._secret.touched and self._secret.remedy not in str(error):
                raise CredentialsError(f"{error}; put in a new one: {self._secret.remedy}") from None
            raise

    @property
    def warnings(self) -> list[str]:
        """What was found so far, and which of the tokens in use end soon."""
        return [*self._warnings, *self._endings()]

    @property
    def ends_at(self) -> datetime | None:
        """When the first of the tokens in use ends, ``None`` if none says so."""
        ends = [_time(text) for name, text in self._secret.touched.items() if name.endswith(_ENDS_AT)]
        return min((end for end in ends if end is not None), default=None)

    def _authorised(self, request: Request) -> Request:
        source = self._source
        if not isinstance(source, Authorized):
            return request
        self._secret.remember(_brought.get(self._place(request), {}))
        self._renew(source, request)
        return self._with_secret(source, request)

    def _with_secret(self, source: Authorized, request: Request) -> Request:
        authorised = source.authorize(request, self._secret)
        if authorised != request:
            self._check_origin(source, authorised)
        return authorised

    def _check_origin(self, source: Authorized, request: Request) -> None:
        url = _url(request)
        if url.origin in self._trusted:
            return
        known = source.secret_hosts is None or url.authority in source.secret_hosts
        if url.scheme != "https" or not known:
            raise BadFeedError(
                f"{self._feed.name}: its credentials are not sent to {url.origin};"
                " whoever trusts it adds it to TrustedOrigins"
            )

    def _renew(self, source: Authorized, request: Request) -> None:
        now = datetime.now(UTC)
        due = source.renewal(request, self._secret, now)
        if due is None or self._tried_renewal:
            return
        self._tried_renewal = True
        if source.keeps_renewed:
            # Another worker may have renewed and stored it since this one has read it.
            self._secret.read_again()
            due = source.renewal(request, self._secret, now)
            if due is None:
                return
        try:
            answer = self._api.send(self._with_secret(source, due))
            # Of a success nothing is taken out: it may bring the same token again.
            response = answer if answer.status < 300 else self._clean(answer, self._api.address(due))
            fields = source.renewed(self._feed, response, now)
        except ImagelakeError as error:
            error.args = (self._told(error),)
            if not source.keeps_renewed:
                raise
            self._warnings.append(f"{self._feed.name}: the token could not be renewed: {error}")
            return
        self._secret.remember(fields)
        if source.keeps_renewed:
            self._keep(fields)
        else:
            _brought[self._place(request)] = fields

    def _told(self, error: ImagelakeError) -> str:
        """What an exchange's error says; what came in place of a new token may be one."""
        if isinstance(error, SourceChangedError):
            return f"{self._feed.name}: the answer to its login is not one the network documents"
        return self._clean_text(str(error))

    def _keep(self, fields: Mapping[str, str]) -> None:
        try:
            self._secret.keep(fields)
        except ImagelakeError as error:
            # The old token works on, and the next run renews it again.
            self._warnings.append(f"{self._feed.name}: the renewed token could not be stored: {error}")

    def _endings(self) -> list[str]:
        limit = datetime.now(UTC) + WARN_BEFORE
        fields = self._secret.touched
        return [
            f"{self._feed.name}: {name.removesuffix(_ENDS_AT)} of the secret {self._secret.name} ends at"
            f" {fields[name]}; put in a new one: {self._secret.remedy}"
            for name in sorted(fields)
            if name.endswith(_ENDS_AT) and _ends_before(fields[name], limit)
        ]

    def _clean(self, answer: Response, url: str) -> Response:
        headers = {name: self._clean_text(value) for name, value in answer.headers.items()}
        return Response(answer.status, headers, without(self._values(), answer.body), url)

    def _clean_text(self, text: str) -> str:
        return without(self._values(), text.encode("utf-8", "replace")).decode("utf-8")

    def _values(self) -> list[str]:
        source = self._source
        return self._secret.known_values(source.public_fields) if isinstance(source, Authorized) else []

    def _place(self, request: Request) -> tuple[str, str]:
        return self._secret.name, _url(request).origin


def _url(request: Request) -> Url:
    try:
        return Url.parse(request.url)
    except UrlRefusedError as error:
        raise as_feed_error(error) from error


def _ends_before(text: str, limit: datetime) -> bool:
    ends_at = _time(text)
    return ends_at is None or ends_at < limit


def _time(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
