"""Facebook on loopback, in the shapes of https://developers.facebook.com/docs/graph-api/reference/page/feed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tests.support.web_server import Answer, Received
from tests.support.wire.graph import GraphServer, error, throttled, written
from tests.support.wire.server import UNICODE, now

# The list of an album has pages, as every list of the Graph API: https://developers.facebook.com/docs/graph-api/results
_ALBUM = "/v26.0/1/subattachments"


class FacebookServer(GraphServer):
    """The Page ``CatCafe``: a page of posts, the rest of an album, an empty page that leads on, another page."""

    def start(self) -> None:
        album = {"media_type": "album", "type": "album", "media": {}, "target": {"id": "1"}}
        rest = f"{self.url}{_ALBUM}?access_token={min(self.tokens)}&limit=100&after=B1"
        paging = {"cursors": {"after": "B1"}, "next": rest}
        album["subattachments"] = {"data": [self._photo("11", "chelsea-cat")], "paging": paging}
        card = self._photo("13", "coffee-cup", media_type="link", type="share")
        self._pages: dict[str, list[Any]] = {
            "": [
                self._post("100_1", album, message=UNICODE),
                self._post("100_2", card, status_type="shared_story"),
                self._post("100_3", self._photo("14", "gravel"), is_published=False),
            ],
            "A1": [],
            "A2": [self._post("100_4", None) | {"full_picture": self.signed("nuthatch")}],
        }
        self.faults["/v26.0/CatCafe/published_posts"] = [throttled(80001, "pages")]

    def page(self, asked: Received) -> Answer:
        if asked.path == _ALBUM and asked.query["after"] == "B1":
            return written({"data": [self._photo("12", "dragonfly")]})
        if asked.path != "/v26.0/CatCafe/published_posts" or "subattachments" not in asked.query["fields"]:
            return error(803, f"(#803) Some of the aliases you requested do not exist: {asked.path}", 404)
        after = asked.query.get("after", "")
        body: dict[str, Any] = {"data": self._pages[after]}
        if after != "A2":
            leads_to = {"": "A1", "A1": "A2"}[after]
            body["paging"] = {"cursors": {"after": leads_to}, "next": self.next(asked, after=leads_to)}
        return written(body)

    def _post(self, name: str, attached: Any, **more: Any) -> dict[str, Any]:
        post = {
            "id": name,
            "created_time": (now() - timedelta(minutes=int(name[-1]))).strftime("%Y-%m-%dT%H:%M:%S+0000"),
            "permalink_url": f"https://www.facebook.com/{name}",
            "status_type": "added_photos",
            "is_published": True,
            "from": {"name": f"Cat Café {UNICODE}", "id": "100"},
            **more,
        }
        return post | ({"attachments": {"data": [attached]}} if attached else {})

    def _photo(self, name: str, photo: str, **more: Any) -> dict[str, Any]:
        image = {"src": self.signed(photo), "width": 640, "height": 480}
        return {"media_type": "photo", "type": "photo", "media": {"image": image}, "target": {"id": name}, **more}
