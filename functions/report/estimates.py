"""Estimates of what a run would read of a feed, how long it would take and what it would cost."""

from __future__ import annotations

from datetime import date, timedelta
from math import ceil
from statistics import median

from imagelake.lake.coverage import second
from imagelake.run import prices
from imagelake.run.contracts import FeedResult
from imagelake.run.frozen_model import FrozenModel
from imagelake.run.models import Outlook, Run
from imagelake.sources import Feed, Source, get_source, parse_feed
from imagelake.sources.contract import Priced
from report.spans import time_of
from report.timeline import Timeline

# Guesses, for posts that nobody has read yet.
IMAGES_PER_POST = 1.1
PAGE_SIZE = 50
SECONDS_PER_PAGE = 1.0
SECONDS_PER_FEED = 10.0
_COUNTED = "the entries of the feed were counted"
_DAY, _SECOND = timedelta(days=1), timedelta(seconds=1)
# Fewer days than these say nothing about a usual day.
_LEAST_WEEKS, _LEAST_DAYS = 2, 3
# Days between two daily runs, whose starts can differ a little.
_ABOUT_A_DAY = (0.9, 1.1)
# The state machine processes so many batches of a feed at once.
BATCHES_AT_ONCE = 10


class Estimate(FrozenModel):
    """The posts that a run would read, and their cost; ``basis`` says where the number of posts comes from."""

    posts: int
    # Posts behind the bookmark that each run reads again; their images are known.
    known_posts: int
    pages: int
    images: int
    batches: int
    network_usd: float
    aws_usd: float
    minutes: float
    basis: str


def estimate(result: FeedResult, run: Run, before: Timeline) -> Estimate:
    """Estimate one feed from the answer of its network and from what earlier runs found."""
    feed = parse_feed(result.feed.config)
    source = get_source(feed.source)
    outlook = result.outlook or Outlook()
    limit = min(feed.limit or run.posts_per_feed, run.posts_per_feed)
    price = source.manifest.post_usd or 0.0
    lookup = _usd_of_lookup(source, feed)
    size, most = _page_size(source, feed, limit), limit
    if price and feed.cost_cap_usd is not None:
        affordable = feed.cost_cap_usd - lookup + 1e-6
        size = max(1, min(size, int(affordable / price)))
        most = min(most, int(affordable / (size * price)) * size)
    # Posts are read by the page, and the last page is not cut.
    most = ceil(most / size) * size
    expected, basis = _expected(outlook, feed, source, before, run, most)
    if outlook.images is not None and outlook.posts is not None:
        # A backfill that is done asks for no page.
        pages = 1 if outlook.known_posts is not None else 0
        posts, known, images = outlook.posts, outlook.known_posts or 0, outlook.images
    else:
        posts, known = min(expected, most), _read_again(source, outlook, before, limit)
        pages, images = max(1, ceil((posts + known) / size)), round(posts * _images_per_post(before))
    batches = ceil(images / run.batch_size)
    return Estimate(
        posts=posts,
        known_posts=known,
        pages=pages,
        images=images,
        batches=batches,
        network_usd=round(posts * price + lookup, 6),
        aws_usd=round(prices.usd_of_run(1, batches, images), 6),
        minutes=round(_seconds(pages, batches, min(images, run.batch_size)) / 60, 1),
        basis=basis,
    )


def _read_again(source: Source, outlook: Outlook, before: Timeline, limit: int) -> int:
    """Return the number of posts behind the bookmark that a run reads again: at most all that are known."""
    again = min(source.overlap, limit - 1) if outlook.has_bookmark else 0
    return min(again, before.posts) if before.posts else again


def _images_per_post(before: Timeline) -> float:
    return before.images / before.posts if before.posts else IMAGES_PER_POST


def _expected(outlook: Outlook, feed: Feed, source: Source, before: Timeline, run: Run, most: int) -> tuple[int, str]:
    """Return a number of posts, and where it comes from."""
    title = source.manifest.title
    if feed.since is not None:
        return _older(outlook, feed, source, before, run) or (most, "a guess: as many posts as the limit")
    if outlook.images is not None:
        return outlook.posts or 0, _COUNTED
    if outlook.posts is not None:
        if outlook.has_bookmark:
            return outlook.posts, f"{title} was asked for the new posts"
        return outlook.posts, f"{title} was asked for all posts, also those without images"
    if feed.window is not None or feed.source == "stream":
        return 0, "the consumer of the stream starts the runs that read it"
    if outlook.has_bookmark:
        return _since_last_run(before, run, source.manifest.page_size or PAGE_SIZE)
    return most, "a guess: as many posts as the limit"


def _older(outlook: Outlook, feed: Feed, source: Source, before: Timeline, run: Run) -> tuple[int, str] | None:
    """Return the number of posts from the day of a backfill to the time that the last one has reached, if known."""
    if outlook.posts is not None and outlook.images is not None:
        is_done = outlook.known_posts is None
        return outlook.posts, "everything back to that day is read" if is_done else _COUNTED
    start = second(run.started_at or run.dt)
    lookback = source.manifest.lookback_of(feed).time
    since = max(second(feed.since or run.dt), start - lookback) if lookback else second(feed.since or run.dt)
    end = max(since, time_of(outlook.reached_to) or start)
    if outlook.posts is not None and lookback:
        share = (end - since) / max(start - since, _SECOND)
        return round(outlook.posts * share), f"{source.manifest.title} was asked for the posts since that day"
    if density := _per_day(before):
        number = round(density[0] * ((end - since) / _DAY))
        return number if outlook.posts is None else min(number, outlook.posts), density[1]
    if outlook.posts is not None:
        return outlook.posts, f"{source.manifest.title} was asked for all posts, also those without images"
    return None


def _since_last_run(before: Timeline, run: Run, page: int) -> tuple[int, str]:
    """Return the usual number of posts for the time that no run has read."""
    per_day, basis = _per_weekday(before, run) or _per_day(before) or (page, "a guess: one page a day")
    passed = 1.0
    if before.until is not None and run.started_at:
        # A run that stopped at a limit has left the bookmark where it was.
        unread = [gap.start for gap in before.gaps if before.bookmark_at and gap.start >= before.bookmark_at]
        passed = max(0.0, (second(run.started_at) - min([before.until, *unread])) / _DAY)
        unusual = not _ABOUT_A_DAY[0] < passed < _ABOUT_A_DAY[1]
        basis += f", for the {passed * 24:.1f} h that no run has read" if unusual else ""
    return round(per_day * passed), basis


def _per_weekday(before: Timeline, run: Run) -> tuple[float, str] | None:
    """Return the usual number of posts of a day; this day is not over, so it does not count."""
    weekday = date.fromisoformat(run.dt).weekday()
    whole = {day: number for day, number in before.days.items() if day != run.dt}
    same = [number for day, number in whole.items() if date.fromisoformat(day).weekday() == weekday]
    # The first day of a feed has only the posts after its first run.
    if len(same) >= _LEAST_WEEKS:
        return median(same), f"the usual number of this weekday in the last {len(same)} weeks"
    if len(whole) >= _LEAST_DAYS:
        return median(whole.values()), f"the usual number of the last {len(whole)} days"
    return None


def _per_day(before: Timeline) -> tuple[float, str] | None:
    """Return the number of posts of a day in all that runs have read."""
    if before.begin is None or before.until is None:
        return None
    read = before.until - before.begin - sum((gap.end - gap.start for gap in before.gaps), timedelta())
    if not before.posts or read <= timedelta():
        return None
    return before.posts / max(read / _DAY, 1e-3), "the posts per day so far"


def _page_size(source: Source, feed: Feed, limit: int) -> int:
    """Return how many posts a run asks for at once."""
    size = min(limit, source.manifest.page_size or PAGE_SIZE)
    if not isinstance(source, Priced):
        return size
    # X has smallest pages.
    request = source.request(feed.model_copy(update={"limit": limit}), None, None)
    return int(request.params.get("max_results", size))


def _usd_of_lookup(source: Source, feed: Feed) -> float:
    """Return the price of the request before the first page of posts, if there is one."""
    if not isinstance(source, Priced):
        return 0.0
    request = source.request(feed, None, None)
    return 0.0 if "max_results" in request.params else source.price(request)


def _seconds(pages: int, batches: int, images_per_batch: int) -> float:
    batch = images_per_batch * prices.TRANSFORM_SECONDS_PER_IMAGE
    batch += prices.WRITE_SECONDS_PER_BATCH + prices.MAP_SECONDS_PER_BATCH + prices.RECONCILE_SECONDS_PER_BATCH
    return SECONDS_PER_FEED + pages * SECONDS_PER_PAGE + ceil(batches / BATCHES_AT_ONCE) * batch
