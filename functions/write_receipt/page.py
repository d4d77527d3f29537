"""The receipt as an HTML page: it has no script, loads nothing from elsewhere and escapes every text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; margin-bottom: 2rem; display: block; overflow-x: auto; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #8884; }
td { overflow-wrap: anywhere; }
"""


def render(receipt: Mapping[str, Any]) -> str:
    """Write the page of a receipt, whose fields are those of its JSON."""
    facts = {
        "Status": "Complete: a last search found nothing",
        "Confirmation code": receipt["erasure_id"],
        "Reference": receipt["reference"],
        "Reason": receipt["reason"].replace("_", " "),
        "Started": receipt["started_at"],
        "Finished": receipt["finished_at"],
        "Items erased": f"{receipt['items']:,}",
        "Images kept, because other posts show them": f"{receipt['images_kept']:,}",
    }
    places = (
        (place["place"].replace("_", " "), place["changed"], place["erased"], place["versions"])
        for place in receipt["places"]
    )
    remains = ((one["place"], one["until"] or one["condition"]) for one in receipt["remains"])
    requested = ((one["kind"], one["hash"]) for one in receipt["requested"])
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            f"<title>Imagelake erasure {escape(receipt['erasure_id'])}</title><style>{_STYLE}</style></head><body>",
            "<h1>Receipt of an erasure</h1>",
            _table((), facts.items()),
            "<p>What the request names is on the suppression list, so it cannot come back.</p>",
            "<h2>What was requested</h2><p>As keyed hashes: this page names nobody.</p>",
            _table(("kind", "hash"), requested),
            "<h2>What was erased</h2>",
            _table(("place", "objects changed", "entries erased", "versions deleted"), places),
            "<p>All older versions of pages, rejects, reports and working objects are deleted, whomever they name,"
            " because nobody can tell. The last column counts these too.</p>",
            "<h2>What remains, and until when</h2>",
            _table(("place", "until"), remains),
            "</body></html>",
        ]
    )


def _table(heads: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    lines = ["".join(f"<th>{escape(head)}</th>" for head in heads)] if heads else []
    lines += ["".join(f"<td>{escape(str(cell))}</td>" for cell in row) for row in rows]
    return "<table>" + "\n".join(f"<tr>{line}</tr>" for line in lines) + "</table>"
