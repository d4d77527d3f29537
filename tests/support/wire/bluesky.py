"""Bluesky's login and search on loopback, in the shapes of https://docs.bsky.app/docs/api/app-bsky-feed-search-posts."""

from __future__ import annotations

import json

from tests.support.web_server import Answer, Received
from tests.support.wire.server import UNICODE, WireServer, now

DID = "did:plc:abcdefghijklmnopqrstuvwx"


class BlueskyServer(WireServer):
    """The hashtag ``cats``, for who has logged in as ``alice.example`` with ``password``."""

    def __init__(self, password: str, session: str, refresh: str) -> None:
        super().__init__()
        self._password = password
        self._session = session
        self._refresh = refresh

    def page(self, asked: Received) -> Answer:
        if asked.path == "/xrpc/com.atproto.server.createSession":
            given = json.loads(asked.body)
            if given != {"identifier": "alice.example", "password": self._password}:
                return Answer.of({"error": "AuthenticationRequired", "message": f"Invalid password {given}"}, 401)
            return Answer.of(
                {"accessJwt": self._session, "refreshJwt": self._refresh, "handle": "alice.example", "did": DID}
            )
        if asked.headers.get("authorization") != f"Bearer {self._session}":
            return Answer.text("<html><body>403 Forbidden</body></html>", status=403)
        if asked.path != "/xrpc/app.bsky.feed.searchPosts" or asked.query["tag"] != "cats":
            return Answer.of({"error": "InvalidRequest", "message": f"no {asked.path} with {self._session}"}, 400)
        if "cursor" in asked.query:
            return Answer.of({"posts": [], "hitsTotal": 1})
        return Answer.of({"posts": [self._post()], "cursor": "1", "hitsTotal": 1})

    def _post(self) -> dict[str, object]:
        at = now().strftime("%Y-%m-%dT%H:%M:%S.000Z")
        return {
            "uri": f"at://{DID}/app.bsky.feed.post/3kcat",
            "author": {"did": DID, "handle": "alice.example"},
            "record": {"text": f"{UNICODE} {self._session}", "createdAt": at},
            "indexedAt": at,
            "embed": {
                "$type": "app.bsky.embed.images#view",
                "images": [{"fullsize": self.photo("summer-palace"), "thumb": self.photo("gravel"), "alt": UNICODE}],
            },
        }
