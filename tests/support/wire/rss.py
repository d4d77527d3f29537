"""A site with feeds on loopback: RSS 2.0 with Media RSS, and JSON Feed in pages."""

from __future__ import annotations

import hashlib
from xml.sax.saxutils import escape

from tests.support.web_server import Answer, Received
from tests.support.wire.server import LOGIN_PAGE, UNICODE, WireServer

BOMB = '<!DOCTYPE rss [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><rss><channel><title>&b;</title></channel></rss>'


class Site(WireServer):
    """``/feed.xml`` answers conditional requests; ``/feed.json`` has an empty page between two others."""

    def __init__(self) -> None:
        super().__init__()
        self._items: list[str] = []

    def start(self) -> None:
        self.post(
            f'<media:content url="{self.photo("fig-in-bowl")}" medium="image"><media:description type="plain">'
            f"{escape(UNICODE)}</media:description></media:content><description>{escape(f'<p>{UNICODE}</p>')}</description>"
        )
        self.post('<enclosure url="photos/gravel.jpg" type="image/jpeg" length="9"/>')
        self.post(f'<media:content url="{self.url}/film.mp4" type="video/mp4"/>')
        self.post(f'<enclosure url="{self.photo("rocket")}" type="image/jpeg"/>', when="yesterday")
        self.faults["/feed.xml"] = [Answer.text("slow down", "text/plain", 429, retry_after="1")]

    def post(self, inside: str, when: str = "Fri, 20 Nov 2026 10:00:00 GMT") -> None:
        number = len(self._items)
        self._items.insert(0, f"<item><guid>{number}</guid><pubDate>{when}</pubDate>{inside}</item>")

    def page(self, asked: Received) -> Answer:
        match asked.path:
            case "/feed.xml":
                return self._rss(asked)
            case "/feed.json":
                return self._json(asked)
            case "/behind-a-login.xml":
                return Answer.text(LOGIN_PAGE)
            case "/cut.xml":
                return Answer.text(self._text()[:150], "application/rss+xml")
            case "/bomb.xml":
                return Answer.text(BOMB, "application/rss+xml")
            case "/blank.xml":
                return Answer.text("", "application/rss+xml")
            case "/moved.xml":
                return Answer.text("", status=301, location=f"{self.url}/feed.xml")
        return Answer.text("<h1>Not Found</h1>", status=404)

    def _rss(self, asked: Received) -> Answer:
        version = f'"{hashlib.sha256(self._text().encode()).hexdigest()[:12]}"'
        if asked.headers.get("if-none-match") == version:
            return Answer(b"", status=304, headers={"etag": version})
        return Answer.text(self._text(), "text/plain", etag=version)

    def _text(self) -> str:
        head = '<?xml version="1.0" encoding="utf-8"?>\n<rss version="2.0" xmlns:media="http://search.yahoo.com/mrss/" '
        rights = 'xmlns:cc="http://creativecommons.org/ns#"><channel><cc:license>https://cc.example/by</cc:license>'
        return f"{head}{rights}{''.join(self._items)}</channel></rss>"

    def _json(self, asked: Received) -> Answer:
        number = int(asked.query.get("page", "1"))
        photos = {1: ["sunset-hills"], 2: [], 3: ["wall-clock"]}[number]
        items = [
            {
                "id": f"{number}-{name}",
                "title": UNICODE,
                "date_published": f"2026-11-{20 - number}T10:00:00Z",
                "image": self.photo(name),
            }
            for name in photos
        ]
        body = {"version": "https://jsonfeed.org/version/1.1", "title": "A site", "items": items}
        return Answer.of(body | ({"next_url": f"/feed.json?page={number + 1}"} if number < 3 else {}))
