"""Fetch: the bookmark at which the reading stops, and the one that it leaves."""

from __future__ import annotations

from datetime import timedelta, timezone
from typing import Any

import pytest
from botocore.exceptions import ClientError

import fetch.pager
from imagelake.run.aws import client
from imagelake.run.errors import StorageUnavailableError
from imagelake.sources import Page
from tests.support.factories import ENTRY, NOON, post
from tests.support.fake_lake import BOOKMARKS, Lake
from tests.support.fake_network import Network, page
from tests.support.fetching import EARLIER, LATER, read

pytestmark = pytest.mark.usefixtures("pauses")


@pytest.mark.parametrize(("overlap", "pages"), [(0, 2), (1, 2), (2, 3), (3, 4), (9, 5)])
def test_overlap_is_read_behind_the_bookmark(lake: Lake, network: Network, overlap: int, pages: int) -> None:
    network.overlap = overlap
    lake.put_bookmark(ENTRY.feed_id, "seen", "2026-04-01T12:00:00.000000Z")
    new, *old = (
        page(post("new", posted_at=LATER), cursor="1"),
        *(page(post(f"old {number}", posted_at=EARLIER), cursor=f"{number + 1}") for number in range(1, 4)),
    )
    network.put_pages(new, *old, page(post("oldest", posted_at=EARLIER)))
    answer = read()
    assert (answer["pages"], answer["read_again"], answer["newest_id"]) == (pages, pages - 1, "new")


def test_listing_from_the_bookmark_that_ends_without_a_new_post_says_so(
    lake: Lake, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise each run would read the same known posts and end as if there were no others."""
    monkeypatch.setattr(fetch.pager, "MAX_PAGES", 2)
    network.newest_first = False
    cursors = iter("123")
    monkeypatch.setattr(network, "parse", lambda *_: Page([post("known")], [], next(cursors), positions=[]))
    lake.put_bookmark(ENTRY.feed_id, "seen", "2026-04-01T12:00:00.000000Z")
    network.put_pages(b"", b"")
    answer = read()
    assert (answer["pages"], answer["stopped_by"], answer["newest_at"]) == (2, "pages", "")


def test_known_page_does_not_end_the_reading_inside_a_post(lake: Lake, network: Network) -> None:
    """Another post of that page can be new."""
    lake.put_bookmark(ENTRY.feed_id, "seen", "2027-01-01T12:00:00.000000Z")
    network.put_pages(page(post("one"), cursor="1", is_unfinished=True), page(post("one"), continues_posts=True))
    assert read()["pages"] == 2


def test_known_page_with_an_unfinished_post_ends_the_reading_behind_that_post(lake: Lake, network: Network) -> None:
    """The first run has not read the posts behind that page, so they would become new rows."""
    lake.put_bookmark(ENTRY.feed_id, "seen", "2027-01-01T12:00:00.000000Z")
    network.put_pages(
        page(post("one"), cursor="1", is_unfinished=True),
        page(post("one"), cursor="2", is_unfinished=True, continues_posts=True),
        page(post("one"), cursor="3", continues_posts=True),
        page(post("never read")),
    )
    answer = read()
    assert (answer["status"], answer["pages"], answer["posts"], answer["read_again"]) == ("done", 3, 1, 1)


def test_bookmark_when_a_page_is_wholly_known(lake: Lake, network: Network) -> None:
    lake.put_bookmark(ENTRY.feed_id, "seen", "2026-04-01T12:00:00.000000Z")
    network.put_pages(
        page(post("new", posted_at=LATER), post("seen"), cursor="1"),
        page(post("old", posted_at=EARLIER), cursor="2"),
        page(post("oldest", posted_at=EARLIER)),
    )
    answer = read()
    assert (answer["status"], answer["stopped_by"], answer["pages"], answer["newest_id"]) == ("done", None, 2, "new")


def test_bookmark_when_the_newest_post_of_a_page_is_the_one_it_names(lake: Lake, network: Network) -> None:
    lake.put_bookmark(ENTRY.feed_id, "seen", "2026-04-01T12:00:00.000000Z")
    network.put_pages(page(post("seen"), cursor="1"), page(post("old", posted_at=EARLIER)))
    assert read()["pages"] == 1


def test_page_without_posts_does_not_end_the_reading(lake: Lake, network: Network) -> None:
    lake.put_bookmark(ENTRY.feed_id, "seen", "2026-04-01T12:00:00.000000Z")
    network.put_pages(page(cursor="1"), page(post("new", posted_at=LATER)))
    answer = read()
    assert (answer["pages"], answer["newest_id"]) == (2, "new")


def test_newest_post_is_the_first_of_those_at_the_same_time(lake: Lake, network: Network) -> None:
    network.put_pages(page(post("first"), cursor="1"), page(post("second")))
    assert read()["newest_id"] == "first"


def test_time_of_the_newest_post_is_in_utc(lake: Lake, network: Network) -> None:
    network.put_pages(page(post("one", posted_at=NOON.astimezone(timezone(timedelta(hours=2))))))
    assert read()["newest_at"] == "2026-04-01T12:00:00.000000Z"


def test_bookmark_when_the_listing_starts_there_itself(lake: Lake, network: Network) -> None:
    network.newest_first = False
    lake.put_bookmark(ENTRY.feed_id, "seen", "2026-04-01T12:00:00.000000Z")
    network.put_pages(page(post("late", posted_at=EARLIER), cursor="1"), page(post("new", posted_at=LATER)))
    assert read()["pages"] == 2


def test_bookmark_is_the_one_that_was_written_last(
    lake: Lake, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    get_item = client("dynamodb").get_item

    def stale(*, ConsistentRead: bool = False, **key: Any) -> Any:  # noqa: N803
        return get_item(**key) if ConsistentRead else {}

    lake.put_bookmark(ENTRY.feed_id, "seen", "2026-04-01T12:00:00.000000Z")
    network.put_pages(page(post("seen"), cursor="1"), page(post("old", posted_at=EARLIER)))
    monkeypatch.setattr(client("dynamodb"), "get_item", stale)
    assert read()["pages"] == 1


def test_error_is_transient_when_the_bookmark_cannot_be_read(
    lake: Lake, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    def throttled(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "slow down"}}, "GetItem")

    monkeypatch.setattr(client("dynamodb"), "get_item", throttled)
    with pytest.raises(StorageUnavailableError, match=BOOKMARKS):
        read()


def test_bookmark_without_a_time(lake: Lake, network: Network) -> None:
    lake.put_bookmark(ENTRY.feed_id, "", "")
    network.put_pages(page(post("one"), cursor="1"), page(post("two")))
    assert read()["pages"] == 2
