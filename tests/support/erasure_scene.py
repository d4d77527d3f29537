"""A person with markers in all places of a deployed stack: the runs before the erasure, and the markers to search."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

from local.deploy import STACK_NAME
from local.stream import put_records
from tests.support.deployed_stack import Stack
from tests.support.marker_search import Needles
from tests.support.wire.erased_person import ACCT, BOB, CAROL, DAN, DID, MARKERS, PERSON, ErasedPersonServer, image

BATCH_SIZE = 8


def run_before_erasure(stack: Stack, server: ErasedPersonServer) -> list[bytes]:
    """Read 40 posts of the person, with those of others between, in three feeds; return records for the stream."""
    account, cats, dogs = server.feeds
    photos = iter(range(100))

    def new(*, of_person: bool, name: str = "") -> str:
        seed = next(photos)
        name = name or f"{MARKERS['imageurl'] if of_person else 'photo'}-{seed}"
        server.images[name] = image(seed, of_person=of_person)
        return name

    def of_person(tag: str) -> None:
        server.hashtags[tag].append(server.mastodon_post(ACCT, new(of_person=True), tag=tag))

    def of_other(tag: str, author: str, name: str = "") -> None:
        server.hashtags[tag].append(server.mastodon_post(author, name or new(of_person=False), tag=tag))

    # The first run. The person owns these images, and others own theirs.
    for _ in range(13):
        server.account.append(server.bluesky_post(new(of_person=True)))
    server.account.append(server.bluesky_post(new(of_person=True), new(of_person=True)))
    server.account.append(server.bluesky_post())
    server.account.append(server.bluesky_post(new(of_person=True), label="!no-unauthenticated"))
    server.account.append(server.bluesky_post(f"{MARKERS['imageurl']}-forbidden"))
    server.images[f"{MARKERS['imageurl']}-page"] = f"<html>{MARKERS['bytes']}</html>".encode()
    server.account.append(server.bluesky_post(f"{MARKERS['imageurl']}-page"))
    for author in (BOB, CAROL, DAN):
        of_other("cats", author)
        of_person("cats")
        of_person("cats")
    of_other("cats", BOB, "bobs-own")
    server.images["bobs-own"] = image(90, of_person=False)
    of_other("cats", DAN, "dans-forbidden")
    execution = stack.run(feeds=[account, cats], batch_size=BATCH_SIZE, dt="2026-11-20", failure_tolerance_percent=50)
    assert execution["status"] == "SUCCEEDED", execution.get("cause")

    # The second run. Others show bytes of the person, and the person shows bytes of others; some only look alike.
    owned = server.account[0]["post"]["embed"]["images"][0]["fullsize"].rpartition("/")[2].removesuffix(".jpg")
    server.images["copy-of-person"] = server.images[owned]
    server.images["like-person"] = image(1, of_person=False, quality=60)
    server.images[f"{MARKERS['imageurl']}-copy"] = server.images["bobs-own"]
    server.images[f"{MARKERS['imageurl']}-like"] = image(90, of_person=True, quality=60)
    server.images["copy-of-bob"] = server.images["bobs-own"]
    server.account.append(server.bluesky_post(f"{MARKERS['imageurl']}-copy"))
    server.account.append(server.bluesky_post(f"{MARKERS['imageurl']}-like"))
    of_other("dogs", CAROL, "copy-of-person")
    of_other("dogs", CAROL, "like-person")
    of_other("dogs", CAROL, "copy-of-bob")
    for author in (BOB, CAROL, DAN):
        of_other("dogs", author)
        for _ in range(3):
            of_person("dogs")
    server.hashtags["dogs"].append(server.mastodon_post(ACCT, new(of_person=True), tag="dogs", visibility="unlisted"))
    execution = stack.run(feeds=[account, dogs], batch_size=BATCH_SIZE, dt="2026-11-21")
    assert execution["status"] == "SUCCEEDED", execution.get("cause")

    # The third run cannot map what it has written, so its batches stay open.
    for author in (BOB, CAROL):
        of_person("cats")
        of_other("cats", author)
    with without_policy(stack, "MapKeys"):
        execution = stack.run(feeds=[cats], batch_size=BATCH_SIZE, dt="2026-11-22")
        assert execution["status"] == "FAILED"
    assert stack.keys("open/")

    # A window of the stream, with a record that is no post; and records that Lambda gave up.
    records = stream_records(server, new)
    put_in_stream(stack, records)
    put_given_up(stack, records)
    return records


class without_policy:  # noqa: N801
    """A function loses its policy for the length of a ``with`` block."""

    def __init__(self, stack: Stack, function: str) -> None:
        self._iam = stack.engine.client("iam")
        resource = stack.engine.client("cloudformation").describe_stack_resource(
            StackName=STACK_NAME, LogicalResourceId=f"{function}FunctionRole"
        )
        self._role = resource["StackResourceDetail"]["PhysicalResourceId"]

    def __enter__(self) -> None:
        (self._name,) = self._iam.list_role_policies(RoleName=self._role)["PolicyNames"]
        found = self._iam.get_role_policy(RoleName=self._role, PolicyName=self._name)
        self._document = json.dumps(found["PolicyDocument"])
        self._iam.delete_role_policy(RoleName=self._role, PolicyName=self._name)

    def __exit__(self, *_: object) -> None:
        self._iam.put_role_policy(RoleName=self._role, PolicyName=self._name, PolicyDocument=self._document)


def stream_records(server: ErasedPersonServer, new: Any) -> list[bytes]:
    """Two posts of the person, one of them as the network has it, one of somebody else, and two that are no posts."""

    def of(author: str, number: int, name: str) -> dict[str, Any]:
        media = {"media_id": f"stream/{author}/{number}", "index": 0, "kind": "image", "url": server.photo(name)}
        words = MARKERS["caption"] if author == DID else "words"
        return {"post_id": str(number), "author_id": author, "posted_at": "2026-11-20T08:00:00Z", "text": words,
                "media": [media]}  # fmt: skip

    mine, theirs = of(DID, 1, new(of_person=True)), of("bob", 2, new(of_person=False))
    raw = server.bluesky_post(new(of_person=True))
    values: list[Any] = [
        {"schema": "imagelake.post/1", "post": mine},
        {"schema": "imagelake.raw/1", "source": "bluesky", "raw": raw},
        {"schema": "imagelake.post/1", "post": theirs},
        {"schema": "imagelake.post/1", "post": mine | {"posted_at": "never"}},
        {"schema": "imagelake.post/1", "post": theirs | {"posted_at": "never"}},
    ]
    return [json.dumps(value).encode() for value in values]


def put_in_stream(stack: Stack, records: list[bytes]) -> None:
    """Put records, and wait until the run that they start has ended."""
    others = stack.executions()
    put_records(stack.engine.client("kinesis"), stack.outputs["StreamName"], records)
    while True:
        runs = {name: status for name, status in stack.executions().items() if name not in others}
        if runs and "RUNNING" not in runs.values():
            assert {*runs.values()} == {"SUCCEEDED"}
            return
        time.sleep(0.1)


def put_given_up(stack: Stack, records: list[bytes]) -> None:
    """Store records as Lambda does: https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html."""
    payload = {
        "Records": [
            {"kinesis": {"sequenceNumber": str(number), "data": base64.b64encode(record).decode()}}
            for number, record in enumerate(records)
        ]
    }
    note = {"requestContext": {"condition": "RetryAttemptsExhausted"}, "payload": json.dumps(payload)}
    key = "aws/lambda/mapping/shardId-000000000000/2026/11/23/2026-11-23T01.02.03-1"
    stack.engine.client("s3").put_object(Bucket=stack.bucket, Key=key, Body=json.dumps(note).encode())


def posts_of_person(server: ErasedPersonServer) -> int:
    return sum(PERSON in json.dumps(post) for posts in (server.account, *server.hashtags.values()) for post in posts)


def is_person(row: dict[str, Any]) -> bool:
    return PERSON in (row["author_id"] or "")


def needles(stack: Stack) -> Needles:
    """The texts of the markers, and the thumbnails and hashes of images that nobody else shows or resembles."""
    rows = stack.rows()
    of_others = {row[name] for row in rows if not is_person(row) for name in ("phash", "thumbhash")}
    own = [row for row in rows if is_person(row) and not {row["phash"], row["thumbhash"], None} & of_others - {None}]
    own = [row for row in own if row["status"] == "ok"]
    assert len(own) > 20
    hashes = [row["phash"] for row in own]
    texts = {name: [marker.encode()] for name, marker in MARKERS.items()}
    return texts | {
        "phash": [str(value).encode() for value in hashes]
        + [value.to_bytes(8, order, signed=True) for value in hashes for order in ("little", "big")],
        "thumbnail": [row["thumbhash"].encode() for row in own] + [row["image"]["bytes"] for row in own],
        "sha256": [row["raw_sha256"].encode() for row in own],
    }
