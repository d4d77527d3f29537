"""The report in a real browser: it fits every screen, loads nothing else, and a click enlarges an image."""

from __future__ import annotations

import base64
import html
import json
import re
from typing import Any

import pytest

from imagelake.run.errors import ErrorCode
from imagelake.run.failures import Failure
from imagelake.run.models import FeedPlan
from report.contact_sheet import ShownImage
from report.item_problems import ItemProblem
from report.page import render
from report.summary import FeedSummary, Summary
from tests.support.browser import Browser
from tests.support.factories import RUN, feed_plan, jpeg
from tests.support.web_server import Answer, WebServer

pytestmark = pytest.mark.full

WIDTHS = (360, 768, 1440)
LONG = "a" * 300
IMAGE = "data:image/jpeg;base64," + base64.b64encode(jpeg(size=(512, 384))).decode()

# Show the report in frames of several widths, and write what a script measures there into the document.
FRAMES = """<!doctype html><body><pre></pre><script>
const frames = WIDTHS.map(width => {
  const frame = document.createElement("iframe");
  Object.assign(frame, { width, height: 900, src: "/report#image-1" });
  document.body.append(frame);
  return new Promise(done => frame.onload = () => {
    const page = frame.contentDocument, seen = element => element.getBoundingClientRect();
    const inside = page.documentElement.clientWidth;
    done({
      wide: page.documentElement.scrollWidth - inside,
      cut: [...page.querySelectorAll("body *")].filter(e => seen(e).right > inside + 1).map(e => e.outerHTML),
      enlarged: seen(page.querySelector("#image-1 img")).height / seen(page.querySelector("#image-0 img")).height,
      back: seen(page.querySelector("#image-1 .back")).height > 0,
      scripts: page.scripts.length,
    });
  });
});
Promise.all(frames).then(all => document.querySelector("pre").textContent = JSON.stringify(all));
</script></body>""".replace("WIDTHS", json.dumps(WIDTHS))


def test_report_fits_every_screen(browser: Browser) -> None:
    with WebServer() as server:
        server.answers |= {"/": [Answer.text(FRAMES)], "/report": [Answer.text(_report())]}
        document = browser.document(f"http://127.0.0.1:{server.port}/")
        loaded = {request.path for request in server.requests}
    measured = _measured(document)
    assert len(measured) == len(WIDTHS)
    for one in measured:
        assert one["wide"] <= 0
        assert one["cut"] == []
        assert one["back"]
        assert one["enlarged"] > 1
        assert one["scripts"] == 0
    assert loaded <= {"/", "/report", "/favicon.ico"}


def _measured(document: str) -> list[dict[str, Any]]:
    match = re.search("<pre>(.+?)</pre>", document)
    assert match is not None
    measured: list[dict[str, Any]] = json.loads(html.unescape(match[1]))
    return measured


def _report() -> str:
    """Make a page with long words everywhere, in two scripts."""
    feeds = [
        FeedSummary(
            feed_id=f"feed-{name[:5]}",
            name=name,
            config=name,
            status="failed",
            problem=Failure(error="SourceUnavailableError", message=LONG),
            plan=FeedPlan.model_validate(feed_plan(posts=1_000_000, warnings=[LONG, "הודעה ארוכה מאוד " * 10])),
            counts={"planned": 1_234_567, "ok": 1_234_567, "failed": 3},
            errors=dict.fromkeys(ErrorCode, 1),
            open=[],
            closed=[],
        )
        for name in ("bluesky:alice.example", f"rss:https://example.org/{LONG}", "mastodon:example.org#चित्र")
    ]
    totals = {"planned": 3, "shared": 0, "ok": 4_000_000, "duplicate": 0, "rejected": 0, "failed": 3_000, "erased": 0}
    summary = Summary(run=RUN, outcome="partial", totals=totals, errors=feeds[0].errors, feeds=feeds)
    items = [
        ItemProblem("a", feed.name, LONG, f"https://example.org/{LONG}", "failed", code, LONG)
        for feed in feeds
        for code in ErrorCode
    ]
    row: dict[str, Any] = {
        "media_id": "a",
        "alt_text": LONG,
        "caption": LONG,
        "duplicate_of": LONG,
        "duplicate_kind": "mirrored",
    }
    row |= {"permalink": None}
    images = [ShownImage(row, IMAGE) for _ in range(48)]  # type: ignore[arg-type]
    return render(summary, images, items, "bucket-" + LONG)
