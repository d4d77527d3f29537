"""The report of a run as one HTML page: it has no script, loads nothing from elsewhere and escapes every text."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from imagelake.lake.rows import Status
from report.contact_sheet import Thumbnail
from report.summary import FeedSummary, Summary

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = """
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent); }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.outcome { padding: .1rem .6rem; border-radius: 1rem; color: #fff; }
.ok { background: #2a7d46; } .partial { background: #a86b00; } .failed { background: #b3261e; }
.totals { display: flex; flex-wrap: wrap; gap: 1rem; padding: 0; list-style: none; }
.totals li { border: 1px solid var(--line); border-radius: .5rem; padding: .5rem 1rem; }
.totals b { display: block; font-size: 1.5rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem; border-bottom: 1px solid var(--line); }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
.sheet { display: grid; grid-template-columns: repeat(auto-fill, minmax(160px, 1fr)); gap: .75rem; }
figure { margin: 0; } figure img { width: 160px; height: 160px; object-fit: contain; background: var(--line); }
figcaption { font-size: .75rem; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; width: 160px; }
code { overflow-wrap: anywhere; }
"""


def render(summary: Summary, thumbnails: list[Thumbnail]) -> str:
    """Write the page."""
    run = summary.run
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        f"<title>Imagelake {escape(run.dt)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>Run <code>{escape(run.run_id)}</code> for {escape(run.dt)}",
        f'<span class="outcome {summary.outcome}">{summary.outcome}</span></h1>',
        '<ul class="totals">',
        *(f"<li><b>{number}</b>{escape(name)}</li>" for name, number in summary.totals.items()),
        "</ul>",
        _list("Warnings", summary.warnings),
        _list("Left out before download", summary.left_out),
        _list("Billed by the networks", summary.bills),
        "<h2>Feeds</h2>",
        _table(
            ("feed", "status", "posts", "planned", *Status, "problem"),
            (_feed_cells(feed) for feed in summary.feeds),
        ),
        "<h2>Errors by code</h2>" if summary.errors else "",
        _table(("code", "items"), ((code, number) for code, number in summary.errors.items()))
        if summary.errors
        else "",
        "<h2>Contact sheet</h2>" if thumbnails else "",
        '<div class="sheet">',
        *(_figure(thumbnail) for thumbnail in thumbnails),
        "</div></body></html>",
    ]
    return "\n".join(part for part in parts if part)


def _feed_cells(feed: FeedSummary) -> tuple[object, ...]:
    problem = f"{feed.problem.error}: {feed.problem.message}" if feed.problem is not None else ""
    posts = feed.plan.posts if feed.plan is not None else 0
    counts = (feed.counts.get(name, 0) for name in ("planned", *Status))
    return (feed.name, feed.status.replace("_", " "), posts, *counts, problem)


def _table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    lines = ["<tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in head) + "</tr>"]
    for row in rows:
        cells = (
            f'<td class="number">{cell}</td>' if isinstance(cell, int) else f'<td dir="auto">{escape(str(cell))}</td>'
            for cell in row
        )
        lines.append("<tr>" + "".join(cells) + "</tr>")
    return "<table>" + "\n".join(lines) + "</table>"


def _list(title: str, entries: list[str]) -> str:
    return (
        f"<h2>{title}</h2><ul>" + "".join(f'<li dir="auto">{escape(entry)}</li>' for entry in entries) + "</ul>"
        if entries
        else ""
    )


def _figure(thumbnail: Thumbnail) -> str:
    row = thumbnail.row
    # The permalink is a stranger's text, so the page does not link to it.
    alt_text = escape(row["alt_text"] or "", quote=True)
    caption = escape(row["caption"][:80])
    return f'<figure><img src="{thumbnail.src}" alt="{alt_text}"><figcaption dir="auto">{caption}</figcaption></figure>'
