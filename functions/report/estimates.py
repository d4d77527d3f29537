"""Estimates of what a run would read of a feed, how long it would take and what it would cost."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from math import ceil
from statistics import median

from imagelake.lake.coverage import second
from imagelake.run import prices
from imagelake.run.contracts import FeedResult
from imagelake.run.frozen_model import FrozenModel
from imagelake.run.models import Outlook, Run
from imagelake.sources import Feed, Source, get_source, parse_feed
from imagelake.sources.contract import Priced

# Guesses, for posts that nobody has read yet.
IMAGES_PER_POST = 1.1
PAGE_SIZE = 50
SECONDS_PER_PAGE = 1.0
SECONDS_PER_FEED = 10.0
# Days between two daily runs, whose starts can differ a little.
_ABOUT_A_DAY = (0.9, 1.1)
# The state machine processes so many batches of a feed at once.
BATCHES_AT_ONCE = 10


class Estimate(FrozenModel):
    """The posts that a run would read, and their cost; ``basis`` says where the number of posts comes from."""

    posts: int
    pages: int
    images: int
    batches: int
    network_usd: float
    aws_usd: float
    minutes: float
    basis: str


def estimate(result: FeedResult, run: Run, days: Mapping[str, int], until: datetime | None = None) -> Estimate:
    """Estimate one feed.

    ``days`` are the numbers of new posts that earlier runs found, by day. ``until`` is the start of the last of them.
    """
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
    expected, basis = _expected(outlook, feed, source, _usual(days, until, run), most)
    posts = min(expected, most)
    again = min(source.overlap, limit - 1) if outlook.has_bookmark else 0
    pages = max(1, ceil((posts + again) / size))
    images = round(posts * IMAGES_PER_POST)
    batches = ceil(images / run.batch_size)
    return Estimate(
        posts=posts,
        pages=pages,
        images=images,
        batches=batches,
        network_usd=round(posts * price + lookup, 6),
        aws_usd=round(prices.usd_of_run(1, batches, images), 6),
        minutes=round(_seconds(pages, batches, min(images, run.batch_size)) / 60, 1),
        basis=basis,
    )


def _expected(
    outlook: Outlook, feed: Feed, source: Source, usual: tuple[int, str] | None, most: int
) -> tuple[int, str]:
    """Return a number of posts, and where it comes from."""
    if outlook.posts is not None:
        if outlook.has_bookmark:
            return outlook.posts, f"{source.manifest.title} was asked for the new posts"
        return outlook.posts, f"{source.manifest.title} was asked for all posts, also those without images"
    if feed.window is not None or feed.source == "stream":
        return 0, "the consumer of the stream starts the runs that read it"
    if feed.since is None and outlook.has_bookmark:
        return usual or (min(most, source.manifest.page_size or PAGE_SIZE), "a guess: one page")
    return most, "a guess: as many posts as the limit"


def _usual(days: Mapping[str, int], until: datetime | None, run: Run) -> tuple[int, str] | None:
    """Return the usual number of posts for the time since the last run; this day is not over, so it does not count."""
    weekday = date.fromisoformat(run.dt).weekday()
    whole = {day: number for day, number in days.items() if day != run.dt}
    same = [number for day, number in whole.items() if date.fromisoformat(day).weekday() == weekday]
    if not whole:
        return None
    basis = f"the usual number of this weekday in the last {len(same)} weeks"
    if not same:
        basis = f"the usual number of the last {len(whole)} days"
    passed = 1.0
    if until is not None and run.started_at:
        passed = max(0.0, (second(run.started_at) - until) / timedelta(days=1))
        basis += "" if _ABOUT_A_DAY[0] < passed < _ABOUT_A_DAY[1] else f", for {passed * 24:.0f} h"
    return round(median(same or whole.values()) * passed), basis


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
