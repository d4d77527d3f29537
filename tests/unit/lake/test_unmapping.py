"""The last steps of an erasure in the media index, each on a condition."""

from __future__ import annotations

import pytest

from imagelake.lake.unmapping import Unmapping
from imagelake.run.errors import StorageUnavailableError
from tests.support.fake_lake import IMAGE_KEYS, Lake


@pytest.fixture
def unmapping(lake: Lake) -> Unmapping:
    lake.media_index.own({"ab": "x/1"})
    return Unmapping(IMAGE_KEYS)


def owner_and_state(lake: Lake) -> tuple[str, str]:
    entry = lake.owners()["ab"]
    return entry["owner"], entry["state"]


def test_image_whose_owner_is_being_erased_gets_no_duplicate(lake: Lake, unmapping: Unmapping) -> None:
    assert unmapping.mark_erasing({"ab": "x/1", "cd": "x/2"}) == 1
    assert unmapping.mark_erasing({"ab": "x/1"}) == 0
    for media_id in ("x/3", "x/1"):
        with pytest.raises(StorageUnavailableError, match="is being erased"):
            lake.media_index.own({"ab": media_id})
    assert owner_and_state(lake) == ("x/1", "erasing")


def test_promotion_ends_it(lake: Lake, unmapping: Unmapping) -> None:
    unmapping.mark_erasing({"ab": "x/1"})
    assert lake.media_index.own({"ab": "x/3"}, instead_of={"ab": "x/1"}) == {"ab": "x/3"}
    assert owner_and_state(lake) == ("x/3", "held")


def test_image_is_free_when_its_owner_is_gone(lake: Lake, unmapping: Unmapping) -> None:
    unmapping.mark_erasing({"ab": "x/1"})
    assert unmapping.delete(lake.media_index.get_many(["sha256/ab"]).values()) == 1
    assert lake.media_index.own({"ab": "x/3"}) == {"ab": "x/3"}


def test_image_is_handed_over_once(lake: Lake, unmapping: Unmapping) -> None:
    unmapping.mark_erasing({"ab": "x/1"})
    assert unmapping.hand_over({"ab": "x/2"}, {"ab": "x/1"}) == 1
    assert unmapping.hand_over({"ab": "x/3"}, {"ab": "x/1"}) == 0
    assert owner_and_state(lake) == ("x/2", "rejected")


def test_owner_that_has_changed_is_not_marked(lake: Lake, unmapping: Unmapping) -> None:
    assert unmapping.mark_erasing({"ab": "x/2"}) == 0
    assert owner_and_state(lake) == ("x/1", "held")


def test_entry_that_has_changed_is_not_deleted(lake: Lake, unmapping: Unmapping) -> None:
    lake.media_index.claim(["x/1", "x/2"], "b1")
    read = lake.mapping()
    lake.media_index.complete([{"media_id": "x/1", "batch_id": "b1", "status": "ok"}])
    assert unmapping.delete(read.values()) == 1
    assert list(lake.mapping()) == ["x/1"]
    assert unmapping.delete(read.values()) == 0
