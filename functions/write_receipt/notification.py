"""The notification of an erasure: what was done, where the receipt is, and what remains. It names nobody."""

from __future__ import annotations

from collections.abc import Iterable

from imagelake.lake import object_keys
from imagelake.run.console import Console
from imagelake.run.erasure_models import Erasure, FoundCounts, WriteReceiptResult
from write_receipt.receipt import Receipt


def describe_receipt(receipt: Receipt, key: str, bucket: str, execution_arn: str) -> WriteReceiptResult:
    """Write the notification of a receipt."""
    console = Console.of(execution_arn)
    erased = f"{_count(receipt.items, 'item')} erased" if receipt.items else "nothing was found"
    places = [
        f"{one.place.replace('_', ' ')}: {_count(one.erased, 'entry')} in {_count(one.changed, 'object')},"
        f" {_count(one.versions, 'version')} deleted"
        for one in receipt.places
        if one.changed
    ]
    remains = [f"{one.place}: {one.until or one.condition}" for one in receipt.remains]
    sections = [
        f"Imagelake erasure {receipt.erasure_id} is complete: {erased}. What the request names cannot come back.",
        f"Reference: {receipt.reference}\nReason:    {receipt.reason}",
        _section("What was erased", places or ["nothing: no data matches the request"]),
        _section("What remains, and until when", remains),
        _section(
            "Where to look",
            [
                f"Receipt:   {console.object(bucket, key)}",
                f"Page:      {console.object(bucket, object_keys.receipt_page(key))}",
                f"Execution: {console.execution(execution_arn)}",
            ],
        ),
    ]
    return WriteReceiptResult(
        receipt_key=key, subject=f"Imagelake erasure complete: {erased}", message="\n\n".join(sections) + "\n"
    )


def describe_dry_run(erasure: Erasure, found: FoundCounts) -> WriteReceiptResult:
    """Write the notification of a dry run, which has changed nothing."""
    matches = found.items or found.files or found.open_batches or found.raw_images
    result = f"{_count(found.items, 'item')} found" if matches else "nothing matches"
    lines = [
        f"items:        {found.items:,}",
        f"files:        {found.files:,}",
        f"open batches: {found.open_batches:,}",
        f"raw images:   {found.raw_images:,}",
    ]
    nothing = ["nothing: no image, row or open batch is what the request names. It would be suppressed all the same."]
    sections = [
        f"Imagelake erasure {erasure.erasure_id}, dry run: {result}. Nothing was changed.",
        f"Reference: {erasure.reference}\nReason:    {erasure.reason}",
        _section("What would be erased", lines if matches else nothing),
        _section("What an erasure would look into", [f"{found.pages:,} raw pages, {found.reports:,} reports"]),
        _section("Price", [f"about {found.usd:.2f} USD"]),
        _section("How to go on", ["Start the erasure again without dry_run."]),
    ]
    return WriteReceiptResult(
        receipt_key="", subject=f"Imagelake erasure dry run: {result}", message="\n\n".join(sections) + "\n"
    )


def _count(number: int, noun: str) -> str:
    if number == 1:
        return f"1 {noun}"
    return f"{number:,} {noun.removesuffix('y')}ies" if noun.endswith("y") else f"{number:,} {noun}s"


def _section(title: str, lines: Iterable[str]) -> str:
    return "\n".join([f"{title}:", *(f"  {line}" for line in lines)])
