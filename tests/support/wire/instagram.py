"""Instagram on loopback, in the shapes of https://developers.facebook.com/docs/instagram-platform."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

from tests.support.web_server import Answer, Received
from tests.support.wire.graph import GraphServer, error, throttled, written
from tests.support.wire.server import LOGIN_PAGE, UNICODE, now

MY_ID = "17841400000000001"
TAG_ID = "17843853986012965"


class InstagramServer(GraphServer):
    """One's own account, the account ``alice.cats`` and the hashtag ``cats``; ``login`` is renewed to ``renewed``."""

    def __init__(self, login: str, renewed: str, facebook: str) -> None:
        super().__init__(login, facebook)
        self._renewed = renewed
        self._tag_pages = 0

    def start(self) -> None:
        carousel = [self._part("31", "dandelion"), self._part("32", None), {"id": "33"}]
        self._mine = [
            self._medium("30", None, media_type="CAROUSEL_ALBUM", children={"data": carousel}, caption=UNICODE),
            self._medium("40", None),  # as for copyrighted material
            self._medium("50", "gravel", media_type="VIDEO", thumbnail_url=self.signed("gravel")),
            self._medium("60", "wall-clock") | {"media_url": self.signed("wall-clock", -60)},
            self._medium("65", "paint-brushes") | {"media_url": self.signed("paint-brushes", -60)},
            {"id": "70", "media_type": "IMAGE"},
        ]
        self.faults["/v26.0/me/media"] = [throttled(80002, "instagram")]

    def page(self, asked: Received) -> Answer:
        if asked.path == "/refresh_access_token":
            self.tokens.add(self._renewed)
            return written({"access_token": self._renewed, "token_type": "bearer", "expires_in": 5_184_000})
        if asked.path == "/v26.0/me/media":
            return self._listing(asked, self._mine)
        if asked.path == f"/v26.0/{MY_ID}":
            return self._discovery(asked)
        if asked.path == "/v26.0/ig_hashtag_search" and asked.query["user_id"] == MY_ID:
            return written({"data": [{"id": TAG_ID}] if asked.query["q"] == "cats" else []})
        if asked.path == f"/v26.0/{TAG_ID}/recent_media" and asked.query["user_id"] == MY_ID:
            return self._recent()
        return error(100, "Unsupported get request", error_subcode=33)

    def _listing(self, asked: Received, media: list[Any]) -> Answer:
        if "since" in asked.query:
            return self._again(asked)
        start = int(asked.query.get("after", "0"))
        body: dict[str, Any] = {"data": media[start : start + 2], "paging": {"cursors": {"after": str(start + 2)}}}
        if start + 2 < len(media):
            body["paging"]["next"] = self.next(asked, after=str(start + 2))
        return written(body)

    def _again(self, asked: Received) -> Answer:
        """The posts of a span of time, where 60 has a fresh address and 65 has none."""
        since, until = int(asked.query["since"]), int(asked.query["until"])
        times = {one["id"]: datetime.fromisoformat(one["timestamp"]) for one in self._mine if "timestamp" in one}
        shown = [one for one in self._mine if one["id"] in times and since < times[one["id"]].timestamp() < until]
        fresh = {"60": {"media_url": self.signed("wall-clock")}}
        return written({"data": [one | fresh.get(one["id"], {}) for one in shown]})

    def _discovery(self, asked: Received) -> Answer:
        name = re.match(r"business_discovery\.username\(([\w.]+)\)", asked.query["fields"])
        if name is None or name[1] == "throttled":
            return Answer.text(LOGIN_PAGE)
        if name[1] != "alice.cats":
            return error(110, "Invalid user id", error_subcode=2207013)
        leads_on = "after(A1)" not in asked.query["fields"]
        media = {
            "data": [self._medium("80" if leads_on else "81", "fig-in-bowl" if leads_on else "brick-wall")],
            "paging": {"cursors": {"after": "A1"} if leads_on else {"before": "B1"}},
        }
        return written({"business_discovery": {"id": "1784", "username": "alice.cats", "media": media}, "id": MY_ID})

    def _recent(self) -> Answer:
        """Another page at every asking, all under one cursor; the last one for ever."""
        self._tag_pages += 1
        number, photo = (90, "forest-stream") if self._tag_pages == 1 else (91, "two-dogs")
        anonymous = self._medium(str(number), photo)
        del anonymous["username"]
        return written({"data": [anonymous], "paging": {"cursors": {"after": "same"}}})

    def _medium(self, name: str, photo: str | None, **more: Any) -> dict[str, Any]:
        medium = {
            "id": name,
            "caption": "a cat #cats",
            "media_type": "IMAGE",
            "permalink": f"https://www.instagram.com/p/{name}/",
            "timestamp": (now() - timedelta(minutes=int(name))).strftime("%Y-%m-%dT%H:%M:%S+0000"),
            "username": "alice.cats",
            **more,
        }
        return medium | ({"media_url": self.signed(photo)} if photo else {})

    def _part(self, name: str, photo: str | None) -> dict[str, Any]:
        kind = "IMAGE" if photo else "VIDEO"
        return {"id": name, "media_type": kind, "media_url": self.signed(photo or "clip"), "alt_text": UNICODE}
