"""What a network adapter is: a feed, a bookmark and a cursor become a request; a response becomes a page. No I/O.

The idea is that of the sans-I/O libraries (https://sans-io.readthedocs.io): only
``imagelake.accounts.session`` sends requests, so retries, timeouts, limits and redaction exist once, and an adapter is
tested with bytes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol, runtime_checkable

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from imagelake.run.errors import BadFeedError
from imagelake.run.posts import Post
from imagelake.sources.manifest import Manifest
from imagelake.web.messages import Request, Response

# Settings of a feed that only one network has.
_SETTINGS_OF = {"form": "x", "vocabulary": "x", "cost_cap_usd": "x", "window": "stream"}


class Feed(BaseModel):
    """What to read: one account or one hashtag of one network.

    ``server`` is the API's host (``mastodon.example``) or origin (``https://mastodon.example``) for networks that
    have many; for the others it replaces the public API. ``limit`` caps the posts read in one run.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")
    account: str | None = Field(default=None, min_length=1, max_length=500)
    hashtag: str | None = Field(default=None, min_length=1, max_length=256)
    server: str | None = Field(default=None, min_length=1, max_length=256)
    limit: PositiveInt | None = None
    form: Literal["search", "timeline"] | None = None
    vocabulary: Literal["post", "tweet"] | None = None
    cost_cap_usd: PositiveFloat | None = Field(default=None, allow_inf_nan=False)
    window: str | None = Field(default=None, pattern=r"^[a-zA-Z0-9_-]{1,80}$")

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        """Accept ``SOURCE:ACCOUNT``, ``SOURCE:#TAG``, ``SOURCE:SERVER#TAG``, ``SOURCE:SERVER@ACCOUNT``, ``rss:URL``."""
        if not isinstance(value, str):
            return value
        # An address is one word, whatever signs are in it: rss:https://server.example/@alice.rss
        if address := re.fullmatch(r"(rss):(https?://\S+)", value.strip()):
            return {"source": address[1], "account": address[2]}
        match = re.fullmatch(
            r"(?P<source>[a-z][a-z0-9_]*):(?:(?P<server>[^#@\s]+)?#(?P<hashtag>[^#@\s]+)"
            r"|(?P<server2>[^#@\s]+)@(?P<account2>[^#@\s]+)|(?P<account>[^#\s]+))",
            value.strip(),
        )
        if match is None:
            raise ValueError(f"{value!r} is not SOURCE:ACCOUNT, SOURCE:SERVER#TAG or SOURCE:SERVER@ACCOUNT")
        parts = match.groupdict()
        named = {
            "source": parts["source"],
            "server": parts["server"] or parts["server2"],
            "hashtag": parts["hashtag"],
            "account": parts["account"] or parts["account2"],
        }
        return {name: text for name, text in named.items() if text is not None}

    @field_validator("server")
    @classmethod
    def _lower(cls, value: str | None) -> str | None:
        # Host names have no case, and two spellings of one server are not two feeds.
        return value.lower().rstrip("/") if value is not None else None

    @model_validator(mode="after")
    def _one_target(self) -> Feed:
        if (self.account is None) == (self.hashtag is None):
            raise ValueError("a feed names either an account or a hashtag")
        return self

    @model_validator(mode="after")
    def _known_settings(self) -> Feed:
        for name, source in _SETTINGS_OF.items():
            if getattr(self, name) is not None and self.source != source:
                raise ValueError(f"{name} is a setting of {source} feeds only")
        return self

    @classmethod
    def of(cls, value: Any) -> Feed:
        """Build a feed from its short text form or a mapping; raise ``BadFeedError`` with a sentence."""
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            reason = first["msg"].removeprefix("Value error, ")
            raise BadFeedError(f"feed {str(value)[:120]!r}: {where + ': ' if where else ''}{reason}") from error

    @property
    def name(self) -> str:
        """The feed in its short text form, e.g. ``bluesky:alice.example`` or ``mastodon:server.example#cats``."""
        host = self.server or ""
        if self.hashtag is not None:
            return f"{self.source}:{host}#{self.hashtag}"
        return f"{self.source}:{host + '@' if host else ''}{self.account}"

    @property
    def feed_id(self) -> str:
        """A name that is safe in object keys and differs for every feed; the limit is not part of it."""
        slug = re.sub(r"[^a-z0-9.]+", "-", self.name.lower()).strip("-.")[:64]
        return f"{slug}-{hashlib.sha256(self.name.encode()).hexdigest()[:8]}"


class Bookmark(BaseModel):
    """What a feed has seen: the newest post's id and its place in the listing's time order."""

    model_config = ConfigDict(frozen=True)

    newest_id: str
    newest_at: AwareDatetime


@dataclass(frozen=True)
class RateLimit:
    """What a response says of the limit: calls left and when the window ends (aware), each ``None`` if not said."""

    remaining: int | None
    reset_at: datetime | None


@dataclass(frozen=True)
class Reject:
    """One entry of a page that is not a usable post: its id if it has one, why, and the entry as received."""

    post_id: str | None
    reason: str
    raw: Any = None


@dataclass(frozen=True)
class Page:
    """One page of a listing. ``cursor`` is ``None`` at the end; ``newest`` is the bookmark this page would leave.

    ``cost_usd`` is what the network bills for the page, in US dollars.
    """

    posts: list[Post]
    rejects: list[Reject]
    cursor: str | None
    rate: RateLimit | None = None
    newest: Bookmark | None = None
    cost_usd: float = 0.0


class Source(Protocol):
    """A network adapter."""

    name: str
    manifest: Manifest
    # The listing runs from new to old and cannot be asked to start at a bookmark, so ``fetch`` stops at the first
    # page that is wholly known.
    newest_first: bool
    # Hosts that serve this network's media (a suffix match on whole labels), or ``None`` where any host may.
    media_hosts: frozenset[str] | None

    def request(self, feed: Feed, bookmark: Bookmark | None, cursor: str | None) -> Request:
        """The request for the page at ``cursor``; raises ``BadFeedError`` if the feed lacks what this network needs."""
        ...

    def parse(self, feed: Feed, response: Response) -> Page:
        """The page in ``response``; raises nothing but leaves of ``imagelake.run.errors``, whatever the bytes."""
        ...


class Authorized:
    """What an adapter inherits if its requests can carry credentials; ``imagelake.accounts.session`` alone calls it.

    ``secret`` is the JSON object of the network's one secret. To touch a field it lacks raises ``CredentialsError``,
    so an adapter touches what it needs and asks ``secret.get`` for what is optional. Nothing here may put a value of
    it into an exception.
    """

    # Hosts of the network that may be sent its secret, by https only. ``None``: the secret itself is by host, and
    # ``authorize`` looks the request's host up in it. Origins that whoever runs this trusts may be sent it too.
    secret_hosts: frozenset[str] | None = None
    # Fields that name an account and open nothing; every other field's value is taken out of all that is kept.
    public_fields: frozenset[str] = frozenset()
    # What an exchange brought is written back to the secret; otherwise it stays in this worker's memory.
    keeps_renewed: bool = False

    def authorize(self, request: Request, secret: Mapping[str, str]) -> Request:
        """``request`` with the credentials it needs, or as it is if it needs none."""
        raise NotImplementedError

    def renewal(self, request: Request, secret: Mapping[str, str], now: datetime) -> Request | None:
        """The exchange to make before ``request`` is authorised, itself still without a secret, or ``None``."""
        return None

    def renewed(self, feed: Feed, response: Response, now: datetime) -> Mapping[str, str]:
        """The secret's fields that the answer to a ``renewal`` brings; raises only ``ImagelakeError``."""
        raise NotImplementedError


@runtime_checkable
class RefreshesUrls(Source, Protocol):
    """An adapter of a network whose addresses of pictures lapse, and which shows a post again for a fresh one."""

    def refresh_request(self, feed: Feed, posted_at: datetime) -> Request | None:
        """The request for a page with the posts of that second, ``None`` where the feed cannot be asked by time."""
        ...


@runtime_checkable
class Priced(Protocol):
    """An adapter of a network that bills what is read."""

    def price(self, request: Request) -> float:
        """The most that ``request`` can cost, in US dollars."""
        ...
