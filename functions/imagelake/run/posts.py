"""A post and its media, the same for every network."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt

# What a media item is. Only ``image`` is downloaded; the others are kept as skipped, with their kind as the reason.
MediaKind = Literal["image", "video", "animation", "audio", "unknown"]


class Media(BaseModel):
    """One picture, video or other attachment of a post.

    ``media_id`` is unique across networks and stable across runs. ``width`` and ``height`` are what the network
    claims, in pixels, or ``None``. ``expires_at`` is when ``url`` stops working, or ``None`` if it does not say.
    ``skip_reason`` is why it cannot be had where its kind does not tell; the reasons are counted, so they are few.
    """

    model_config = ConfigDict(frozen=True)

    media_id: str = Field(min_length=1, max_length=1024)
    index: NonNegativeInt
    kind: MediaKind
    url: str | None
    alt_text: str | None = None
    width: PositiveInt | None = None
    height: PositiveInt | None = None
    expires_at: AwareDatetime | None = None
    skip_reason: str | None = None


class Post(BaseModel):
    """One post with its media in order. ``license`` is ``None`` where the network states none."""

    model_config = ConfigDict(frozen=True)

    post_id: str = Field(min_length=1)
    # An index key of DynamoDB ends at 2048 bytes.
    author_id: str = Field(min_length=1, max_length=512)
    author_name: str | None = None
    permalink: str | None = None
    posted_at: AwareDatetime
    text: str = ""
    tags: list[str] = []
    sensitive: bool = False
    license: str | None = None
    media: list[Media] = []


class Item(BaseModel):
    """One media item as planned: everything a batch needs to know of it, in the words of the row contract."""

    model_config = ConfigDict(frozen=True)

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
        """Join a post and one of its images; ``media.url`` must be set."""
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
