"""The report of a run as one HTML page: it has no script, loads nothing from elsewhere and escapes every text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.parts import StagedRow
from imagelake.lake.rows import Status
from imagelake.run.masking import mask
from report.contact_sheet import ShownImage
from report.coverage_lines import coverage_lines
from report.item_problems import ItemProblem, item_problems
from report.notification import HEADLINES
from report.run_coverage import Coverage
from report.summary import FeedSummary, Summary

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = Path(__file__).with_name("page.css").read_text()
_WEB_URL = re.compile(r"https?://[^\s\\]+", re.ASCII | re.IGNORECASE)
_FEED_COLUMNS = ("feed", "result", "posts", "planned", *Status, "problem")
_MAX_FILES = 10
_ITEM_COLUMNS = ("feed", "post", "result", "reason")


def write_page(summary: Summary, coverage: Coverage, images: list[ShownImage], bucket: Bucket) -> None:
    """Write the page with the images and the problems of a run."""
    page = render(summary, coverage_lines(coverage), images, item_problems(summary, bucket), bucket.name)
    bucket.put(object_keys.html_report(summary.run.run_id), page.encode(), "text/html; charset=utf-8")


def render(
    summary: Summary, coverage: list[str], images: list[ShownImage], items: list[ItemProblem], bucket: str
) -> str:
    """Write the page."""
    run = summary.run
    parts = [
        head(f"Imagelake {run.dt}"),
        f'<h1>Imagelake run for {escape(run.dt)}</h1><p class="soft">{escape(run.run_id)}</p>',
        f'<p class="outcome {summary.outcome}">{escape(HEADLINES[summary.outcome])}</p>',
        '<ul class="totals">',
        *(f"<li{_none(number)}><b>{number:,}</b>{escape(name)}</li>" for name, number in summary.totals.items()),
        "</ul>",
        _list("Warnings", summary.warnings),
        _list("Left out before download", summary.left_out),
        _list("Backfill", summary.backfills),
        _list("Billed by the networks", summary.bills),
        _list("Coverage", coverage),
        "<h2>Feeds</h2>",
        _table(_FEED_COLUMNS, (_feed_cells(feed) for feed in summary.feeds)),
        _section("Top errors", _table(("error", "items"), _text_rows(summary.errors.items())))
        if summary.errors
        else "",
        _items(summary, items, bucket),
        _images(summary, images, bucket),
        f'<p>All runs of thirty days: <a href="../index.html">{object_keys.GLANCE_PAGE}</a></p>',
        "</body></html>",
    ]
    return "\n".join(part for part in parts if part)


def head(title: str, style: str = "") -> str:
    """Write the head of a page; ``style`` is added to that of all pages."""
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
            '<meta name="referrer" content="no-referrer">',
            f"<title>{escape(title)}</title><style>{_STYLE}{style}</style></head><body>",
        ]
    )


def _none(number: int) -> str:
    return "" if number else ' class="none"'


def _section(title: str, content: str) -> str:
    return f"<h2>{title}</h2>\n{content}"


def _list(title: str, entries: list[str]) -> str:
    lines = "".join(f'<li dir="auto">{escape(entry)}</li>' for entry in entries)
    return _section(title, f"<ul>{lines}</ul>") if entries else ""


def _table(columns: Sequence[str], rows: Iterable[Iterable[int | str]], media_ids: Sequence[str] = ()) -> str:
    """Write a table; a cell is a number, or HTML. If rows show media items, an erasure finds them by their ids."""
    cells_of_rows = [list(row) for row in rows]
    numeric = [all(isinstance(row[index], int) for row in cells_of_rows) for index in range(len(columns))]
    heads = (
        f'<th class="number">{escape(column)}</th>' if is_number else f"<th>{escape(column)}</th>"
        for column, is_number in zip(columns, numeric, strict=True)
    )
    lines = ["<tr>" + "".join(heads) + "</tr>"]
    for number, row in enumerate(cells_of_rows):
        cells = (_cell(column, value) for column, value in zip(columns, row, strict=True))
        lines.append(f"<tr{_item(media_ids[number]) if media_ids else ''}>" + "".join(cells) + "</tr>")
    return "<table>" + "\n".join(lines) + "</table>"


def _item(media_id: str) -> str:
    return f' data-item="{escape(media_id)}"'


def _cell(column: str, value: int | str) -> str:
    if isinstance(value, int):
        return f'<td class="number{"" if value else " zero"}" data-column="{escape(column)}">{value:,}</td>'
    return f'<td dir="auto" data-column="{escape(column)}">{value}</td>'


def _text_rows(rows: Iterable[Iterable[int | str]]) -> Iterable[list[int | str]]:
    return ([escape(value) if isinstance(value, str) else value for value in row] for row in rows)


def _feed_cells(feed: FeedSummary) -> list[int | str]:
    problem = f"{feed.problem.error}: {feed.problem.message}" if feed.problem is not None else ""
    posts = feed.plan.posts if feed.plan is not None else 0
    counts = [feed.counts.get(name, 0) for name in ("planned", *Status)]
    name = f"{escape(feed.name)}<br><small><code>{escape(feed.feed_id)}</code></small>"
    return [name, feed.status.replace("_", " "), posts, *counts, escape(problem)]


def _items(summary: Summary, items: list[ItemProblem], bucket: str) -> str:
    if not items:
        return ""
    rest = sum(summary.errors.values()) - len(items)
    folder = f"s3://{bucket}/{object_keys.failures_prefix(summary.run.run_id)}"
    note = f"<p>{rest:,} more are not shown. All are listed in <code>{escape(folder)}</code>.</p>" if rest > 0 else ""
    table = _table(
        _ITEM_COLUMNS,
        (
            [
                escape(item.feed),
                link(item.permalink, item.post_id),
                escape(item.status),
                f"<code>{escape(item.error_code)}</code> {escape(item.error_message)}",
            ]
            for item in items
        ),
        [item.media_id for item in items],
    )
    return _section("Failed and rejected images", table + note)


def _images(summary: Summary, images: list[ShownImage], bucket: str) -> str:
    total = summary.totals[Status.OK]
    if not total:
        return ""
    note = f"<p>{len(images):,} of {total:,} new images are shown; click one to enlarge it."
    if len(images) < total:
        keys = [object_keys.parquet(batch) for feed in summary.feeds for batch in feed.closed]
        files = ", ".join(f"<code>{escape(key)}</code>" for key in keys[:_MAX_FILES])
        more = f" and {len(keys) - _MAX_FILES:,} more files" if len(keys) > _MAX_FILES else ""
        note += f" The others, and those marked as sensitive, are in the bucket <code>{escape(bucket)}</code>:"
        note += f" {files}{more}."
    numbers = {image.row["media_id"]: number for number, image in enumerate(images)}
    figures = "\n".join(_figure(number, image, numbers) for number, image in enumerate(images))
    return _section('<span id="images">New images</span>', f'{note}</p>\n<div class="images">{figures}</div>')


def _figure(number: int, image: ShownImage, numbers: Mapping[str, int]) -> str:
    row = image.row
    alt_text = escape(row["alt_text"] or "")
    text = escape(row["caption"] or row["alt_text"] or "")
    return (
        f'<figure id="image-{number}"{_item(row["media_id"])}>'
        f'<a href="#image-{number}"><img src="{image.src}" alt="{alt_text}"></a>'
        f'<figcaption>{_near_duplicate(row, numbers)}<span class="text" dir="auto">{text}</span>'
        f'{link(row["permalink"], "post")} <a class="back" href="#images">back to all images</a></figcaption></figure>'
    )


def _near_duplicate(row: StagedRow, numbers: Mapping[str, int]) -> str:
    """Mark a near duplicate, and link to its original if the page shows it."""
    original = row["duplicate_of"]
    if original is None:
        return ""
    # Rows that were staged by an earlier version have no kind.
    kind = f": {escape(found)}" if (found := row.get("duplicate_kind")) else ""
    href = f' href="#image-{numbers[original]}"' if original in numbers else ""
    return f'<a class="near"{href} title="{escape(original)}">near duplicate{kind}</a> '


def link(url: str | None, text: str) -> str:
    """Link to a post. The URL comes from a network, so only a web page is linked, and it learns nothing of this one."""
    text = f"<bdi>{escape(text)}</bdi>"
    if url is None or not _WEB_URL.fullmatch(url) or mask(url) != url:
        return text
    return f'<a href="{escape(url)}" rel="noopener noreferrer nofollow">{text}</a>'
