"""Posts and their media items, in one form for all networks."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, NonNegativeInt, PositiveInt, model_validator

from imagelake.run.frozen_model import FrozenModel
from imagelake.run.masking import mask_url, mask_users

# Only images are downloaded; media items of other kinds are skipped, with the kind as the reason.
MediaKind = Literal["image", "video", "animation", "audio", "unknown"]
# No media id starts so, because the media index names raw images so.
RAW_IMAGE_ID = "sha256/"

# Limits of every network; docs/limits.md has them all. A post above one is a reject, except for a long media id.
MAX_MEDIA_ID_BYTES = 512
MAX_POST_ID_BYTES = 2048
# A longer author id is a mistake: it is in every row of the author.
MAX_AUTHOR_ID = 512
MAX_SKIP_REASON = 200
MAX_MEDIA = 1000
# The texts of a post are in the row of each of its images, so they count once for each media item.
MAX_POST_BYTES = 10_000_000

# Characters that programs drop or read as an end, and those that cannot be encoded.
NOT_IN_ID = re.compile("^\\s|\\s$|[\0-\x1f\x7f-\x9f\ud800-\udfff]")
_HALF = re.compile("[\ud800-\udfff]")
_PREFIX = re.compile(r"[a-z][a-z0-9_-]{0,31}(?=/)")


def _short_media_id(value: Any) -> Any:
    """Return a media id as it is, or ``<network>/sha256-<hex>`` if it is long or has unusual characters.

    So every media id fits into a key of DynamoDB, and the rows and the tables have the same one.
    """
    if not isinstance(value, str):
        return value
    value = mask_users(value)
    data = value.encode("utf-8", "surrogatepass")
    if len(data) <= MAX_MEDIA_ID_BYTES and not NOT_IN_ID.search(value):
        return value
    prefix = _PREFIX.match(value)
    return f"{prefix[0] if prefix else 'media'}/sha256-{hashlib.sha256(data).hexdigest()}"


def _refuse_half_characters(text: str) -> str:
    if _HALF.search(text):
        raise ValueError("it has half of a character (a lone surrogate)")
    return text


def _check_post_id(text: str) -> str:
    if len(text.encode()) > MAX_POST_ID_BYTES:
        raise ValueError(f"longer than {MAX_POST_ID_BYTES:,} bytes")
    return text


# Text that can be written as UTF-8.
Text = Annotated[str, AfterValidator(_refuse_half_characters)]
# A page is masked before it is decoded, and its texts are masked again after that: the decoder has resolved escapes.
MaskedText = Annotated[Text, AfterValidator(mask_users)]
MaskedUrl = Annotated[str, AfterValidator(mask_url)]
MediaId = Annotated[str, BeforeValidator(_short_media_id)]


class Media(FrozenModel):
    """One attachment of a post: an image, a video or something else.

    ``media_id`` is unique across networks and stable across runs. ``width`` and ``height`` are in pixels, as the
    network states them. ``expires_at`` is the time at which ``url`` stops working. ``skip_reason`` is set if the
    network gives no access to an image; reasons are counted, so there are few different ones.
    """

    media_id: MediaId = Field(min_length=1)
    index: NonNegativeInt
    kind: MediaKind
    url: MaskedUrl | None
    alt_text: MaskedText | None = None
    width: PositiveInt | None = None
    height: PositiveInt | None = None
    expires_at: AwareDatetime | None = None
    skip_reason: str | None = Field(default=None, max_length=MAX_SKIP_REASON)


class Post(FrozenModel):
    """One post with its media items in order; ``license`` is ``None`` if the network states none."""

    post_id: Annotated[MaskedText, Field(min_length=1), AfterValidator(_check_post_id)]
    author_id: str = Field(min_length=1, max_length=MAX_AUTHOR_ID)
    author_name: MaskedText | None = None
    permalink: Annotated[MaskedUrl, AfterValidator(_refuse_half_characters)] | None = None
    posted_at: AwareDatetime
    text: MaskedText = ""
    tags: list[Text] = Field(default_factory=list)
    sensitive: bool = False
    license: Text | None = None
    media: list[Media] = Field(default_factory=list)

    @model_validator(mode="after")
    def _check_limits(self) -> Post:
        count = len(self.media)
        if count > MAX_MEDIA:
            raise ValueError(f"media: {count:,} media items, more than {MAX_MEDIA:,}")
        # The media items themselves are part of a response, which has at most 10 MB.
        if count * _size(self, exclude={"media"}) > MAX_POST_BYTES:
            raise ValueError(f"the texts, once for each media item, have more than {MAX_POST_BYTES:,} bytes")
        return self


class Item(FrozenModel):
    """One planned media item; its fields are named like the columns of its row."""

    media_id: str
    source: str
    feed: str
    post_id: str
    media_index: int
    author_id: str
    author_name: str | None
    permalink: str | None
    media_url: str
    posted_at: datetime
    caption: str
    alt_text: str | None
    tags: list[str]
    license: str | None
    sensitive: bool
    expires_at: datetime | None

    @classmethod
    def of(cls, source: str, feed: str, post: Post, media: Media) -> Item:
        """Combine a post and one of its images; ``media.url`` must be set."""
        assert media.url is not None
        return cls(
            media_id=media.media_id,
            source=source,
            feed=feed,
            post_id=post.post_id,
            media_index=media.index,
            author_id=post.author_id,
            author_name=post.author_name,
            permalink=post.permalink,
            media_url=media.url,
            posted_at=post.posted_at,
            caption=post.text,
            alt_text=media.alt_text,
            tags=post.tags,
            license=post.license,
            sensitive=post.sensitive,
            expires_at=media.expires_at,
        )


def _size(model: FrozenModel, **options: Any) -> int:
    """Return the size of a model as JSON, in bytes."""
    return len(model.__pydantic_serializer__.to_json(model, **options))


def authors_in(source: str, post_id: str) -> tuple[str, ...]:
    """Return the author's id that an id of a post has in it, as those of Bluesky and Facebook do."""
    if post_id.startswith("at://"):
        return (post_id.split("/")[2],)
    return (post_id.partition("_")[0],) if source == "facebook" and "_" in post_id else ()
