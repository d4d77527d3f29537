"""The lake at a glance in a real browser: it fits every screen, loads nothing else, and its colors have contrast."""

from __future__ import annotations

import html
import json
import re
from typing import Any

import pytest

from report.glance import Glance
from report.glance_page import render_glance
from tests.support.browser import Browser
from tests.support.glances import glance_of
from tests.support.web_server import Answer, WebServer

pytestmark = pytest.mark.full

WIDTHS = (360, 390, 820, 1440)
# https://www.w3.org/TR/WCAG22/#contrast-minimum and https://www.w3.org/TR/WCAG22/#non-text-contrast
TEXT_CONTRAST, GRAPHICS_CONTRAST = 4.5, 3.0
LONG = "a" * 300

# Show the page in frames of several widths, light and dark, and write what a script measures there into the document.
FRAMES = """<!doctype html><body><pre></pre><script>
const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
const luminance = colors => {
  colors.forEach(color => { canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1); });
  const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map(
    value => value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const contrast = (color, ground) => {
  const [low, high] = [luminance([ground]), luminance([ground, color])].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
};
const measure = frame => {
  const page = frame.contentDocument, seen = element => element.getBoundingClientRect();
  page.querySelectorAll("details").forEach(details => details.open = true);
  const style = element => frame.contentWindow.getComputedStyle(element);
  const inside = page.documentElement.clientWidth, ground = style(page.body).backgroundColor;
  const all = [...page.querySelectorAll("body *")];
  const texts = all.filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) && !e.closest("svg"));
  const drawn = [...page.querySelectorAll("svg rect:not(.day, .line)")].filter(e => seen(e).height > 0);
  const least = (elements, property) => Math.min(99, ...elements.map(e => contrast(style(e)[property], ground)));
  return {
    ground, wide: page.documentElement.scrollWidth - inside, scripts: page.scripts.length,
    cut: all.filter(e => !e.closest("svg g") && seen(e).right > inside + 1).map(e => e.outerHTML.slice(0, 200)),
    flat: [...page.querySelectorAll("svg.chart")].filter(e => seen(e).height < 30 || seen(e).width < 100).length,
    text: least(texts, "color"), graphics: least(drawn, "fill"), drawn: drawn.length,
  };
};
const frames = WIDTHS.flatMap(width => ["light", "dark"].map(scheme => {
  const frame = document.createElement("iframe");
  Object.assign(frame, { width, height: 900, src: "/page", style: `color-scheme: ${scheme}` });
  document.body.append(frame);
  return new Promise(done => frame.onload = () => done(measure(frame)));
}));
Promise.all(frames).then(all => document.querySelector("pre").textContent = JSON.stringify(all));
</script></body>""".replace("WIDTHS", json.dumps(WIDTHS))


@pytest.mark.parametrize(
    "names",
    [
        (),
        ("bluesky:alice.example",),
        ("bluesky:alice.example", f"rss:https://example.org/{LONG}", "mastodon:example.org#चित्र", "הודעה ארוכה " * 9)
        * 3,
    ],
)
def test_page_fits_every_screen(browser: Browser, names: tuple[str, ...]) -> None:
    page = render_glance(glance_of(*names, alt=LONG) if names else Glance())
    with WebServer() as server:
        server.answers |= {"/": [Answer.text(FRAMES)], "/page": [Answer.text(page)]}
        document = browser.document(f"http://127.0.0.1:{server.port}/")
        loaded = {request.path for request in server.requests}
    measured = _measured(document)
    assert len(measured) == 2 * len(WIDTHS)
    for one in measured:
        assert one["wide"] <= 0
        assert one["cut"] == []
        assert one["scripts"] == one["flat"] == 0
        assert one["text"] >= TEXT_CONTRAST
        assert one["graphics"] >= GRAPHICS_CONTRAST
        assert one["drawn"] > 0 or not names
    assert len({one["ground"] for one in measured}) == 2, "light and dark"
    assert loaded <= {"/", "/page", "/favicon.ico"}


def _measured(document: str) -> list[dict[str, Any]]:
    match = re.search("<pre>(.+?)</pre>", document)
    assert match is not None
    measured: list[dict[str, Any]] = json.loads(html.unescape(match[1]))
    return measured
