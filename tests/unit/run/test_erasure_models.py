"""The request to erase: each fault names its field in one sentence, and no message repeats a value."""

from __future__ import annotations

from typing import Any

import pytest

from imagelake.run.erasure_models import MAX_ENTRIES, ErasureReason, ErasureRequest
from imagelake.run.errors import BadInputError

ALICE = {"source": "bluesky", "author_id": "did:plc:alice"}
POST = {**ALICE, "post_id": "at://did:plc:alice/app.bsky.feed.post/3k"}
SHA256 = "ab" * 32
REASONS = ", ".join(f"'{reason}'" for reason in [*ErasureReason][:-1])


def request(**erase: Any) -> dict[str, Any]:
    return {"erase": erase, "reason": "author_request", "reference": "ticket 17"}


def refusal(value: Any) -> str:
    with pytest.raises(BadInputError) as caught:
        ErasureRequest.read(value)
    assert "alice" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("reason", ErasureReason)
def test_request_names_what_the_list_hashes(reason: ErasureReason) -> None:
    value = request(authors=[ALICE], posts=[POST], media_ids=["x/3_1"], sha256=[SHA256]) | {"reason": str(reason)}
    read = ErasureRequest.read(value)
    assert (read.reason, read.dry_run, read.erase.near_duplicates) == (reason, False, False)
    assert [*read.erase.names] == [
        ("author", "bluesky", "did:plc:alice"),
        ("post", "bluesky", "did:plc:alice", "at://did:plc:alice/app.bsky.feed.post/3k"),
        ("media", "x/3_1"),
        ("image", SHA256),
    ]


@pytest.mark.parametrize("text", ["AB" * 32, "aB" * 32, "0123456789ABCDEF" * 4])
def test_sha256_in_capital_letters_is_the_same_image(text: str) -> None:
    # Get-FileHash of PowerShell prints capital letters, sha256sum prints small ones.
    assert ErasureRequest.read(request(sha256=[text])) == ErasureRequest.read(request(sha256=[text.lower()]))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (request(), "erase: name at least one of authors, posts, media_ids and sha256"),
        (request(authors=[{"source": "bluesky"}]), "erase.authors.0.author_id: it is missing"),
        (request(authors=["bluesky:alice"]), "erase.authors.0: it has to be an object"),
        (request(authors=[{**ALICE, "source": "Bluesky"}]), "erase.authors.0.source: it has characters that are not"),
        (request(authors=[{**ALICE, "author_id": " alice"}]), "erase.authors.0.author_id: it begins or ends with a"),
        (request(authors=[{**ALICE, "author_id": 7}]), "erase.authors.0.author_id: it has to be text"),
        (request(authors=[ALICE] * (MAX_ENTRIES + 1)), "erase.authors: it has to have at most 100 entries"),
        (request(author=[ALICE]), "erase.author: there is no such field; did you mean authors?"),
        (request(posts=[ALICE]), "erase.posts.0.post_id: it is missing"),
        (request(posts=[{**POST, "post_id": ""}]), "erase.posts.0.post_id: it must not be empty"),
        (request(media_ids=[""]), "erase.media_ids.0: it must not be empty"),
        (request(media_ids="x/1"), "erase.media_ids: it has to be a list"),
        (request(sha256=["alice"]), "erase.sha256.0: it has to be 64 hexadecimal digits"),
        (request(sha256=["a" * 63]), "erase.sha256.0: it has to be 64 hexadecimal digits"),
        (request(sha256=["a" * 64 + "\n"]), "erase.sha256.0: "),
        (request(sha256=["g" * 64]), "erase.sha256.0: it has to be 64 hexadecimal digits"),
        (request(authors=[ALICE], near_duplicates="yes"), "erase.near_duplicates: it has to be true or false"),
        (request(authors=[ALICE]) | {"reason": "alice asked"}, "reason: it has to be 'author_request', 'opt_out', "),
        (request(authors=[ALICE]) | {"reference": ""}, "reference: it must not be empty"),
        (request(authors=[ALICE]) | {"reference": "alice" * 50}, "reference: it has to have at most 200 characters"),
        (request(authors=[ALICE]) | {"dry_run": 1}, "dry_run: it has to be true or false"),
        (request(authors=[ALICE]) | {"dryrun": True}, "dryrun: there is no such field; did you mean dry_run?"),
        ({"erase": {"authors": [ALICE]}}, "reason: it is missing; reference: it is missing"),
        ({}, "erase: it is missing; reason: it is missing; reference: it is missing"),
        ([], "it has to be an object"),
        (None, "it has to be an object"),
        # A name of a field can be an id in the wrong place.
        ({"erase": {"did:plc:alice": 1}}, "erase.a name of a field: there is no such field; the fields are authors, "),
        (request(authors=[{**ALICE, "alice.example": "x"}]), "erase.authors.0.a name of a field: there is no such"),
        (request(authors=[ALICE]) | {"alice\n": "x"}, "a name of a field: there is no such field"),
        ({"erase": {"did:plc:alice": "a\n"}}, "erase.a name of a field: there is no such field"),
        (request(media_ids=["x/\ud800"]), "erase.media_ids.0: "),
        (request(media_ids=["x/\n"]), "erase.media_ids.0: "),
    ],
)
def test_fault_names_its_field(value: Any, message: str) -> None:
    assert refusal(value).startswith(f"erasure request: {message}")


@pytest.mark.parametrize("length", [1, 1_000, 1_001, 2_048])
def test_every_id_of_a_post_in_the_dataset_can_be_requested(length: int) -> None:
    """docs/limits.md has the longest ids."""
    post = {"source": "stream", "author_id": "a" * min(length, 512), "post_id": "p" * length}
    assert ErasureRequest.read(request(posts=[post])).erase.posts[0].post_id == "p" * length
    if length == 2_048:
        assert "erase.posts.0.post_id: it has to have at most 2,048" in refusal(
            request(posts=[{**post, "post_id": "p" * 2_049}])
        )
