"""The lake at a glance as one HTML page: it has no script, loads nothing from elsewhere and escapes every text.

A name of a feed is only in the text of a row, and an image only in a ``figure`` with its media id, so that an erasure
finds them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from html import escape
from pathlib import Path
from urllib.parse import quote

from report.charts import Bar, chart
from report.glance import FeedDay, FeedGlance, Glance, LakeDay, gap_days
from report.glance_images import Thumbnail
from report.page import head, link
from report.summary import count

_STYLE = Path(__file__).with_name("glance.css").read_text()
_MAX_FEEDS = 100
_BARS = ("images-bar", "missing-bar")
_LANES = ("gap-mark", "unread")
_MONEY_BARS = ("networks-bar", "aws-bar")
_MONEY = ("USD networks", "USD AWS", "USD in all")
_STATES = {"complete": "complete", "no_activity": "nothing new", "gap": "gap", "failed": "failed"}
# The last run was complete, and what an earlier one left is still unread.
_OLDER_GAP = "older gap"
_CLASSES = {"gap": "warn", _OLDER_GAP: "warn", "silent": "warn", "failed": "bad"}
_UNITS = ("B", "KB", "MB", "GB", "TB", "PB")


def render_glance(glance: Glance) -> str:
    """Write the page."""
    gaps = {feed_id: gap_days(feed) for feed_id, feed in glance.feeds.items()}
    parts = [
        head("The lake at a glance", _STYLE),
        "<h1>The lake at a glance</h1>",
        _updated(glance),
        _totals(glance),
        f'<div class="charts">{_images_per_day(glance, gaps)}\n{_cost_per_day(glance)}</div>' if glance.days else "",
        _feeds(glance, gaps),
        _newest(glance),
        _numbers(glance),
        "</body></html>",
    ]
    return "\n".join(part for part in parts if part)


def size(number: int) -> str:
    """Write a number of bytes with its unit."""
    value, unit = float(number), _UNITS[0]
    for unit in _UNITS:
        if value < 999.5 or unit == _UNITS[-1]:
            break
        value /= 1000
    return f"{value:,.0f} {unit}" if value >= 99.5 else f"{value:.3g} {unit}"


def _updated(glance: Glance) -> str:
    if glance.until is None or glance.since is None:
        return '<p class="soft">No run is counted yet.</p>'
    run = escape(glance.last_run)
    return (
        f'<p class="soft">30 days up to {glance.until:%Y-%m-%d} (UTC), as of the run '
        f'<a href="{escape(quote(glance.last_run, safe=""))}/index.html">{run}</a>. '
        f"Totals count all runs since {glance.since:%Y-%m-%d}.</p>"
    )


def _totals(glance: Glance) -> str:
    today, month = _last(glance)
    runs = sum(day.runs for day in glance.days.values())
    tiles = [
        (count(glance.images, "image", "images"), size(glance.image_bytes)),
        (count(len(glance.feeds), "feed", "feeds"), _problems(glance)),
        (count(runs, "run in 30 days", "runs in 30 days"), _not_ok(glance)),
        (f"{_usd(today)} USD on the last day", f"{_usd(month)} this month"),
    ]
    split = ((*text.partition(" "), more) for text, more in tiles)
    cells = "".join(f"<li><b>{number}</b>{name}<small>{more}</small></li>" for number, _, name, more in split)
    return f'<ul class="totals">{cells}</ul>'


def _problems(glance: Glance) -> str:
    """Count the feeds that need attention; each counts once."""
    states = Counter(map(_state, glance.feeds.values()))
    counts = {
        "failed in the last run": states["failed"],
        "with an open gap": states["gap"] + states[_OLDER_GAP],
        "silent": states["silent"],
    }
    return ", ".join(f"{number:,} {text}" for text, number in counts.items() if number) or "all read, no open gap"


def _not_ok(glance: Glance) -> str:
    not_ok = sum(day.not_ok for day in glance.days.values())
    return f"{not_ok:,} partial or failed" if not_ok else "all ok"


def _last(glance: Glance) -> tuple[LakeDay, LakeDay]:
    """Return the day and the month of the last run."""
    day = glance.dates[-1] if glance.dates else ""
    return glance.days.get(day, LakeDay()), glance.months.get(day[:7], LakeDay())


def _usd(day: LakeDay) -> str:
    return _money(day.usd_networks + day.usd_aws)


def _money(usd: float) -> str:
    return f"{usd:,.3f}"


def _images_per_day(glance: Glance, gaps: dict[str, set[str]]) -> str:
    bars, most = [], 0
    for day in glance.dates:
        counts = _sum(feed.days.get(day) for feed in glance.feeds.values())
        with_gap = sum(day in days for days in gaps.values())
        run = day in glance.days
        most = max(most, counts.images + counts.missing)
        text = f"{day}: {_counted(counts) if run else 'no run'}"
        text += f", {count(with_gap, 'feed has a gap', 'feeds have a gap')}" if with_gap else ""
        values = (counts.images, counts.missing) if run else None
        bars.append(Bar(text, values, (bool(with_gap), bool(counts.not_read))))
    total = _sum(day for feed in glance.feeds.values() for day in feed.days.values())
    drawing = chart(f"Images of each day. In 30 days: {_counted(total)}", bars, _BARS, _LANES)
    return f"<section><h2>Images per day</h2>{drawing}{_axis(glance, f'most: {most:,}')}{_LEGEND}</section>"


def _cost_per_day(glance: Glance) -> str:
    bars, most = [], 0.0
    for day in glance.dates:
        cost = glance.days.get(day)
        text = (
            f"{day}: networks {_money(cost.usd_networks)} USD, AWS {_money(cost.usd_aws)} USD"
            if cost
            else f"{day}: no run"
        )
        bars.append(Bar(text, (cost.usd_networks, cost.usd_aws) if cost else None))
        most = max(most, cost.usd_networks + cost.usd_aws if cost else 0.0)
    total = sum(day.usd_networks + day.usd_aws for day in glance.days.values())
    drawing = chart(f"Cost of each day. In 30 days: {_money(total)} USD", bars, _MONEY_BARS)
    rows = "".join(_month(month, glance.months[month]) for month in reversed(list(glance.months)[-3:]))
    table = _table("money", ("month", *_MONEY), rows)
    axis = _axis(glance, f"most: {_money(most)} USD")
    return f"<section><h2>Cost per day</h2>{drawing}{axis}{_MONEY_LEGEND}{table if rows else ''}</section>"


def _month(month: str, cost: LakeDay) -> str:
    cells = [_money(cost.usd_networks), _money(cost.usd_aws), _usd(cost)]
    return f"<tr>{_cell('month', month)}{_numbers_of(_MONEY, cells)}</tr>"


def _feeds(glance: Glance, gaps: dict[str, set[str]]) -> str:
    if not glance.feeds:
        return ""
    sums = {feed_id: _sum(feed.days.values()) for feed_id, feed in glance.feeds.items()}

    def order(feed_id: str) -> tuple[bool, int, str]:
        return (_state(glance.feeds[feed_id]) not in _CLASSES, -sums[feed_id].images, feed_id)

    shown = sorted(glance.feeds, key=order)[:_MAX_FEEDS]
    rows = "".join(_feed(feed_id, glance, sums[feed_id], gaps[feed_id]) for feed_id in shown)
    rest = len(glance.feeds) - len(shown)
    note = f"<p>{rest:,} more are not shown.</p>" if rest else ""
    columns = ("feed", "30 days", "state", "images", "failed or rejected", "gap days")
    return f"<h2>Feeds</h2>{_LEGEND}{_table('feeds', columns, rows)}{note}"


def _feed(feed_id: str, glance: Glance, total: FeedDay, gaps: set[str]) -> str:
    feed, days = glance.feeds[feed_id], glance.dates
    bars = [_bar(day, feed.days.get(day), day in gaps) for day in days]
    in_sight = sum(day in gaps for day in days)
    title = f"30 days: {_counted(total)}, {count(in_sight, 'day', 'days')} with a gap"
    state = _state(feed)
    cells = [
        _cell("feed", escape(feed.name)),
        _cell("30 days", chart(title, bars, _BARS, _LANES)),
        _cell("state", f'<span class="{_CLASSES.get(state, "")}">{state}</span>'),
        _numbers_of(
            ("images", "failed or rejected", "gap days"), [f"{n:,}" for n in (total.images, total.missing, in_sight)]
        ),
    ]
    return f'<tr data-feed="{escape(feed_id)}">{"".join(cells)}</tr>\n'


def _state(feed: FeedGlance) -> str:
    if feed.silent:
        return "silent"
    has_older_gap = bool(feed.gaps) and feed.state not in ("gap", "failed")
    return _OLDER_GAP if has_older_gap else _STATES.get(feed.state, "not read yet")


def _bar(day: str, counts: FeedDay | None, has_gap: bool) -> Bar:
    text = f"{day}: {_counted(counts) if counts else 'no run'}{', gap' if has_gap else ''}"
    return Bar(text, (counts.images, counts.missing) if counts else None, (has_gap, bool(counts and counts.not_read)))


def _counted(counts: FeedDay) -> str:
    text = f"{count(counts.images, 'image', 'images')}, {counts.missing:,} failed or rejected"
    return f"{text}, not read {count(counts.not_read, 'time', 'times')}" if counts.not_read else text


def _sum(days: Iterable[FeedDay | None]) -> FeedDay:
    found = [day for day in days if day]
    return FeedDay(**{name: sum(getattr(day, name) for day in found) for name in FeedDay.model_fields})


def _newest(glance: Glance) -> str:
    if not glance.newest:
        return ""
    figures = "\n".join(_figure(number, image) for number, image in enumerate(glance.newest))
    return f'<h2 id="images">Newest images</h2>\n<div class="images thumbs">{figures}</div>'


def _figure(number: int, image: Thumbnail) -> str:
    return (
        f'<figure id="image-{number}" data-item="{escape(image.media_id)}">'
        f'<img src="{escape(image.src)}" alt="{escape(image.alt)}" loading="lazy">'
        f"<figcaption>{escape(image.source)} <span>{escape(image.dt)}</span> {link(image.permalink, 'post')}"
        "</figcaption></figure>"
    )


def _numbers(glance: Glance) -> str:
    """List the figures of the two charts, for those who cannot see them."""
    columns = ("day", "runs", "partial or failed", "images", "failed or rejected", "USD networks", "USD AWS")
    rows = []
    for day in reversed(glance.dates):
        lake, counts = glance.days.get(day), _sum(feed.days.get(day) for feed in glance.feeds.values())
        if lake is None:
            continue
        cells = [f"{n:,}" for n in (lake.runs, lake.not_ok, counts.images, counts.missing)]
        cells += [_money(lake.usd_networks), _money(lake.usd_aws)]
        rows.append(f"<tr>{_cell('day', day)}{_numbers_of(columns[1:], cells)}</tr>")
    table = _table("days", columns, "\n".join(rows))
    return f"<details><summary>All numbers by day</summary>{table}</details>" if rows else ""


def _axis(glance: Glance, most: str) -> str:
    days = glance.dates
    return f'<div class="axis"><span>{days[0]}</span><span>{most}</span><span>{days[-1]}</span></div>' if days else ""


def _table(name: str, columns: Iterable[str], rows: str) -> str:
    texts = ("feed", "30 days", "state", "month", "day")
    heads = (f"<th>{column}</th>" if column in texts else f'<th class="number">{column}</th>' for column in columns)
    return f'<table class="{name}"><tr>{"".join(heads)}</tr>\n{rows}</table>'


def _cell(column: str, html: str) -> str:
    return f'<td dir="auto" data-column="{column}">{html}</td>'


def _numbers_of(columns: Iterable[str], numbers: Iterable[str]) -> str:
    return "".join(
        f'<td class="number" data-column="{column}">{number}</td>'
        for column, number in zip(columns, numbers, strict=True)
    )


def _legend(*entries: tuple[str, str]) -> str:
    marks = (
        f'<li><svg aria-hidden="true"{" class=low" if name in _LANES else ""} viewBox="0 0 1 1"'
        f' preserveAspectRatio="none"><rect class="{name}" width="1" height="1"/></svg>{text}</li>'
        for name, text in entries
    )
    return f'<ul class="legend">{"".join(marks)}</ul>'


_LEGEND = _legend(
    ("images-bar", "new images"),
    ("missing-bar", "failed or rejected"),
    ("gap-mark", "below the bars: a gap, which no run has read"),
    ("unread", "at the bottom: a run could not read the feed"),
)
_MONEY_LEGEND = _legend(("networks-bar", "networks"), ("aws-bar", "AWS, estimated"))
