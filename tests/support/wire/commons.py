"""The MediaWiki API on loopback, as Wikimedia Commons answers (https://www.mediawiki.org/wiki/API:Query)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.support.web_server import Answer, Received
from tests.support.wire.server import LOGIN_PAGE, UNICODE, WireServer

API = "/w/api.php"
PAGE_SIZE = 2
# Refused rather than answered wrongly, should the adapter ask for something else.
LISTING = {"generator": "categorymembers", "gcmnamespace": "6", "gcmsort": "timestamp", "formatversion": "2"}


class CommonsServer(WireServer):
    """The category ``Cats``, of which every page but the last is followed by an empty one."""

    def __init__(self) -> None:
        super().__init__()
        self.files: list[dict[str, Any]] = []

    def start(self) -> None:
        self.add("bird-lamp", artist=f'<a href="//x">{UNICODE}</a>', description=f"<p>{UNICODE}</p>")
        self.add("mountain-path", license="Public domain")
        self.add("brick-wall", mime="video/webm")
        self.add("snowy-ridge", userhidden=True)
        # The replicas lag behind, which the API says with status 200.
        lag = {"error": {"code": "maxlag", "info": "Waiting for a replica: 6 seconds lagged", "lag": 6}}
        self.faults[API] = [Answer.of(lag, retry_after="1")]

    def add(
        self, photo: str, artist: str = "Ann", description: str = "A cat", license: str = "CC BY-SA 4.0", **more: Any
    ) -> None:
        number = len(self.files) + 1
        told = {"LicenseShortName": license, "Artist": artist, "ImageDescription": description, "Categories": "Cats"}
        info = {
            "timestamp": "2026-11-01T10:00:00Z",
            "user": "Ann",
            "size": 9,
            "width": 4000,
            "height": 3000,
            "thumburl": self.photo(photo),
            "thumbwidth": 1280,
            "thumbheight": 960,
            "thumbmime": "image/jpeg",
            "url": f"{self.url}/originals/{photo}.tif",
            "descriptionurl": f"https://commons.wikimedia.org/wiki/File:{photo}.tif",
            "sha1": f"{number:040x}",
            "mime": "image/tiff",
            "extmetadata": {name: {"value": value, "source": "commons-desc-page"} for name, value in told.items()},
            **more,
        }
        added = f"2026-11-{10 + number}T10:00:00Z"
        self.files.append(
            {
                "pageid": number,
                "ns": 6,
                "title": f"File:{photo}.tif",
                "imageinfo": [info],
                "categories": [{"ns": 14, "title": "Category:Cats", "timestamp": added}],
            }
        )

    def page(self, asked: Received) -> Answer:
        if asked.path != API:
            return Answer.text("<h1>Not Found</h1>", status=404)
        category = asked.query.get("gcmtitle") or asked.query["titles"]
        if "generator" not in asked.query:
            missing = {} if category in ("Category:Cats", "Category:Login", "Category:Cut") else {"missing": True}
            return Answer.of({"batchcomplete": True, "query": {"pages": [{"ns": 14, "title": category, **missing}]}})
        if not asked.query.items() >= LISTING.items():
            return Answer.of({"error": {"code": "badvalue", "info": "not asked as expected"}})
        if category == "Category:Login":
            return Answer.text(LOGIN_PAGE)
        if category == "Category:Cut":
            listing = self._listing(asked)
            return replace(listing, body=listing.body[:-9])
        return self._listing(asked)

    def _listing(self, asked: Received) -> Answer:
        if asked.query["gcmdir"] == "newer":
            start = asked.query["gcmstart"]
            files = [file for file in self.files if file["categories"][0]["timestamp"] >= start]
        else:
            start = asked.query.get("gcmstart", "~")
            files = [file for file in reversed(self.files) if file["categories"][0]["timestamp"] <= start]
        begin, _, empty = asked.query.get("gcmcontinue", "0").partition("|")
        if empty:
            return Answer.of({"batchcomplete": True, "continue": {"gcmcontinue": begin, "continue": "gcmcontinue||"}})
        end = int(begin) + min(int(asked.query["gcmlimit"]), PAGE_SIZE)
        # By id, whatever the order of the listing is.
        page = sorted(files[int(begin) : end], key=lambda file: int(file["pageid"]))
        body: dict[str, Any] = {"batchcomplete": True, "query": {"pages": page}} if page else {"batchcomplete": True}
        if end < len(files):
            body["continue"] = {"gcmcontinue": f"{end}|empty", "continue": "gcmcontinue||"}
        return Answer.of(body)
