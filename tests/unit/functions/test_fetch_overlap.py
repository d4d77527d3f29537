"""Fetch: late and backdated posts, and limits that known posts do not use up, for every network."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagelake.sources import SOURCES, get_source, parse_feed
from tests.support.json_mutations import FIXED
from tests.support.listings import LISTINGS, Entry, Reading
from tests.support.sample import pairs

FEW = settings(FIXED, max_examples=FIXED.max_examples // 10)
every_listing = pytest.mark.parametrize("feed", LISTINGS)
FORWARD = ["mastodon:server.example#cats", "commons:Cats"]


def reading(feed: str, *places: int, limit: int = 1_000) -> Reading:
    return Reading(LISTINGS[feed](parse_feed(feed), [Entry(place) for place in places]), limit)


def names(*places: int) -> set[str]:
    return {Entry(place).name for place in places}


def add(runs: Reading, *places: int) -> None:
    runs.listing.entries += [Entry(place) for place in places]


def test_every_network_with_an_overlap_has_a_listing_and_bills_no_posts() -> None:
    networks = {name for name, source in SOURCES.items() if source.overlap}
    assert networks <= {parse_feed(feed).source for feed in LISTINGS}, "add it to tests/support/listings.py"
    assert [name for name in networks if SOURCES[name].manifest.post_usd is not None] == []


@pytest.mark.slow
@every_listing
@FEW
@given(data=st.data())
def test_posts_inserted_within_the_overlap_are_read_by_the_next_run(feed: str, data: st.DataObject) -> None:
    """The networks insert posts by the time that their authors state; see the notes in docs/networks.md."""
    old, new = data.draw(st.integers(1, 130)), data.draw(st.integers(0, 130))
    runs = reading(feed, *range(1_000, 1_000 + 10 * old, 10))
    assert len(runs.run()) == old
    overlap = get_source(runs.listing.feed.source).overlap
    # The posts that are inserted also count as posts behind the bookmark.
    late = data.draw(st.sets(st.integers(0, min(old, overlap // 2) - 1), max_size=overlap // 2))
    last = 1_000 + 10 * (old - 1)
    # A place is inserted right before the post that is so many posts behind the bookmark.
    inserted = [last - 10 * behind - 5 for behind in late]
    following = [last + 10 * number for number in range(1, new + 1)]
    add(runs, *inserted, *following)
    assert runs.run() == names(*inserted, *following)
    assert runs.progress.stopped_by is None
    assert runs.run() == set(), "an overlap costs no rows"


@pytest.mark.slow
@every_listing
@FEW
@given(data=st.data())
def test_limit_is_not_used_up_by_known_posts(feed: str, data: st.DataObject) -> None:
    """A run reads at most its limit of new posts, and finishes its last page; every new post is read some day."""
    limit, old = data.draw(st.integers(1, 60)), data.draw(st.integers(1, 60))
    runs = reading(feed, *range(1_000, 1_000 + 10 * old, 10), limit=limit)
    runs.run()
    place = 1_000 + 10 * old
    for new in data.draw(st.lists(st.integers(0, limit), max_size=4)):
        following = [place + 10 * number for number in range(new)]
        place += 10 * new
        add(runs, *following)
        read = runs.run()
        assert names(*following) <= read
        assert runs.progress.stopped_by is None
        # A page with new and with known posts can end behind the first run.
        page = runs.listing.page_size if feed.startswith("rss") else min(limit, runs.listing.page_size)
        assert len(read - names(*following)) < page


@every_listing
def test_one_new_post_a_day_with_a_limit_of_one_is_read_each_day(feed: str) -> None:
    runs = reading(feed, 1_000, limit=1)
    read = [runs.run()]
    for day in range(1, 5):
        add(runs, 1_000 + 86_400 * day)
        read.append(runs.run())
        assert runs.progress.stopped_by is None
    assert read == [names(1_000 + 86_400 * day) for day in range(5)]


@every_listing
def test_first_run_that_ends_at_its_limit_leaves_older_posts_unread(feed: str) -> None:
    runs = reading(feed, *range(1_000, 3_000, 10), limit=40)
    first = runs.run()
    assert 40 <= len(first) < 80
    assert [runs.run() for _ in range(3)] == [set()] * 3


@pytest.mark.slow
@pytest.mark.parametrize(("feed", "new"), pairs(LISTINGS, [1, 9, 24, 35, 99, 260]))
def test_posts_with_the_time_of_the_bookmark_are_read_however_many_they_are(feed: str, new: int) -> None:
    """A feed with dates alone gives one time to all entries of a day (full-date of RFC 3339), and an import one second.

    The bookmark's post is the last of its time, so the pages of the next run begin with the new posts.
    """
    runs = reading(feed, *range(1_000, 3_000, 10))
    runs.run()
    last = runs.listing.newest_first[0].place
    added = [Entry(last, number) for number in range(1, new + 1)]
    runs.listing.entries += added
    assert {entry.name for entry in added} <= runs.run()
    assert runs.progress.warnings == []
    later = [Entry(last, number) for number in range(new + 1, 2 * new + 1)]
    runs.listing.entries += [*later, Entry(last + 10)]
    assert {entry.name for entry in [*later, Entry(last + 10)]} <= runs.run()
    assert runs.run() == set()


BY_TIME = ["bluesky:alice.example", "facebook:NASA", "instagram:me", "rss:https://example.org/"]


@pytest.mark.parametrize("feed", BY_TIME)
def test_posts_with_the_time_of_the_bookmark_end_at_the_limit_with_a_warning(feed: str) -> None:
    runs = reading(feed, 1_000, limit=50)
    runs.run()
    assert runs.run() == set()
    assert runs.progress.warnings == []
    runs.listing.entries += [Entry(1_000, number) for number in range(1, 300)]
    assert 25 <= len(runs.run()) <= 60
    assert runs.progress.warnings == [
        f"{feed}: more posts than the limit have the time of the bookmark; some may not be read"
    ]
    assert runs.progress.stopped_by is None


@pytest.mark.parametrize("feed", FORWARD)
@FEW
@given(limit=st.integers(1, 50), new=st.integers(0, 200))
def test_posts_beyond_the_limit_are_read_by_the_next_runs(feed: str, limit: int, new: int) -> None:
    runs = reading(feed, 1_000, limit=limit)
    runs.run()
    following = [1_010 + 10 * number for number in range(new)]
    add(runs, *following)
    read = [runs.run() for _ in range(new // limit + 1)]
    assert set().union(*read) == names(*following)
    assert max(map(len, read)) < 2 * limit


@pytest.mark.slow
@FEW
@given(limit=st.integers(1, 12), new=st.integers(1, 60), earlier=st.integers(1, 5))
def test_second_with_more_files_than_the_limit_is_read_to_its_end(limit: int, new: int, earlier: int) -> None:
    """The listing of Commons starts at a second, with all of its files (``gcmstart``): some of them are known."""
    runs = reading("commons:Cats", *range(1_000, 1_000 + earlier), limit=limit)
    runs.run()
    runs.listing.entries += [Entry(2_000, number) for number in range(new)]
    expected = {Entry(2_000, number).name for number in range(new)}
    read = [runs.run() for _ in range(new // limit + 1)]
    assert set().union(*read) >= expected
    assert max(len(names & expected) for names in read) < 2 * limit
    add(runs, 3_000)
    assert runs.run() == names(3_000)


def test_mastodon_tag_with_a_post_that_its_server_fetched_late() -> None:
    runs = reading("mastodon:server.example#cats", 100, 110)
    assert runs.run() == names(100, 110)
    add(runs, 105, 120)
    assert runs.run() == names(105, 120)


@pytest.mark.parametrize("new", [0, 1, 50, 99, 100])
def test_bluesky_account_with_five_posts_imported_behind_120_others(new: int) -> None:
    runs = reading("bluesky:alice.example", *range(10_000, 11_200, 10))
    assert len(runs.run()) == 120
    add(runs, *range(5), *range(20_000, 20_000 + new))
    assert runs.run() == names(*range(5), *range(20_000, 20_000 + new))


def test_overlap_ends_where_it_says() -> None:
    runs = reading("bluesky:alice.example", *range(10_000, 20_000, 10))
    runs.run()
    add(runs, 10_005, 18_015, 17_975)
    assert runs.run() == names(18_015), "195 posts behind the bookmark"


@pytest.mark.slow
@every_listing
def test_reading_an_overlap_costs_few_requests(feed: str) -> None:
    runs = reading(feed, *range(10_000, 30_000, 10))
    runs.run()
    runs.listing.requests.clear()
    runs.run()
    source = get_source(runs.listing.feed.source)
    pages = -(-source.overlap // runs.listing.page_size)
    # Mastodon and Commons first look up the feed, and then ask for posts after the bookmark.
    assert len(runs.listing.requests) <= pages + (0 if source.newest_first else 3)


def test_mastodon_post_of_an_earlier_time_moves_the_bookmark() -> None:
    """Ids give the order, and the times come from other servers; a bookmark by time would stay where it is."""
    runs = reading("mastodon:server.example#cats", 3, limit=1)
    runs.run()
    read = []
    for place in range(4, 12):
        add(runs, place)
        read.append(runs.run())
    assert read == [names(place) for place in range(4, 12)]


def test_account_of_rejects_ends_at_the_overlap() -> None:
    """A Bluesky account that is hidden from signed-out readers has no posts, but a long listing."""
    runs = reading("bluesky:alice.example", *range(10_000, 30_000, 10))
    runs.run()
    runs.listing.requests.clear()
    page = type(runs.listing).page

    class Hidden(type(runs.listing)):  # type: ignore[misc]
        def page(self, path: str, query: object) -> object:
            headers, body = page(self, path, query)
            for entry in body["feed"]:
                entry["post"]["labels"] = [{"val": "!no-unauthenticated"}]
            return headers, body

    runs.listing.__class__ = Hidden
    assert runs.run() == set()
    assert len(runs.listing.requests) == 2
