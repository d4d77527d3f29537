"""Histories with backfills, posts that are out of order, and runs without a report: no gap is missed.

Runs and backfills go through the real pager and the real coverage. What they truly know is computed from their pages.
"""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any, cast

import pytest

from imagelake.sources import SOURCES
from tests.support.histories import Free, History, MadeUp, at, rate_limited
from tests.support.history_checks import OUTAGE, check, every, just_after
from tests.support.sample import pairs, sample


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make room for the network of the history that is replayed."""
    monkeypatch.setitem(SOURCES, "madeup", cast(Any, MadeUp([])))


def gaps(history: History) -> list[tuple[datetime, datetime]]:
    return [(gap.start, gap.end) for gap in history.timeline.gaps]


def unread(history: History, after: datetime, until: datetime) -> int:
    posts = history.network.posts
    return sum(after < time <= until and n not in history.read_posts for n, time in enumerate(posts))


# ---- A backfill that is done, and a gap above it ---------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("network", [MadeUp, Free])
@pytest.mark.parametrize("fault", [OUTAGE, {1: rate_limited()}])
@pytest.mark.parametrize("done", [at(-20), at(1)])
def test_gap_above_a_backfill_that_is_done_is_read(network: type[MadeUp], fault: Any, done: datetime) -> None:
    """The earlier backfill ended at the end of the listing, or at its day."""
    history = History(network(every(20)), limit=40)
    history.run(at(3, "05:00"))
    history.backfill(at(3, "06:00"), done, 1_000)
    history.run(at(4, "05:00"))
    history.run(at(5, "05:00"), faults=fault)
    assert gaps(history)
    row = history.backfill(at(5, "06:00"), at(3), 1_000)
    assert row
    assert row.pages
    check(history)
    assert (gaps(history), unread(history, at(3), at(5, "05:00"))) == ([], 0)
    # The older part of the first backfill is not read again.
    assert row.posts < 3 * 72 + 20
    row = history.backfill(at(5, "07:00"), at(3), 1_000)
    assert row
    assert (row.pages, row.read_start) == (0, None), "a row without a page has read nothing"


def test_backfill_above_one_that_is_done_continues_after_its_limit() -> None:
    history = History(MadeUp(every(20), post_usd=0.005))
    history.run(at(1, "05:00"))
    history.backfill(at(1, "06:00"), at(0), 1_000)
    history.run(at(4, "05:00"), faults=OUTAGE)
    for hour in range(6, 20):
        history.backfill(at(4, f"{hour}:00"), at(1), 30)
    check(history)
    assert (gaps(history), unread(history, at(0), at(4, "05:00"))) == ([], 0)


# ---- A listing that ends before the day ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [{"lookback": timedelta(days=2)}, {"newest": 12}, {"newest": 30}])
@pytest.mark.parametrize("limit", [1_000, 11])
@pytest.mark.parametrize("since", [at(3), at(-300)])
def test_backfill_reads_only_what_is_listed(kind: Any, limit: int, since: datetime) -> None:
    history = History(MadeUp(every(30), **kind))
    history.run(at(3, "05:00"))
    history.run(at(7, "09:00"))
    lost = history.rows[-1].gap_start, history.rows[-1].gap_end
    assert lost[0] == at(3, "05:00")
    for hour in range(10, 20):
        history.backfill(at(7, f"{hour}:00"), since, limit)
    assert unread(history, at(3, "05:00"), at(7, "09:00")) > 10
    # The oracle knows nothing before the begin of the array.
    history.timeline = history.timeline.model_copy(update={"begin": max(history.timeline.begin or since, at(0))})
    states = history.states()
    still = states["gap"] | states["failed"]
    assert not (history.time & ~history.known & ~still).any(), "a gap is missed"


# ---- Posts that are out of order -------------------------------------------------------------------------------------

OLD = datetime.fromisoformat("2015-01-01T00:00:00Z")


@pytest.mark.slow
@pytest.mark.parametrize(("place", "stated"), pairs([0, 4, 9, 10, 19, 27, 28, 29], [OLD, at(-40), at(1, "12:00")]))
def test_post_that_is_dated_long_ago_hides_no_gap(place: int, stated: datetime) -> None:
    """Its place is that in the listing, and the rate limit comes after three pages of ten posts."""
    posts = every(20)
    number = [n for n, time in enumerate(posts) if time <= at(4, "05:00")][-1] - place
    history = History(Free(posts, stated={number: stated}))
    history.run(at(3, "05:00"))
    history.run(at(4, "05:00"), faults={3: rate_limited()})
    check(history, may_be_unread=True)
    (gap,) = gaps(history)
    assert gap[0] == at(3, "05:00")
    # Only a post that nothing follows may be missing.
    assert gap[1] - just_after(posts, at(4, "05:00"), 30) <= timedelta(minutes=21 * (place > 26))


@pytest.mark.parametrize("place", [0, 5, 11])
@pytest.mark.parametrize("stated", [OLD, at(-40)])
def test_post_that_is_dated_long_ago_hides_no_loss_of_a_short_listing(place: int, stated: datetime) -> None:
    posts = every(60)
    number = [n for n, time in enumerate(posts) if time <= at(4, "05:00")][-1] - place
    history = History(Free(posts, newest=12, page_size=20, stated={number: stated}))
    history.run(at(3, "05:00"))
    row = history.run(at(4, "05:00"))
    assert row
    assert (row.state, row.gap_reason, row.gap_start) == ("gap", "lookback", at(3, "05:00"))
    check(history, may_be_unread=True)


def test_two_posts_of_long_ago_begin_no_time_and_hide_no_gap() -> None:
    """A first run and a backfill of a hashtag, each with one such post."""
    history = History(Free(every(60), stated={100: OLD, 60: OLD, 85: OLD}), limit=40)
    history.run(at(5, "10:00"))
    assert history.timeline.begin is not None
    assert history.timeline.begin > at(3)
    history.backfill(at(5, "11:00"), at(0), 40)
    check(history, may_be_unread=True)
    (gap,) = gaps(history)
    assert gap[0] == at(0)


@pytest.mark.parametrize("new", [[at(9)], [at(9), at(9, "01:00")], [at(9, "00:00:01"), at(9, "01:00"), at(9, "04:00")]])
def test_first_posts_after_a_long_silence_are_no_gap(new: list[datetime]) -> None:
    """The oldest entry of the list has the time of the bookmark, so nothing is lost."""
    history = History(Free([at(0), *new], newest=1 + len(new), page_size=20))
    history.run(at(1))
    row = history.run(at(9, "05:00"))
    assert row
    assert (row.state, row.gap_start) == ("complete", None)


@pytest.mark.parametrize("stated", [at(8), at(90), at(4, "05:00:01")])
@pytest.mark.parametrize("newest", [None, 12])
def test_post_that_is_dated_in_the_future_hides_no_gap(stated: datetime, newest: int | None) -> None:
    """No network here sends its own time, which would limit that of a post."""
    history = History(Free(every(60), newest=newest, page_size=20, stated={76: stated}))
    history.run(at(3, "05:00"))
    row = history.run(at(4, "05:00"), faults={} if newest else OUTAGE)
    assert row
    assert row.gap_start == at(3, "05:00")
    check(history, may_be_unread=True)


# ---- Several runs of a backfill --------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("network", [MadeUp, Free])
@pytest.mark.parametrize("limit", [10, 30, 64])
def test_backfill_in_several_runs_closes_a_gap_without_holes(network: type[MadeUp], limit: int) -> None:
    history = History(network(every(20)), limit=20)
    history.run(at(3, "05:00"))
    for hour in range(24):
        history.backfill(at(3, "06:00") + timedelta(hours=hour), at(1), limit)
    check(history)
    assert gaps(history) == []
    assert unread(history, at(1), at(3, "05:00")) == 0


@pytest.mark.slow
@pytest.mark.parametrize(("killed", "way"), pairs([[0], [1], [1, 2], [2], [0, 1, 2], [5]], ["killed", "fails_later"]))
@pytest.mark.parametrize("network", [MadeUp, Free])
def test_backfill_without_a_report_is_told_by_the_next_one(network: type[MadeUp], way: str, killed: list[int]) -> None:
    """One of them is the last run of the backfill, after which nothing is left to read."""
    history = History(network(every(20)), limit=20)
    history.run(at(3, "05:00"))
    history.backfill(at(3, "05:30"), at(2), 5)
    for number in range(8):
        start = at(3, "06:00") + timedelta(hours=number)
        history.backfill(start, at(2), 15, **{way: True} if number in killed else {})
    check(history)
    assert gaps(history) == []


# ---- Other orders of runs --------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("network", [MadeUp, Free])
@pytest.mark.parametrize("limit", [20, 1_000])
@pytest.mark.parametrize("first", [20, 1_000])
def test_backfill_before_the_first_run_and_that_run_share_no_second(
    network: type[MadeUp], limit: int, first: int
) -> None:
    history = History(network(every(60)), limit=limit)
    history.backfill(at(5, "05:00"), at(1), first)
    history.run(at(6, "05:00"))
    check(history)
    history.limit = 1_000
    history.run(at(7, "05:00"))
    check(history)
    for hour in range(6, 12):
        history.backfill(at(7, f"{hour}:00"), at(1), 1_000)
    check(history)
    assert gaps(history) == []


def test_first_run_leaves_the_position_of_an_earlier_backfill() -> None:
    """The network would bill these posts again."""
    history = History(MadeUp(every(20), post_usd=0.005), limit=20)
    history.backfill(at(5), at(0), 50)
    history.backfill(at(5, "01:00"), at(0), 50)
    cursor = history.position.cursor
    history.run(at(5, "02:00"))
    assert history.position.cursor == cursor
    known = set(history.read_posts)
    row = history.backfill(at(5, "03:00"), at(0), 50)
    assert row
    assert len(history.read_posts - known) == row.posts


def test_span_of_a_killed_run_of_a_paid_network_is_a_gap_that_a_backfill_fills() -> None:
    history = History(MadeUp(every(60), post_usd=0.005, lookback=timedelta(days=7)))
    history.run(at(1, "05:00"))
    history.run(at(2, "05:00"), killed=True)
    row = history.run(at(3, "05:00"))
    assert row
    assert (row.state, row.gap_reason) == ("gap", "unreported")
    assert [gap[0] for gap in gaps(history)] == [at(1, "05:00")]
    history.backfill(at(3, "06:00"), at(1), 1_000)
    assert gaps(history) == []
    check(history)


@pytest.mark.parametrize("hours", [1, 5, 30])
@pytest.mark.parametrize("page_size", [10, 1_000])
def test_look_back_counts_from_the_page(hours: int, page_size: int) -> None:
    """The feed waits for other feeds, or for a rate limit; meanwhile posts leave the listing."""
    history = History(MadeUp(every(60), lookback=timedelta(hours=24), page_size=page_size))
    history.run(at(2, "05:00"))
    history.network.seconds_a_page = hours * 3_600 // (3 if page_size == 10 else 1)
    history.run(at(3, "05:00"))
    check(history, may_be_unread=page_size == 10)
    assert history.rows[-1].gap_reason == "lookback"


def test_posts_of_the_days_before_the_first_reading_are_not_usual_for_a_day() -> None:
    posts = [at(0, "01:00") + timedelta(minutes=n) for n in range(300)] + [at(2), at(5)]
    history = History(MadeUp(posts))
    history.run(at(1, "05:00"), faults=OUTAGE)
    for day in range(2, 10):
        history.run(at(day, "05:00"))
    assert "2026-03-03" not in history.timeline.days
    assert not any(row.silent for row in history.rows)


KINDS: list[tuple[type[MadeUp], dict[str, Any]]] = [
    (Free, {}), (Free, {"seconds_a_page": 13}), (Free, {"newest_first": False}), (MadeUp, {"post_usd": 0.005}),
    (Free, {"newest": 25}), (MadeUp, {"lookback": timedelta(hours=60)}),
]  # fmt: skip


@pytest.mark.parametrize("seed", sample(range(120), *range(20)))
def test_any_history_with_backfills(seed: int) -> None:
    """Random posts, limits, outages, killed runs and backfills; in some, posts are dated long before their place."""
    rng = random.Random(seed)
    posts = sorted(at(0) + timedelta(seconds=rng.randrange(13 * 86_400)) for _ in range(rng.randrange(5, 900)))
    network, kind = KINDS[seed % len(KINDS)]
    history = History(network(posts, **kind), limit=rng.choice([12, 40, 1_000]))
    has_old = network is Free and kind.get("newest_first", True) and rng.random() < 0.5
    if has_old:
        history.network.stated = {n: OLD for n in range(len(posts)) if rng.random() < 0.04}
    now, may_be_unread = at(1, "05:00"), has_old
    for _ in range(14):
        now += timedelta(seconds=rng.choice([3_600, 43_200, 86_400, 86_400]) + rng.randrange(600))
        if now > at(13):
            break
        what, history.limit = rng.random(), rng.choice([12, 40, 1_000])
        stops: dict[int, Exception] = rng.choice([{}, {rng.randrange(1, 4): rate_limited()}])
        if what < 0.15:
            history.run(now, faults=OUTAGE)
        elif what < 0.3:
            history.run(now, faults={rng.randrange(1, 4): rate_limited()})
        elif what < 0.35 and history.bookmark:
            history.run(now, killed=True)
            may_be_unread |= bool(kind.keys() & {"post_usd", "newest", "lookback"})
        elif what < 0.65:
            since = rng.choice([at(0), at(1), now - timedelta(days=1), now - timedelta(days=3)])
            is_killed = rng.random() < 0.2
            history.backfill(now, since, history.limit, faults=stops, killed=is_killed)
            may_be_unread |= is_killed
        else:
            history.run(now, cap=0.11 if history.network.post_usd and rng.random() < 0.3 else None)
    history.read_posts |= set(history.network.stated)
    # A backfill has read them too, and tells that in its next run.
    states = history.states()
    history.known |= history.after_start & ~(states["gap"] | states["failed"])
    check(history, may_be_unread=may_be_unread)
