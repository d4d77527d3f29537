"""A feed, which is the source of posts that a run reads, and its bookmark, which is the newest post read so far."""

from __future__ import annotations

import hashlib
import re
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AwareDatetime,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from imagelake.run.errors import BadFeedError
from imagelake.run.feed_names import title
from imagelake.run.frozen_model import FrozenModel
from imagelake.run.image_option_models import ImageOptionChanges, refuse_impossible_sizes
from imagelake.run.models import MAX_POSTS_PER_FEED
from imagelake.run.sentences import faults, show
from imagelake.sources.identity import identity, short_name, usual_name

_TEXT = re.compile(
    r"(?P<source>[a-z][a-z0-9_]*):(?:(?:(?P<server>[^#@\s]+)?#|\uff03)(?P<hashtag>[^#@\s]+)"
    r"|(?P<account_server>[^#@\s]+)@(?P<server_account>[^#@\s]+)|(?P<account>[^#\s]+))"
)
FORMS = "SOURCE:ACCOUNT, SOURCE:SERVER#TAG or SOURCE:SERVER@ACCOUNT, such as bluesky:nasa.gov"
# The state of a run holds the id in the bookmark.
MAX_BOOKMARK = 4_096
# Halves of a character, which cannot be encoded.
_SURROGATE = re.compile("[\ud800-\udfff]")

_Usd = Annotated[PositiveFloat, Field(allow_inf_nan=False, strict=True)]

_SOURCE = re.compile(r"[a-z][a-z0-9_]{0,31}")
_WINDOW = re.compile(r"[a-zA-Z0-9_-]{1,80}")


class Feed(ImageOptionChanges):
    """One account or one hashtag of one network.

    ``server`` is a host name (``mastodon.example``) or an origin (``https://mastodon.example``), for networks that have
    many servers. For other networks it replaces the server of the public API. ``limit`` is the largest number of posts
    to read in one run. With ``since``, a day such as 2025-01-01, a run reads no new posts but older ones than the
    bookmark, back to the start of that day in UTC. A feed may have image options of its own.
    """

    model_config = ConfigDict(extra="forbid")

    source: str
    account: str | None = Field(default=None, min_length=1, max_length=500)
    hashtag: str | None = Field(default=None, min_length=1, max_length=256)
    server: str | None = Field(default=None, min_length=1, max_length=256)
    limit: Annotated[PositiveInt, Field(le=MAX_POSTS_PER_FEED, strict=True)] | None = None
    since: str | None = None

    # Each setting below belongs to one network; the manifest of that network lists and explains it.
    form: Literal["search", "timeline"] | None = None
    vocabulary: Literal["post", "tweet"] | None = None
    cost_cap_usd: _Usd | None = None
    budget_usd_per_day: _Usd | None = None
    budget_usd_per_month: _Usd | None = None
    window: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        """Accept ``SOURCE:ACCOUNT``, ``SOURCE:#TAG``, ``SOURCE:SERVER#TAG`` and ``SOURCE:SERVER@ACCOUNT``."""
        if not isinstance(value, str):
            if isinstance(value, (dict, Feed)):
                return value
            raise ValueError("write a feed as text, such as bluesky:alice.example, or as an object")
        match = _TEXT.fullmatch(value.strip())
        if match is None:
            raise ValueError(f"it is not of the form {FORMS}")
        parts = match.groupdict()
        fields = {
            "source": parts["source"],
            "server": parts["server"] or parts["account_server"],
            "hashtag": parts["hashtag"],
            "account": parts["account"] or parts["server_account"],
        }
        return {name: text for name, text in fields.items() if text is not None}

    @field_validator("account", "hashtag", "server", mode="before")
    @classmethod
    def _refuse_half_characters(cls, value: Any) -> Any:
        if isinstance(value, str) and _SURROGATE.search(value):
            raise ValueError("it has half of a Unicode character")
        return value

    @field_validator("source")
    @classmethod
    def _name_of_network(cls, value: str) -> str:
        if not _SOURCE.fullmatch(value):
            raise ValueError(f"it has to be the name of a network, such as bluesky, not {show(value)}")
        return value

    @field_validator("account", "hashtag", "server")
    @classmethod
    def _without_blanks(cls, value: str | None) -> str | None:
        if value is not None and value != value.strip():
            raise ValueError("it must not have a space at its start or end")
        return value

    @field_validator("since")
    @classmethod
    def _real_day(cls, value: str | None) -> str | None:
        try:
            # No network is older than the Unix time.
            if value is None or (date.fromisoformat(value).isoformat() == value and value >= "1970"):
                return value
        except ValueError:
            pass
        raise ValueError(f"it has to be a day such as 2025-01-31, in 1970 at the earliest, not {show(value)}")

    @field_validator("window")
    @classmethod
    def _name_of_window(cls, value: str | None) -> str | None:
        if value is not None and not _WINDOW.fullmatch(value):
            raise ValueError("it has to be the name of a staged window: 1 to 80 letters, digits, - and _")
        return value

    @field_validator("server")
    @classmethod
    def _normalize_server(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not all(map(str.strip, value.removesuffix(",").split(","))):
            raise ValueError("it has a comma without the name of a server in front of it")
        # Different spellings of one server have to be the same feed. The lower case of a whole word would end with
        # another sigma in Greek.
        return "".join(map(str.lower, value)).rstrip("/")

    @model_validator(mode="after")
    def _one_target(self) -> Feed:
        if (self.account is None) == (self.hashtag is None):
            raise ValueError("a feed names either an account or a hashtag")
        return self

    @model_validator(mode="after")
    def _possible_sizes(self) -> Feed:
        refuse_impossible_sizes(self.min_image_size, self.max_image_area)
        return self

    @classmethod
    def of(cls, value: Any) -> Feed:
        """Build a feed from its short text form or from a mapping; raise ``BadFeedError`` if it is wrong."""
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            field, fault = next(faults(error, cls))
            raise BadFeedError(f"{title(value)}: {field + ': ' if field else ''}{fault}") from None

    @property
    def name(self) -> str:
        """The feed in its short text form, such as ``bluesky:alice.example`` or ``mastodon:server.example#cats``."""
        return short_name(self.source, self.server, self.account, self.hashtag)

    @property
    def feed_id(self) -> str:
        """The feed's id: unique, safe in object keys, the same with all options, and without the name of anybody."""
        return self._id_of(usual_name(self.source, self.server, self.account, self.hashtag))

    @property
    def budget_id(self) -> str:
        """The id of the feed's budgets: the same for all spellings, such as ``x:NASA`` and ``x:nasa``."""
        return self._id_of(self.identity)

    def _id_of(self, name: str) -> str:
        return f"{self.source}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"

    @property
    def identity(self) -> str:
        """A text that all spellings of the feed have in common, also those that have different ids."""
        return identity(self.source, self.server, self.account, self.hashtag)


class Bookmark(FrozenModel):
    """The newest post that earlier runs have read: its id, and the time by which the network sorts its posts."""

    newest_id: str = Field(max_length=MAX_BOOKMARK)
    newest_at: AwareDatetime

    def is_before(self, other: Bookmark) -> bool:
        """Tell if ``other`` is newer; of two posts with the same time, the one with the higher number is newer."""
        return self._order < other._order

    @property
    def _order(self) -> tuple[datetime, int, str]:
        return self.newest_at, len(self.newest_id), self.newest_id
