"""The views of the table ``coverage``; the SQL is the same for Athena and DuckDB."""

from __future__ import annotations

from imagelake.lake.coverage import CoverageRow, columns
from imagelake.lake.rows import Column

_OWN = {column.name: column for column in columns(CoverageRow)} | {"dt": Column("dt", "string", "Day of the run")}
_GAP = (
    "dt", "feed_id", "feed", "source", "run_id", "gap_start", "gap_end", "gap_reason", "recoverable_until",
)  # fmt: skip
# In the view, these are those of a piece.
_OPEN = {
    "gap_start": "Begin of what no run has read",
    "gap_end": "End of that",
    "recoverable_until": "Last time at which all of it can be filled; null: always, or not known",
}
GAP_COLUMNS = tuple(_OWN[name]._replace(meaning=_OPEN.get(name, _OWN[name].meaning)) for name in _GAP)
# A gap is cut at the ends of all readings of its feed. A piece that no reading contains is open. Two open pieces never
# meet, because each cut has a reading on one side.
GAPS_SQL = """\
WITH gaps AS (SELECT * FROM coverage WHERE gap_start < gap_end),
readings AS (
SELECT feed_id, read_start, read_end FROM coverage WHERE read_start < read_end
UNION ALL SELECT feed_id, unreported_start, unreported_end FROM coverage WHERE unreported_start < unreported_end),
edges AS (
SELECT feed_id, run_id, gap_start AS edge FROM gaps
UNION SELECT feed_id, run_id, gap_end FROM gaps
UNION SELECT g.feed_id, g.run_id, r.read_start FROM gaps g JOIN readings r
ON r.feed_id = g.feed_id AND r.read_start > g.gap_start AND r.read_start < g.gap_end
UNION SELECT g.feed_id, g.run_id, r.read_end FROM gaps g JOIN readings r
ON r.feed_id = g.feed_id AND r.read_end > g.gap_start AND r.read_end < g.gap_end),
pieces AS (
SELECT feed_id, run_id, edge AS piece_start,
lead(edge) OVER (PARTITION BY feed_id, run_id ORDER BY edge) AS piece_end FROM edges)
SELECT g.dt, g.feed_id, g.feed, g.source, g.run_id, p.piece_start AS gap_start, p.piece_end AS gap_end, g.gap_reason,
g.recoverable_until + (p.piece_start - g.gap_start) AS recoverable_until
FROM pieces p JOIN gaps g ON g.feed_id = p.feed_id AND g.run_id = p.run_id
LEFT JOIN readings r ON r.feed_id = p.feed_id AND r.read_start <= p.piece_start AND r.read_end >= p.piece_end
WHERE p.piece_end IS NOT NULL AND r.feed_id IS NULL ORDER BY 9 NULLS LAST, 6""".replace("\n", " ")
_STATES = ("complete", "no_activity", "gap", "failed", "not_requested")
_SUMS = ("new_posts", "images", "ok", "duplicate", "rejected")
_DAILY: tuple[tuple[Column, str], ...] = (
    (_OWN["dt"], "dt"),
    (_OWN["feed_id"], "feed_id"),
    (_OWN["feed"], "max(feed)"),
    (_OWN["source"], "max(source)"),
    (Column("runs", "bigint", "Runs with the feed on that day"), "count(*)"),
    *(
        (
            Column(f"runs_{state}", "bigint", f"Those with the state `{state}`"),
            f"cast(count_if(state = '{state}') AS bigint)",
        )
        for state in _STATES
    ),
    *((_OWN[name], f"cast(sum({name}) AS bigint)") for name in _SUMS),
    # ``failed`` would be the state, so the rows of files that failed have another name.
    (
        Column("failed_images", "bigint", "Rows of files that could not be downloaded"),
        "cast(sum(failed) AS bigint)",
    ),
    (
        Column("gap_seconds", "bigint", "Seconds of that day's gaps that are open: no run has read them so far"),
        "cast(coalesce(sum(open_seconds), 0) AS bigint)",
    ),
    (
        Column("closed_gap_seconds", "bigint", "Seconds of that day's gaps that a later run, or a backfill, has read"),
        "cast(coalesce(sum(date_diff('second', gap_start, gap_end)), 0) - coalesce(sum(open_seconds), 0) AS bigint)",
    ),
    (_OWN["declared"], "max(declared)"),
    (_OWN["usual"], "max(usual)"),
    (_OWN["silent"]._replace(meaning="True if a run of that day found the feed silent"), "bool_or(silent)"),
    (_OWN["usd"], "sum(usd)"),
)
DAILY_COLUMNS = tuple(column for column, _ in _DAILY)
DAILY_SQL = (
    f"SELECT {', '.join(f'{expression} AS {column.name}' for column, expression in _DAILY)}"
    " FROM coverage LEFT JOIN (SELECT feed_id AS open_feed, run_id AS open_run,"
    " sum(date_diff('second', gap_start, gap_end)) AS open_seconds FROM coverage_gaps GROUP BY feed_id, run_id)"
    " AS open_gaps ON open_feed = feed_id AND open_run = run_id GROUP BY dt, feed_id"
)
