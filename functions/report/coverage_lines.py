"""The lines of a notification about coverage and money."""

from __future__ import annotations

import json
import shlex
from typing import Any

from imagelake.lake.coverage import CoverageRow, RunRow
from imagelake.run.masking import mask
from report.run_coverage import Coverage
from report.summary import count
from report.timeline import Gap, can_be_filled


def coverage_lines(coverage: Coverage) -> list[str]:
    """Say how many feeds are complete, then list the gaps and the silent feeds; empty if nothing was requested."""
    asked = [row for row in coverage.rows if row.state != "not_requested"]
    if not asked:
        return []
    complete = sum(row.state in ("complete", "no_activity") for row in asked)
    silent = [row for row in asked if row.silent]
    return [
        f"{complete} of {count(len(asked), 'feed', 'feeds')} complete",
        *(_gap_line(row, gap, coverage) for row, gap in coverage.gaps if not _is_named(row, gap)),
        *(f"{row.feed}: silent, no new post; {row.usual or 0:g} are usual on this weekday" for row in silent),
    ]


def money_lines(row: RunRow) -> list[str]:
    """Say what the run cost, and the price of a new image if there are some."""
    total = row.usd_networks + row.usd_aws
    line = f"networks {row.usd_networks:.3f} USD, AWS about {row.usd_aws:.3f} USD"
    return [f"{line}; {1000 * total / row.ok:.2f} USD per 1,000 new images" if row.ok else line]


def _is_named(row: CoverageRow, gap: Gap) -> bool:
    """Tell if the gap is that of a feed that failed: it is among the feeds that need attention, and no post is lost."""
    return row.state == "failed" and gap.start == row.gap_start and gap.recoverable_until is None


def _gap_line(row: CoverageRow, gap: Gap, coverage: Coverage) -> str:
    line = (
        f"{row.feed}: gap {gap.start:%Y-%m-%d %H:%M} to {gap.end:%Y-%m-%d %H:%M} UTC ({gap.reason.replace('_', ' ')})"
    )
    if not can_be_filled(gap, row.requested_end):
        return f"{line}, the network no longer lists it"
    until = ""
    if gap.recoverable_until:
        is_lost = gap.recoverable_until <= row.requested_end
        until = (
            ", the network stops listing it now"
            if is_lost
            else f", lost after {gap.recoverable_until:%Y-%m-%d %H:%M} UTC"
        )
    return f"{line}{until}: {_command(coverage.configs[row.feed_id], gap, coverage.stack)}"


def _command(config: Any, gap: Gap, stack: str) -> str:
    """Return the command that fills a gap; it has the whole definition, because a feed's budgets are a part of that."""
    if isinstance(config, dict):
        config = json.dumps({name: value for name, value in config.items() if name not in ("since", "window")})
    feed = mask(str(config))
    hint = "" if feed == config else " (first put the values back in place of REDACTED)"
    option = f" --stack {stack}" if stack else ""
    return f"./imagelake backfill {shlex.quote(feed)} --since {gap.start:%Y-%m-%d}{option}{hint}"
