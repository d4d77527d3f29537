"""Posts and their media items, in one form for all networks."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import AwareDatetime, Field, NonNegativeInt, PositiveInt

from imagelake.run.frozen_model import FrozenModel

# Only images are downloaded; media items of other kinds are skipped, with the kind as the reason.
MediaKind = Literal["image", "video", "animation", "audio", "unknown"]
# No media id starts so, because the media index names raw images so.
RAW_IMAGE_ID = "sha256/"


class Media(FrozenModel):
    """One attachment of a post: an image, a video or something else.

    ``media_id`` is unique across networks and stable across runs. ``width`` and ``height`` are in pixels, as the
    network states them. ``expires_at`` is the time at which ``url`` stops working. ``skip_reason`` is set if the
    network gives no access to an image; reasons are counted, so there are few different ones.
    """

    media_id: str = Field(min_length=1, max_length=1024)
    index: NonNegativeInt
    kind: MediaKind
    url: str | None
    alt_text: str | None = None
    width: PositiveInt | None = None
    height: PositiveInt | None = None
    expires_at: AwareDatetime | None = None
    skip_reason: str | None = None


class Post(FrozenModel):
    """One post with its media items in order; ``license`` is ``None`` if the network states none."""

    post_id: str = Field(min_length=1)
    # The author id is the key of an index in DynamoDB, which has at most 2048 bytes.
    author_id: str = Field(min_length=1, max_length=512)
    author_name: str | None = None
    permalink: str | None = None
    posted_at: AwareDatetime
    text: str = ""
    tags: list[str] = Field(default_factory=list)
    sensitive: bool = False
    license: str | None = None
    media: list[Media] = Field(default_factory=list)


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
