"""Two accounts whose images, posts and batches are mixed in every way, so that an erasure of one meets the other."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import erase_pages.app
import fetch.feed_reader
import map_keys.app
import validate.app
from imagelake.run.aws import client
from imagelake.run.posts import Post
from tests.reliability.audit import problems, unbalanced
from tests.reliability.erasing import Execution
from tests.reliability.pipeline import execute
from tests.reliability.world import Accounts, Stored, new_lake, photo
from tests.support.factories import NOON, media, post
from tests.support.fake_lake import BUCKET, Lake
from tests.support.fake_network import page
from tests.support.private_parts import contents_in_memory
from tests.support.web_server import Answer, WebServer

ALICE, BOB = "did:plc:alice", "did:plc:bob"
# Each account's feed has posts of both authors.
FEEDS = ["bluesky:alice.example", "bluesky:bob.example"]
DAYS = ["2026-04-01", "2026-04-02", "2026-04-03", "2026-04-04", "2026-04-05", "2026-04-06"]
OPTIONS = {"batch_size": 3, "failure_tolerance_percent": 80}
# Items of the other author with bytes that this one's items own.
_COPIES = {
    ALICE: {"bluesky/bob/b-copy/0", "bluesky/bob/b-copy2/0"},
    BOB: {"bluesky/alice/a-copy/0", "bluesky/alice/a-open-copy/0"},
}
LOST = Answer(b"gone", 404)
_TIMES = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)|execution:Erasure:[\w-]+|executions/details/[\w:-]+")


class Killed(BaseException):
    """Stands for the end of a process."""


class ErasedWorld:
    """``authors`` are the authors of all media items posted so far, ``statuses`` the statuses of their rows."""

    def __init__(self, website: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
        self._website = website
        self._monkeypatch = monkeypatch
        self._listings: dict[str, list[Post]] = {feed.partition(":")[2]: [] for feed in FEEDS}
        self._number = 0
        self.authors: dict[str, str] = {}
        self.statuses: dict[str, str] = {}
        network = Accounts(website)
        for module in (fetch.feed_reader, validate.app, erase_pages.app):
            monkeypatch.setattr(module, "get_source", lambda name: network)

    def post(self, account: str, name: str, author: str, status: str, answer: bytes | Answer) -> str:
        """Post an image; return its media id. The last letter of an author's id is in no other author's items."""
        person = author.rpartition(":")[2]
        url = self._website.put(f"/media/{person}-{name}.jpg", answer)
        attached = media(name, media_id=f"bluesky/{person}/{name}/0", url=url)
        self._number += 1
        one = post(
            name,
            attached,
            author_id=author,
            author_name=person,
            text=f"words of {person}",
            posted_at=NOON.replace(minute=self._number),
        )
        self._listings[f"{account}.example"].append(one)
        self._website.put(f"/{account}.example/page/0", page(*reversed(self._listings[f"{account}.example"])))
        self.authors[attached.media_id], self.statuses[attached.media_id] = author, status
        return attached.media_id

    def downloads(self) -> list[str]:
        """The paths of the images that were requested."""
        return [path for path in self._website.asked if path.startswith("/media/")]

    def erased_with(self, author: str) -> set[str]:
        """Return the items of an author, and those of the other one that show the author's images."""
        return {one for one, its_author in self.authors.items() if its_author == author} | _COPIES[author]

    def fill(self, lake: Lake) -> None:
        """Let some days pass. At the end, one batch of each feed is open."""
        self.post("alice", "a1", ALICE, "ok", photo(1))
        self.post("alice", "lost", ALICE, "ok", LOST)
        self.post("alice", "page", ALICE, "rejected", b"<html>not here</html>")
        self.post("alice", "a2", ALICE, "ok", photo(2))
        self.post("bob", "b1", BOB, "ok", photo(11))
        self.post("bob", "gone", BOB, "failed", LOST)
        self.post("bob", "page", BOB, "rejected", b"<html>not there</html>")
        self.post("bob", "a-guest", ALICE, "ok", photo(3))
        execute(lake, "run-1", FEEDS, dt=DAYS[0], **OPTIONS)
        # A retry makes one of the rows again.
        self._website.put("/media/alice-lost.jpg", photo(4))
        retried = {"run_id": "run-1", "error_codes": ["not_found"]}
        execute(lake, "retry-1", FEEDS, dt=DAYS[1], retry=retried)
        # Each shows bytes of the other, and images that look like the other's.
        self.post("alice", "a-copy", ALICE, "duplicate", photo(11))
        self.post("alice", "a-like", ALICE, "ok", photo(11, quality=50))
        self.post("alice", "a-gone", ALICE, "failed", LOST)
        self.post("bob", "b-copy", BOB, "duplicate", photo(1))
        self.post("bob", "b-like", BOB, "ok", photo(1, quality=50))
        self.post("bob", "b-copy2", BOB, "duplicate", photo(1))
        execute(lake, "run-2", FEEDS, dt=DAYS[2], **OPTIONS)
        # The next run dies after the file of its first batch; the batches of the other feed are not begun.
        self.post("alice", "a-open", ALICE, "ok", photo(5))
        self.post("alice", "b-guest", BOB, "ok", photo(12))
        self.post("alice", "a-open-copy", ALICE, "duplicate", photo(12))
        self.post("bob", "a-planned", ALICE, "ok", photo(6))
        self.post("bob", "b-planned", BOB, "ok", photo(13))
        with self._monkeypatch.context() as patched:
            patched.setattr(map_keys.app, "handler", _killed)
            with pytest.raises(Killed):
                execute(lake, "run-3", FEEDS, dt=DAYS[3], **OPTIONS)


def _killed(*_: object) -> None:
    raise Killed


@contextmanager
def lake_of(state: Stored | None = None) -> Iterator[Lake]:
    """A lake with what the stack has beside it: versions, the secret, the state machine of the pipeline."""
    with new_lake(state) as lake:
        client("s3").put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        client("secretsmanager").create_secret(Name="suppression-key", SecretString="a key")
        definition = json.dumps({"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}})
        role = "arn:aws:iam::123456789012:role/ImagePipeline"
        for machine in ("ImagePipeline", "Rebuild"):
            client("stepfunctions").create_state_machine(name=machine, definition=definition, roleArn=role)
        yield lake


def request(**erase: Any) -> dict[str, Any]:
    return {"erase": erase, "reason": "author_request", "reference": "ticket 17"}


def of_author(author: str) -> dict[str, Any]:
    return request(authors=[{"source": "bluesky", "author_id": author}])


def erase(
    lake: Lake, what: dict[str, Any], name: str = "erasure-1", wait: Callable[[], object] = lambda: None
) -> Execution:
    return Execution(lake, name, what).run(wait)


def contents() -> dict[str, Any]:
    """Every version of every object, and all items of the tables, without what each try counts or dates."""
    objects, tables = contents_in_memory(BUCKET)
    found: dict[str, Any] = {key: [_timeless(key, one) for one in versions] for key, versions in objects.items()}
    for name, items in tables.items():
        found[name] = sorted(repr(_uncounted(item)) for item in items)
    return found


def _timeless(key: str, version: Any) -> Any:
    if not key.startswith("erasures/") or version is None:
        return version
    body, metadata = version
    return _TIMES.sub("TIME", body.decode()), metadata


def _uncounted(item: dict[str, Any]) -> dict[str, Any]:
    # The version of the suppression list, its dates, and the generation of the hash log.
    return {name: value for name, value in item.items() if name not in ("number", "since", "generation")}


def wrong(lake: Lake, world: ErasedWorld, erased: set[str], *, name: str = "run-9") -> list[str]:
    """Let one more run close the open batches; list what the audit finds, and what is left of erased items."""
    execute(lake, name, FEEDS, dt=DAYS[5], **OPTIONS)
    expected = {media_id: status for media_id, status in world.statuses.items() if media_id not in erased}
    found = [f"left in {place}" for place in places_of(erased)]
    return [*found, *problems(lake, expected, is_erased=True), *unbalanced(lake, name)]


def places_of(media_ids: set[str]) -> list[str]:
    """The objects, in any version, and the items of tables that have one of these ids; pages are unpacked."""
    words = [one.encode() for one in media_ids]
    objects, tables = contents_in_memory(BUCKET)
    named = {
        key: b"".join(_unpacked(key, version[0]) for version in versions if version)
        for key, versions in objects.items()
    } | {name: repr(items).encode() for name, items in tables.items()}
    return [place for place, data in named.items() if any(word in data for word in words)]


def _unpacked(key: str, body: bytes) -> bytes:
    return gzip.decompress(body) if key.endswith(".gz") else body
