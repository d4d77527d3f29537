"""The list of what must not come back: authors, posts, media items and images that were erased.

The table has keyed hashes and no names. Their key is a secret, so nobody without it can test who is on the list. Each
worker keeps the list, and reads it again after the version item has changed.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import unquote_plus

from imagelake.run.aws import THREADS, aws_errors, client
from imagelake.run.posts import Item, Post, authors_in

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

# Partitions of the table: all hashes, and one item with the version.
_HASHES = "hashes"
# Takes the place of an erased id where a text is needed.
ERASED = "erased"
# A text that can be an ordinary word or number of the pipeline or of a network, such as "failed" or 404.
_PLAIN = re.compile(r"[A-Za-z]*|\d{1,4}")
_PARTS_OF_CURSORS = re.compile("[/?&=,;| ]")
# Keys in the JSON of the networks under which such a text is the id of an author nevertheless.
_AUTHOR_KEYS = frozenset({"author_id", "did", "id", "user", "username"})
_VERSION_ITEM: Mapping[str, AttributeValueTypeDef] = {"list": {"S": "version"}, "entry": {"S": "version"}}


class NoPost(Protocol):
    """An entry of a page that is no post: its id, if it has one, the entry as JSON, and its known authors."""

    @property
    def post_id(self) -> str | None: ...
    @property
    def raw(self) -> Any: ...
    @property
    def author_ids(self) -> tuple[str, ...]: ...


class SuppressionList(NamedTuple):
    """The hashes on the list, and their key."""

    key: bytes = b""
    hashes: frozenset[str] = frozenset()

    def has_author(self, source: str, author_id: str) -> bool:
        """Tell if everything of an author is suppressed."""
        return self._has("author", source, author_id)

    def has_post(self, source: str, author_id: str, post_id: str) -> bool:
        """Tell if a post is suppressed; an author's id is part of it, because a stream has posts of many networks."""
        return self._has("post", source, author_id, post_id)

    def has_media(self, media_id: str) -> bool:
        """Tell if a media item is suppressed, with or without the whole post."""
        return self._has("media", media_id) or self._has("item", media_id)

    def has_image(self, sha256: str | None) -> bool:
        """Tell if an image is suppressed, by the SHA-256 of its bytes."""
        return sha256 is not None and self._has("image", sha256)

    def has_feed(self, feed_id: str) -> bool:
        """Tell if a feed is that of a suppressed author alone, so that its name is the author's."""
        return self._has("feed", feed_id)

    def has_account(self, feed_id: str, author_id: str) -> bool:
        """Tell if a feed had posts of this author alone when the first of them was erased."""
        return self._has("account", feed_id, author_id)

    def has_post_id(self, source: str, post_id: str) -> bool:
        """Tell if an id of a post has the id of a suppressed author in it, as those of Bluesky and Facebook do."""
        return any(
            self.has_author(source, one) or self.has_post(source, one, post_id) for one in authors_in(source, post_id)
        )

    def without_id(self, source: str, newest: dict[str, str]) -> dict[str, str]:
        """Take an id that names a suppressed author from a bookmark; on these networks, only its time counts."""
        return newest | {"newest_id": ERASED} if self.has_post_id(source, newest.get("newest_id", "")) else newest

    def has_cursor(self, feed_id: str, cursor: str) -> bool:
        """Tell if the cursor of a backfill is of a suppressed author's own feed, or has an id of such an author.

        Nobody can read the cursors of most networks. Those of Facebook have ids of posts and authors.
        """
        # The id of a feed begins with its network.
        source = feed_id.partition("-")[0]
        return self.has_feed(feed_id) or any(
            self.has_author(source, one) or self.has_post_id(source, one)
            for one in _PARTS_OF_CURSORS.split(unquote_plus(cursor))
        )

    def covers_item(self, item: Item | Mapping[str, Any]) -> bool:
        """Tell if a planned item or a row is suppressed; an erased row without ids is not."""
        values = item if isinstance(item, Mapping) else vars(item)
        if not self.hashes or values["media_id"] is None:
            return False
        source, author_id, media_id = values["source"], values["author_id"], values["media_id"]
        return (
            self.has_author(source, author_id)
            or self.has_post(source, author_id, values["post_id"])
            or self.has_media(media_id)
            or self.has_image(values.get("raw_sha256"))
        )

    def covers(self, source: str, entry: Post | NoPost) -> bool:
        """Tell if an entry of a page is suppressed."""
        if not self.hashes:
            return False
        return self._covers_post(source, entry) if isinstance(entry, Post) else self._names_listed(source, entry)

    def _covers_post(self, source: str, post: Post) -> bool:
        """Tell if a post is suppressed, as a whole even if only one of its media items is named or is a copy.

        The items of an erased post block no other post: some networks let people show the media items of others.
        """
        return (
            self.has_author(source, post.author_id)
            or self.has_post(source, post.author_id, post.post_id)
            or any(self._has("media", media.media_id) for media in post.media)
        )

    def _names_listed(self, source: str, entry: NoPost) -> bool:
        """Tell if an author or a text of an entry is a suppressed author or media item, or with its id such a post."""
        return any(
            self.has_author(source, text)
            or self.has_media(text)
            or (entry.post_id is not None and self.has_post(source, text, entry.post_id))
            for text in {*entry.author_ids, *authors_in(source, entry.post_id or ""), *_texts(entry.raw)}
        )

    def _has(self, *parts: str) -> bool:
        return bool(self.hashes) and hash_of(self.key, *parts) in self.hashes


class Suppressions:
    """The table and its key; raises only ``StorageDeniedError`` and ``StorageUnavailableError``."""

    def __init__(self, table: str, secret: str) -> None:
        self._table = table
        self._secret = secret
        self._version = 0
        self._list = SuppressionList()

    def read(self) -> SuppressionList:
        """Return the list as it is now."""
        # The version comes first: if the list changes after this, the next call reads it again.
        version = self._read_version()
        if version != self._version:
            self._list = SuppressionList(read_key(self._secret), frozenset(self._read_hashes()))
            self._version = version
        return self._list

    def keyed_hash(self, *parts: str) -> str:
        """Hash a text that must not be stored."""
        return hash_of(read_key(self._secret), *parts)

    def add(self, names: Iterable[tuple[str, ...]], **facts: str) -> int:
        """Put names on the list, each a kind and its ids, with facts such as the reason; a listed name keeps its facts.

        Every call of a worker that begins after this has them. Returns their number.
        """
        key = read_key(self._secret)
        with ThreadPoolExecutor(THREADS) as pool:
            # Take every result: an error is raised only then.
            added = len(list(pool.map(lambda name: self._put(hash_of(key, *name), facts), names)))
        # The version comes last: a worker that has read it then reads all of these hashes.
        with aws_errors(self._table):
            client("dynamodb").update_item(
                TableName=self._table,
                Key=_VERSION_ITEM,
                UpdateExpression="ADD #number :one",
                ExpressionAttributeNames={"#number": "number"},
                ExpressionAttributeValues={":one": {"N": "1"}},
            )
        return added

    def _put(self, entry: str, facts: Mapping[str, str]) -> None:
        values = {"list": _HASHES, "entry": entry, **facts}
        dynamodb = client("dynamodb")
        with aws_errors(self._table), suppress(dynamodb.exceptions.ConditionalCheckFailedException):
            dynamodb.put_item(
                TableName=self._table,
                Item={name: {"S": value} for name, value in values.items()},
                ConditionExpression="attribute_not_exists(erasure)",
            )

    def _read_version(self) -> int:
        with aws_errors(self._table):
            item = client("dynamodb").get_item(
                TableName=self._table,
                Key=_VERSION_ITEM,
                ConsistentRead=True,
            )
        return int(item["Item"]["number"]["N"]) if "Item" in item else 0

    def _read_hashes(self) -> Iterator[str]:
        with aws_errors(self._table):
            pages = (
                client("dynamodb")
                .get_paginator("query")
                .paginate(
                    TableName=self._table,
                    KeyConditionExpression="#list = :hashes",
                    ExpressionAttributeNames={"#list": "list"},
                    ExpressionAttributeValues={":hashes": {"S": _HASHES}},
                    ConsistentRead=True,
                )
            )
            for page in pages:
                yield from (item["entry"]["S"] for item in page["Items"])


@cache
def suppressions(table: str, secret: str) -> Suppressions:
    """Return the list of a table, one per worker."""
    return Suppressions(table, secret)


def read_key(secret: str) -> bytes:
    """Read the key of the hashes."""
    with aws_errors("the key of the suppression list"):
        return client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"].encode()


def hash_of(key: bytes, *parts: str) -> str:
    """Hash the kind and the ids of what is suppressed."""
    # As JSON, two lists of parts never give the same text.
    return hmac.new(key, json.dumps(parts).encode(), hashlib.sha256).hexdigest()


def is_plain(text: str) -> bool:
    """Tell if a text can be an ordinary word or number, so that an equal id of an author says nothing about it."""
    return _PLAIN.fullmatch(text) is not None


def _texts(raw: Any, key: str = "") -> Iterator[str]:
    """Yield every text and whole number inside a value of JSON that can be an id."""
    if isinstance(raw, str | int):
        if key in _AUTHOR_KEYS or not is_plain(str(raw)):
            yield str(raw)
    elif isinstance(raw, dict):
        for name, value in raw.items():
            yield from _texts(value, name)
    elif isinstance(raw, list):
        for value in raw:
            yield from _texts(value, key)
