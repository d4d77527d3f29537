"""Check Erasure: the same request is the same erasure, and a wrong one names its field and nobody."""

from __future__ import annotations

from typing import Any

import pytest

from imagelake.lake import object_keys
from imagelake.run.erasure_models import ErasureRequest
from imagelake.run.errors import BadInputError
from tests.support.erasure_steps import ALICE, BOB, SHA256, check, name, prepare
from tests.support.fake_lake import Lake


@pytest.fixture(autouse=True)
def stack(lake: Lake) -> None:
    prepare(lake)


def test_request_is_stored_and_only_its_id_goes_on(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    erasure = check(authors=[name(ALICE)], media_ids=["bluesky/alice/1"], near_duplicates=True)
    assert len(erasure["erasure_id"]) == 20
    assert (erasure["reason"], erasure["reference"], erasure["dry_run"]) == ("author_request", "ticket 17", False)
    stored = lake.bucket.get_model(object_keys.erasure_request(erasure["erasure_id"]), ErasureRequest)
    assert stored.erase.authors[0].author_id == ALICE
    assert stored.erase.near_duplicates
    assert "alice" not in capsys.readouterr().out + repr(erasure)


@pytest.mark.parametrize(
    "same",
    [
        {"posts": [name(BOB, post_id="2"), name(ALICE, post_id="1")]},
        {"posts": [name(ALICE, post_id="1"), name(BOB, post_id="2"), name(ALICE, post_id="1")]},
    ],
)
def test_order_and_repeats_do_not_matter(lake: Lake, same: dict[str, Any]) -> None:
    first = check(posts=[name(ALICE, post_id="1"), name(BOB, post_id="2")])
    assert check("another-execution", **same)["erasure_id"] == first["erasure_id"]


@pytest.mark.parametrize(
    "other",
    [
        {"authors": [{"source": "mastodon", "author_id": ALICE}]},
        {"authors": [name(BOB)]},
        {"authors": [name(ALICE)], "near_duplicates": True},
        {"media_ids": [ALICE]},
        {"posts": [name(ALICE, post_id=ALICE)]},
        {"sha256": [SHA256]},
    ],
)
def test_other_request_is_another_erasure(lake: Lake, other: dict[str, Any]) -> None:
    assert check(**other)["erasure_id"] != check(authors=[name(ALICE)])["erasure_id"]


def test_dry_run_has_objects_of_its_own(lake: Lake) -> None:
    """It deletes them at its end, while the erasure itself may be running."""
    erasure, dry_run = check(authors=[name(ALICE)]), check(authors=[name(ALICE)], dry_run=True)
    assert dry_run["erasure_id"] == f"{erasure['erasure_id']}-dry-run"
    assert not object_keys.erasure_request(dry_run["erasure_id"]).startswith(
        object_keys.erasure_prefix(erasure["erasure_id"])
    )


def test_id_needs_the_key(lake: Lake) -> None:
    before = check(authors=[name(ALICE)])["erasure_id"]
    lake.change_suppression_key("another key")
    assert check(authors=[name(ALICE)])["erasure_id"] != before


def test_every_network_of_the_dataset_is_accepted(lake: Lake) -> None:
    check(authors=[{"source": source, "author_id": "1"} for source in ("stream", "rss", "x", "commons")])


@pytest.mark.parametrize(
    ("erase", "fields"),
    [
        ({"authors": [name(ALICE), {"source": "twitter", "author_id": ALICE}]}, "erase.authors.1.source"),
        ({"posts": [{"source": "blue_sky", "author_id": ALICE, "post_id": "1"}]}, "erase.posts.0.source"),
        (
            {"authors": [{"source": "secretnet", "author_id": "1"}], "posts": [name(BOB, post_id="1")] * 2
             + [{"source": "secretnet", "author_id": "1", "post_id": "2"}]},
            "erase.authors.0.source, erase.posts.2.source",
        ),
    ],
)  # fmt: skip
def test_unknown_network_is_named_by_its_field(lake: Lake, erase: dict[str, Any], fields: str) -> None:
    with pytest.raises(BadInputError) as caught:
        check(**erase)
    assert str(caught.value) == (
        f"erasure request: {fields}: not a network; the networks are "
        "bluesky, commons, facebook, instagram, mastodon, rss, stream, x"
    )
    assert lake.bucket.list("work/erasures/") == []


@pytest.mark.parametrize("erase", [{}, {"authors": [{"source": "bluesky"}]}, {"authors": [name(" alice ")]}, {"x": 1}])
def test_wrong_request_stores_nothing(lake: Lake, erase: dict[str, Any]) -> None:
    with pytest.raises(BadInputError, match="erasure request: ") as caught:
        check(**erase)
    assert "alice" not in str(caught.value)
    assert lake.bucket.list("work/erasures/") == []
