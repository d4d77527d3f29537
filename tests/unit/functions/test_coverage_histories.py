"""Recorded histories of a feed: every second of its time is in one state, no gap is missed, none is invented.

The runs go through the real pager and the real coverage. What a run truly knows is computed from its pages alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import duckdb
import pytest

from imagelake.lake.coverage import write_rows
from imagelake.run.errors import CredentialsError
from imagelake.sources import SOURCES
from local.tables import create_tables
from tests.support.fake_lake import Lake
from tests.support.histories import BEGIN, History, MadeUp, at, rate_limited, seconds
from tests.support.history_checks import OUTAGE, check, every, just_after
from tests.support.sample import sample

Gap = tuple[datetime, datetime, str]


def burst(posts: list[datetime], start: datetime, number: int, minutes: float = 1.0) -> list[datetime]:
    """Add posts that come in a short time."""
    return sorted([*posts, *(start + timedelta(minutes=minutes * n) for n in range(number))])


# ---- The histories ---------------------------------------------------------------------------------------------------


def complete_days() -> tuple[History, list[Gap]]:
    """A run every day, and nothing is missed."""
    history = History(MadeUp(every(60)))
    for day in range(1, 8):
        history.run(at(day, "05:00"))
    return history, []


def busy_day() -> tuple[History, list[Gap]]:
    """A day has more posts than the limit; the next run starts at the same bookmark and has a larger limit."""
    history = History(MadeUp(burst(every(60), at(2, "12:00"), 80)), limit=30)
    history.run(at(1, "05:00"))
    history.run(at(2, "05:00"))
    row = history.run(at(3, "05:00"))
    assert row
    assert (row.state, row.gap_reason) == ("gap", "posts")
    history.limit = 1_000
    history.run(at(4, "05:00"))
    return history, []


def busy_day_that_stays_open() -> tuple[History, list[Gap]]:
    """The runs after it stop at their limit too, each a little later, and leave the seconds between unread."""
    posts = burst(burst(every(60), at(2, "12:00"), 80), at(3, "12:00"), 80)
    history = History(MadeUp(posts), limit=30)
    for day in range(1, 5):
        history.run(at(day, "05:00"))
    bookmark = max(time for time in posts if time <= at(2, "05:00"))
    assert history.bookmark is not None
    assert history.bookmark.newest_at == bookmark
    return history, [(at(2, "05:00"), just_after(posts, at(3, "05:00"), 30), "posts"),
                     (at(3, "05:00"), just_after(posts, at(4, "05:00"), 30), "posts")]  # fmt: skip


def rate_limit_in_the_middle() -> tuple[History, list[Gap]]:
    """The network ends the reading at the third page."""
    posts = every(20)
    history = History(MadeUp(posts))
    history.run(at(1, "05:00"))
    history.run(at(2, "05:00"), faults={3: rate_limited()})
    return history, [(at(1, "05:00"), just_after(posts, at(2, "05:00"), 30), "rate_limit")]


def rate_limit_that_the_next_run_makes_good() -> tuple[History, list[Gap]]:
    """The bookmark stays, so the next run reads everything."""
    history, _ = rate_limit_in_the_middle()
    history.run(at(3, "05:00"))
    return history, []


def outage_of_two_days() -> tuple[History, list[Gap]]:
    """Two runs fail, the third one reads from the bookmark."""
    history = History(MadeUp(every(45)))
    history.run(at(1, "05:00"))
    for day in (2, 3):
        row = history.run(at(day, "05:00"), faults=OUTAGE)
        assert row
        assert (row.state, row.gap_reason) == ("failed", "SourceUnavailableError")
    history.run(at(4, "05:00"))
    return history, []


def outage_that_lasts() -> tuple[History, list[Gap]]:
    """The feed's time goes on although nothing is read."""
    history = History(MadeUp(every(45)))
    history.run(at(1, "05:00"))
    history.run(at(2, "05:00"), faults={0: CredentialsError("the token expired")})
    history.run(at(3, "06:30"), faults=OUTAGE)
    return history, [(at(1, "05:00"), at(2, "05:00"), "CredentialsError"),
                     (at(2, "05:00"), at(3, "06:30"), "SourceUnavailableError")]  # fmt: skip


def outage_beyond_the_look_back() -> tuple[History, list[Gap]]:
    """The network lists 24 hours, and the feed was not read for three days."""
    history = History(MadeUp(every(30), lookback=timedelta(hours=24)))
    history.run(at(2, "05:00"))
    history.run(at(3, "05:00"), faults=OUTAGE)
    history.run(at(4, "05:00"), faults=OUTAGE)
    history.run(at(5, "05:00"))
    return history, [(at(2, "05:00"), at(3, "05:00"), "SourceUnavailableError"),
                     (at(3, "05:00"), at(4, "05:00"), "SourceUnavailableError")]  # fmt: skip


def late_run_beyond_the_look_back() -> tuple[History, list[Gap]]:
    """No run failed; the schedule was paused."""
    history = History(MadeUp(every(30), lookback=timedelta(days=2)))
    history.run(at(3, "05:00"))
    row = history.run(at(7, "09:00"))
    assert row
    assert (row.gap_reason, row.recoverable_until) == ("lookback", at(5, "05:00"))
    return history, [(at(3, "05:00"), at(5, "09:00"), "lookback")]


def late_run_within_the_look_back() -> tuple[History, list[Gap]]:
    """A run that is hours late misses nothing."""
    history = History(MadeUp(every(30), lookback=timedelta(days=2)))
    history.run(at(3, "05:00"))
    history.run(at(4, "16:00"))
    return history, []


def short_listing() -> tuple[History, list[Gap]]:
    """A site lists its newest 12 posts; on one day there were more."""
    posts = burst(every(240), at(4, "11:00"), 15)
    history = History(MadeUp(posts, newest=12))
    for day in range(2, 7):
        history.run(at(day, "05:00"))
    return history, [(at(4, "05:00"), just_after(posts, at(5, "05:00"), 12), "lookback")]


def silence() -> tuple[History, list[Gap]]:
    """Nothing is posted any more: no activity, and no gap."""
    history = History(MadeUp([time for time in every(60) if time < at(3)]))
    for day in range(1, 8):
        history.run(at(day, "05:00"))
    assert [row.state for row in history.rows] == ["complete"] * 3 + ["no_activity"] * 4
    return history, []


def used_up_cost() -> tuple[History, list[Gap]]:
    """A cap on the cost ends the reading; the bookmark moves, because the network would bill the posts again."""
    posts = every(20)
    history = History(MadeUp(posts, post_usd=0.005))
    history.run(at(1, "05:00"))
    row = history.run(at(2, "05:00"), cap=0.11)
    assert row
    assert (row.gap_reason, row.usd) == ("cost", 0.1)
    history.run(at(3, "05:00"))
    return history, [(at(1, "05:00"), just_after(posts, at(2, "05:00"), 20), "cost")]


def backfill_of_a_gap() -> tuple[History, list[Gap]]:
    """Two runs of a backfill fill the gap that a cap on the cost has left."""
    history, _ = used_up_cost()
    history.backfill(at(3, "09:00"), at(1), 30)
    history.backfill(at(3, "10:00"), at(1), 300)
    return history, []


def backfill_that_is_not_done() -> tuple[History, list[Gap]]:
    """One run of a backfill fills the later part of the gap."""
    posts = every(20)
    history, _ = used_up_cost()
    history.backfill(at(3, "09:00"), at(1), 30)
    return history, [(at(1, "05:00"), just_after(posts, at(2, "05:00"), 20 + 30), "cost")]


def backfill_before_the_first_run() -> tuple[History, list[Gap]]:
    """The first run stopped at its limit; a backfill makes the feed's time longer, and does not end."""
    posts = every(60)
    history = History(MadeUp(posts), limit=20)
    history.run(at(8, "05:00"))
    history.limit = 1_000
    history.run(at(9, "05:00"))
    history.backfill(at(9, "09:00"), at(4), 60)
    return history, [(at(4), just_after(posts, at(8, "05:00"), 20 + 60), "posts")]


def busy_removed_and_retried() -> tuple[History, list[Gap]]:
    """Runs that request no posts add nothing to the feed's time; after them, everything is read."""
    history = History(MadeUp(every(60)))
    history.run(at(1, "05:00"))
    for day, why in ((2, "busy"), (3, "retry"), (4, "removed")):
        row = history.not_read(at(day, "05:00"), why)
        assert (row.state, row.span_start, row.gap_start) == ("not_requested", None, None)
    history.run(at(6, "05:00"))
    return history, []


def killed_runs() -> tuple[History, list[Gap]]:
    """Runs without a report: one before its bookmark, one after it."""
    history = History(MadeUp(every(60), seconds_a_page=7))
    history.run(at(1, "05:00"))
    history.run(at(2, "05:00"), killed_early=True)
    history.run(at(3, "05:00"), killed=True)
    history.run(at(4, "05:00"))
    return history, []


def feed_that_failed_after_its_posts_were_read() -> tuple[History, list[Gap]]:
    """The result of a failed feed has no plan; what its run has read after its newest post is read by the next one."""
    history = History(MadeUp(every(60)))
    history.run(at(1, "05:00"))
    row = history.run(at(2, "05:00"), fails_later=True)
    assert row
    assert (row.state, row.gap_start) == ("failed", at(1, "05:00"))
    history.run(at(3, "05:00"))
    return history, []


def posts_that_come_while_a_run_reads() -> tuple[History, list[Gap]]:
    """The bookmark is later than the start of its run."""
    history = History(MadeUp(every(2, days=4), seconds_a_page=40))
    for hour in range(4, 12):
        history.run(at(1, f"{hour}:00"))
    assert history.bookmark is not None
    assert history.bookmark.newest_at > at(1, "11:00")
    return history, []


def listing_from_the_bookmark_on() -> tuple[History, list[Gap]]:
    """A listing from old to new stops at its limit: what is newer is unread until a later run."""
    posts = burst(every(60), at(2, "12:00"), 80)
    history = History(MadeUp(posts, newest_first=False), limit=40)
    for day in range(1, 4):
        history.run(at(day, "05:00"))
    row = history.rows[-1]
    reached = [time for time in posts if at(2, "05:00") < time][39]
    assert (row.state, row.gap_reason, row.gap_start) == ("gap", "posts", reached)
    return history, [(reached, at(3, "05:00"), "posts")]


def first_run_fails() -> tuple[History, list[Gap]]:
    """The time of a feed begins with its first run, also if that one fails; then a limit ends the first reading."""
    posts = every(20)
    history = History(MadeUp(posts), limit=30)
    history.run(at(1, "05:00"), faults=OUTAGE)
    history.run(at(3, "05:00"))
    return history, [(at(1, "05:00"), just_after(posts, at(3, "05:00"), 30), "posts")]


HISTORIES: list[Callable[[], tuple[History, list[Gap]]]] = [
    complete_days, busy_day, busy_day_that_stays_open, rate_limit_in_the_middle,
    rate_limit_that_the_next_run_makes_good, outage_of_two_days, outage_that_lasts, outage_beyond_the_look_back,
    late_run_beyond_the_look_back, late_run_within_the_look_back, short_listing, silence, used_up_cost,
    backfill_of_a_gap, backfill_that_is_not_done, backfill_before_the_first_run, busy_removed_and_retried, killed_runs,
    feed_that_failed_after_its_posts_were_read,
    posts_that_come_while_a_run_reads, listing_from_the_bookmark_on, first_run_fails,
]  # fmt: skip


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make room for the network of the history that is replayed."""
    monkeypatch.setitem(SOURCES, "madeup", cast(Any, MadeUp([])))


def open_gaps(history: History, lake: Lake, folder: Path) -> list[Gap]:
    """Return what the view finds in the files."""
    for number, row in enumerate(history.rows):
        key = f"lake/coverage/dt={row.requested_end:%Y-%m-%d}/{number}.json.gz"
        write_rows(lake.bucket, key, [row])
        file = folder / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(lake.bucket.get(key))
    with duckdb.connect() as connection:
        assert create_tables(connection, folder)
        found: list[Any] = connection.execute("SELECT gap_start, gap_end, gap_reason FROM coverage_gaps").fetchall()
    return sorted(
        (start.replace(tzinfo=BEGIN.tzinfo), end.replace(tzinfo=BEGIN.tzinfo), why) for start, end, why in found
    )


@pytest.mark.slow
@pytest.mark.parametrize("made", HISTORIES, ids=lambda made: made.__name__)
def test_history(made: Callable[[], tuple[History, list[Gap]]], lake: Lake, tmp_path: Path) -> None:
    history, expected = made()
    check(history)
    assert open_gaps(history, lake, tmp_path) == expected
    # The next run knows the same gaps, except those that are lost.
    now = history.rows[-1].requested_end
    known = [(gap.start, gap.end, gap.reason) for gap in history.timeline.gaps]
    lookback = history.network.lookback
    lost = [gap for gap in expected if gap[2] == "lookback" or (lookback and gap[1] + lookback <= now)]
    assert sorted(known) == [gap for gap in expected if gap not in lost]


@pytest.mark.parametrize("seed", sample(range(80), *range(20)))
def test_any_history(seed: int) -> None:
    """Random posts, limits, outages, rate limits, late and killed runs, in all kinds of listings."""
    rng = random.Random(seed)
    posts = sorted(at(0) + timedelta(seconds=rng.randrange(13 * 86_400)) for _ in range(rng.randrange(5, 900)))
    kind: dict[str, Any] = rng.choice(
        [{}, {"newest_first": False}, {"seconds_a_page": 13}, {"lookback": timedelta(hours=36)}, {"newest": 25},
         {"post_usd": 0.005}]
    )  # fmt: skip
    history = History(MadeUp(posts, **kind), limit=rng.choice([12, 40, 1_000]))
    now, may_be_unread = at(1, "05:00"), False
    for _ in range(14):
        now += timedelta(seconds=rng.choice([3_600, 43_200, 86_400, 86_400, 200_000]) + rng.randrange(600))
        if now > at(14):
            break
        what = rng.random()
        if what < 0.15:
            history.not_read(now, rng.choice(["busy", "removed", "retry"]))
        elif what < 0.3:
            history.run(now, faults=OUTAGE)
        elif what < 0.4:
            history.run(now, faults={rng.randrange(1, 4): rate_limited()})
        elif what < 0.5:
            is_first = history.timeline.bookmark_at is None
            kills: dict[str, Any] = {rng.choice(["killed", "fails_later"]): not is_first}
            history.run(now, killed_early=is_first, **kills)
            # Such a run may leave out posts, and nobody knows which: then its time counts as unread.
            may_be_unread |= not is_first and bool(kind.keys() & {"post_usd", "newest", "lookback"})
        else:
            history.run(now, cap=0.11 if history.network.post_usd and rng.random() < 0.3 else None)
    check(history, may_be_unread=may_be_unread)


def test_the_oracle_finds_a_gap_that_is_hidden() -> None:
    history, _ = rate_limit_in_the_middle()
    history.rows[-1] = history.rows[-1].model_copy(update={"gap_start": None, "gap_end": None, "state": "complete"})
    with pytest.raises(AssertionError, match="a gap is missed"):
        check(history)


def test_the_oracle_finds_a_gap_that_is_made_up() -> None:
    history, _ = complete_days()
    row = history.rows[-1]
    made_up = {"gap_start": row.span_start, "gap_end": row.span_end, "state": "gap", "read_start": row.read_end}
    history.rows[-1] = row.model_copy(update=made_up)
    with pytest.raises(AssertionError, match="a gap is invented"):
        check(history)


def test_the_oracle_finds_a_second_with_two_states() -> None:
    history, _ = complete_days()
    row = history.rows[-1]
    history.rows[-1] = row.model_copy(update={"span_start": at(1), "state": "no_activity"})
    with pytest.raises(AssertionError, match="exactly one state"):
        check(history)


def test_seconds_are_counted_from_the_begin() -> None:
    assert seconds(at(0, "00:00:10"), at(0, "00:00:12")).nonzero()[0].tolist() == [10, 11]
