"""X on loopback, in the shapes of https://docs.x.com/x-api/posts/search-recent-posts."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from tests.support.web_server import Answer, Received
from tests.support.wire.server import UNICODE, WireServer, now

PHOTOS = ("autumn-meadow", "sunset-hills", "mountain-path")
FIRST_ID = 1_991_000_000_000_000_000


class XServer(WireServer):
    """The account ``CatCafe`` with 14 posts, newest first: three photos, a video, and media that are not delivered."""

    def __init__(self, token: str) -> None:
        super().__init__()
        self._token = token

    def start(self) -> None:
        self._ids = [str(FIRST_ID + number) for number in range(14, 0, -1)]
        self.faults["/2/tweets/search/recent"] = [
            Answer.of({"title": "Too Many Requests", "type": "about:blank", "status": 429}, 429, **_limit(0, 1))
        ]

    def page(self, asked: Received) -> Answer:
        if asked.headers.get("authorization") != f"Bearer {self._token}":
            title = f"Unauthorized: {asked.headers.get('authorization')}"
            return Answer.of({"title": title, "type": "about:blank", "status": 401}, 401)
        if asked.path == "/2/users/by/username/CatCafe":
            return Answer.of({"data": {"id": "783214", "name": "Cat Café", "username": "CatCafe"}}, **_limit(299, 900))
        if asked.path == "/2/users/783214/tweets" and asked.query["exclude"] == "retweets":
            return self._listing(asked, "pagination_token")
        if asked.path == "/2/tweets/search/recent":
            return self._search(asked)
        problem = {"title": "Not Found Error", "type": "https://api.twitter.com/2/problems/resource-not-found"}
        return Answer.of({"errors": [problem | {"detail": f"Could not find {asked.path}"}]})

    def _search(self, asked: Received) -> Answer:
        match = re.fullmatch(r"(?:from:|#)(\w+) has:images -is:retweet", asked.query["query"])
        assert match, asked.query["query"]
        if match[1] == "broke":
            problem = {"title": "CreditsDepleted", "type": "https://api.x.com/2/problems/credits"}
            return Answer.of(problem, 402, **_limit(449, 900))
        since = asked.query.get("since_id")
        if since is not None and int(since) < FIRST_ID:
            errors = [{"parameters": {"since_id": [since]}, "message": "'since_id' must be of the last 7 days"}]
            return Answer.of({"errors": errors, "title": "Invalid Request"}, 400, **_limit(448, 900))
        return self._listing(asked, "next_token")

    def _listing(self, asked: Received, token: str) -> Answer:
        ids = [name for name in self._ids if int(name) > int(asked.query.get("since_id", "0"))]
        start, size = int(asked.query.get(token, "0")), int(asked.query["max_results"])
        page = ids[start : start + size]
        vocabulary = "post" if "post.fields" in asked.query else "tweet"
        meta: dict[str, Any] = {"result_count": len(page)}
        if start + size < len(ids):
            meta["next_token"] = str(start + size)
        if not page:
            return Answer.of({"meta": meta}, **_limit(447, 900))
        body = {
            "data": [self._post(name, vocabulary) for name in page],
            "includes": {"media": [one for name in page for one in self._media(name)]},
            "errors": [
                {
                    "resource_type": "media",
                    "title": "Not Found",
                    "type": "https://api.x.com/2/problems/resource-not-found",
                }
            ],
            "meta": meta,
        }
        return Answer.of(body, **_limit(447, 900))

    def _post(self, name: str, vocabulary: str) -> dict[str, Any]:
        number = int(name) - FIRST_ID
        return {
            "id": name,
            "text": f"post {number} &amp; {UNICODE}",
            "author_id": "783214",
            "created_at": (now() - timedelta(minutes=20 - number)).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
            "possibly_sensitive": number == 14,
            f"edit_history_{vocabulary}_ids": [name],
            "attachments": {"media_keys": [f"3_{number}"]},
        }

    def _media(self, name: str) -> list[dict[str, Any]]:
        number = int(name) - FIRST_ID
        if number > 11:
            url = self.photo(PHOTOS[number - 12])
            return [
                {
                    "media_key": f"3_{number}",
                    "type": "photo",
                    "url": url,
                    "width": 640,
                    "height": 480,
                    "alt_text": UNICODE,
                }
            ]
        return [{"media_key": f"3_{number}", "type": "video", "width": 640, "height": 480}] if number == 11 else []


def _limit(left: int, seconds: int) -> dict[str, str]:
    reset = int((now() + timedelta(seconds=seconds)).timestamp())
    return {"x_rate_limit_limit": "450", "x_rate_limit_remaining": str(left), "x_rate_limit_reset": str(reset)}
