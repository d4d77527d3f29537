"""Two accounts that share a picture, with every kind of end that a picture can come to, on a server that counts."""

from __future__ import annotations

import io
import pickle
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from PIL import Image

import fetch.feed_reader
import validate.app
from imagelake.lake.suppression import suppressions
from imagelake.run.posts import Post
from imagelake.sources import Bookmark, Feed
from imagelake.web.messages import Request
from tests.support.crashing_decoder import breaking
from tests.support.factories import NOON, media, post
from tests.support.fake_lake import BUCKET, Lake, aws_in_memory
from tests.support.fake_network import Network, page
from tests.support.private_parts import stored_in_memory
from tests.support.web_server import Answer, WebServer
from transform.near_duplicates import hash_log_cache

FEEDS = ["bluesky:alice.example", "bluesky:bob.example"]
DAY, NEXT_DAY = "2026-04-02", "2026-04-03"


class Accounts(Network):
    """``Network`` with pages of its own for each account."""

    def request(self, feed: Feed, bookmark: Bookmark | None, cursor: str | None) -> Request:
        return Request(f"{self._website.origin}/{feed.account}/page/{cursor or 0}")


class World:
    """``expected`` is the status of every media item that has been posted so far."""

    def __init__(self, website: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
        self._website = website
        self.expected: dict[str, str] = {}
        network = Accounts(website)
        for module in (fetch.feed_reader, validate.app):
            monkeypatch.setattr(module, "get_source", lambda name: network)
        shared = self._picture("shared", "ok", photo(1))
        self._posts: dict[str, list[Post]] = {
            "alice.example": [
                self._picture("a1", "ok", photo(2)),
                self.lose(),
                shared,
                self._picture("a3", "ok", photo(3)),
            ],
            "bob.example": [
                shared,
                self._picture("b1", "duplicate", photo(2)),
                self._picture("b2", "rejected", b"<html>not here</html>"),
                # Looks like a1, to the log of hashes too.
                self._picture("b3", "ok", photo(2, quality=50)),
            ],
        }
        self._publish()

    def a_day_passes(self) -> None:
        """Alice posts one more picture."""
        self._posts["alice.example"].insert(0, self._picture("a4", "ok", photo(4), days=1))
        self._publish()

    def lose(self) -> Post:
        """Alice's second picture is gone."""
        return self._picture("a2", "failed", Answer(b"gone", 404))

    def break_decoder(self, how: str) -> None:
        """Alice posts one more picture, which breaks its decoder."""
        self._posts["alice.example"].insert(1, self._picture("a5", "rejected", breaking(photo(5), how)))
        self._publish()

    def restore(self) -> None:
        """The lost image is there again, and looks like one that alice has posted already."""
        self._picture("a2", "ok", photo(3, quality=50))

    def repost(self, account: str, by: str) -> None:
        """Put every post of an account into the listing of another one, too."""
        self._posts[by] += [one for one in self._posts[account] if one not in self._posts[by]]
        self._publish()

    def expire(self) -> None:
        """No image can be downloaded any more."""
        for path in self._website.answers:
            if path.startswith("/media/"):
                self._website.put(path, Answer(b"expired", 410))

    def downloads(self) -> list[str]:
        """The paths of the images that were requested."""
        return [path for path in self._website.asked if path.startswith("/media/")]

    def _picture(self, name: str, status: str, answer: bytes | Answer, days: int = 0) -> Post:
        url = self._website.put(f"/media/{name}.jpg", answer)
        attached = media(name, url=url)
        self.expected[attached.media_id] = status
        minutes = timedelta(days=days, minutes=-len(self.expected))
        return post(name, attached, posted_at=NOON + minutes)

    def _publish(self) -> None:
        for account, posts in self._posts.items():
            self._website.put(f"/{account}/page/0", page(*posts))


def photo(seed: int, quality: int = 90) -> bytes:
    """A picture of its own for each seed, with enough in it to be compared."""
    coarse = Image.frombytes("RGB", (9, 9), random.Random(seed).randbytes(3 * 81))
    out = io.BytesIO()
    coarse.resize((72, 72), Image.Resampling.BICUBIC).save(out, "JPEG", quality=quality)
    return out.getvalue()


@dataclass(frozen=True)
class Stored:
    """All that a lake held at one moment; two are equal if they hold the same objects and items."""

    contents: str
    state: bytes = field(compare=False, repr=False)


@contextmanager
def new_lake(begin_with: Stored | None = None) -> Iterator[Lake]:
    """An empty lake, or one that holds what another held."""
    with aws_in_memory():
        forget()
        lake = Lake()
        if begin_with is not None:
            restore(begin_with)
        yield lake


def restore(begin_with: Stored) -> None:
    """Let the lake hold what another held."""
    for backend, state in zip(stored_in_memory(), pickle.loads(begin_with.state), strict=True):
        vars(backend).update(state)


def stored(last: Stored | None = None) -> Stored:
    """Copy the contents of the lake, unless it still holds what it held at ``last``.

    They are read from moto itself, which is faster than calls of AWS.
    """
    s3, dynamodb = stored_in_memory()
    keys = s3.buckets[BUCKET].keys
    # A delete marker has no ETag.
    objects = [
        (key, [(one.etag, sorted(one.metadata.items())) if hasattr(one, "etag") else None for one in keys.getlist(key)])
        for key in sorted(keys)
    ]
    tables = {name: sorted(map(repr, table.all_items())) for name, table in dynamodb.tables.items()}
    contents = repr((objects, tables))
    return last if last and last.contents == contents else Stored(contents, pickle.dumps([vars(s3), vars(dynamodb)]))


def forget() -> None:
    """Drop the state that a process loses when it dies."""
    hash_log_cache.cache_clear()
    suppressions.cache_clear()
