"""The notification of a rebuild: counts, and for each problem, what is wrong and what to do."""

from __future__ import annotations

from imagelake.lake import object_keys
from imagelake.run.contracts import ReportRebuildRequest, ReportRebuildResult
from report_rebuild.reconciliation import RebuildReport

_MAX_SHOWN = 10


def make_result(request: ReportRebuildRequest, report: RebuildReport, runbook: str) -> ReportRebuildResult:
    """Make the result of Report Rebuild."""
    run = request.run
    title = {"ok": "ok", "partial": "partial", "failed": "FAILED"}[report.outcome]
    subject = f"Imagelake rebuild {title}: {_summary(report)}"
    message = "\n".join(
        [f"Imagelake rebuild {run.run_id}: {title}", "", *_lines(report), "", f"Runbook: {runbook}", ""]
    )
    return ReportRebuildResult(
        outcome=report.outcome,
        error="RebuildIncomplete" if report.outcome == "failed" else None,
        subject=subject[:99],
        message=message,
        report_key=object_keys.rebuild_report(run.run_id),
    )


def _summary(report: RebuildReport) -> str:
    if report.rebuild.dry_run:
        return f"would rebuild {report.images:,} images in {report.files:,} files"
    if report.open:
        return f"rebuilt {report.counts.made:,} images; {len(report.open):,} files are as they were"
    return f"rebuilt {report.counts.made:,} images in {report.files:,} files"


def _lines(report: RebuildReport) -> list[str]:
    counts, price = report.counts, report.estimate
    lines = [
        f"Files:  {report.files:,} of {report.listed:,}, with {report.listed_bytes:,} bytes, have rows to rebuild",
        f"Images: {report.images:,}, with {report.raw_bytes:,} bytes of raw images",
        f"Price:  about {price.usd:,.2f} USD, or {price.usd_glacier:,.2f} USD from Glacier Instant Retrieval",
        f"Time:   about {price.minutes:g} minutes",
    ]
    if report.rebuild.dry_run:
        return [*lines, "This was a dry run, so nothing was changed."]
    if not report.files and not report.open:
        return [*lines, "No row matches the request, so nothing was changed."]
    lines.append(f"Rows:   {counts.ok:,} ok, {counts.duplicate:,} duplicate, {counts.rejected:,} rejected")
    lines.append(f"        {counts.changed:,} of them have another status than before")
    if counts.unreadable:
        reason = "their raw images are missing or damaged, or are archived"
        lines.append(f"{counts.unreadable:,} rows stay as they were, because {reason}.")
    if counts.kept:
        lines.append(
            f"{counts.kept:,} images stay, although the new options reject them, because duplicates refer to them."
        )
    shown = report.open[:_MAX_SHOWN]
    lines += [f"Not rebuilt: {one.key}: {one.failure.error}: {one.failure.message}" for one in shown]
    if report.open:
        lines.append(f"{len(report.open):,} files are as they were. Start the rebuild again with the same input.")
    return lines
