"""A Mastodon server on loopback, in the shapes of https://docs.joinmastodon.org/entities/Status/."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

from tests.support.web_server import Answer, Received
from tests.support.wire.server import LOGIN_PAGE, UNICODE, WireServer, now

PAGE_SIZE = 2


class MastodonServer(WireServer):
    """The account ``alice``, the hashtag ``cats``; with ``closed`` the server shows no hashtags, and says so."""

    def __init__(self, *, closed: bool = False) -> None:
        super().__init__()
        self._closed = closed
        self.posts: list[dict[str, Any]] = []

    def start(self) -> None:
        """Four posts: two with photos, one with a video, one that is not public."""
        self.post("chelsea-cat", "two-dogs", text=f"<p>{UNICODE}</p><p>&lt;b&gt; &amp; more</p>", tags=["cats"])
        self.post("nuthatch", kind="video")
        self.post("nuthatch", visibility="unlisted")
        self.post("dragonfly", alt=UNICODE, sensitive=True)
        # The first request for an older page comes too soon.
        self.faults["/api/v1/accounts/108/statuses?max_id"] = [
            Answer.of({"error": "Too many requests"}, 429, **_limit(0, 1)),
        ]

    def post(
        self, *photos: str, text: str = "<p>a post</p>", alt: str | None = None, kind: str = "image", **more: Any
    ) -> None:
        number = str(1000 + len(self.posts))
        tags = more.pop("tags", [])
        attachments = [
            {
                "id": f"{number}{place}",
                "type": kind,
                "url": self.photo(name),
                "preview_url": self.photo(name),
                "remote_url": None,
                "meta": {"original": {"width": 640, "height": 480}},
                "description": alt,
                "blurhash": "UBL_:rOpGG",
            }
            for place, name in enumerate(photos)
        ]
        self.posts.insert(
            0,
            {
                "id": number,
                "created_at": "2026-11-20T10:00:00.000Z",
                "sensitive": False,
                "spoiler_text": "",
                "visibility": "public",
                "url": f"https://social.example/@alice/{number}",
                "content": text,
                "reblog": None,
                "account": {"id": "108", "acct": "alice", "display_name": f"Alice {UNICODE}", "noindex": None},
                "media_attachments": attachments,
                "tags": [{"name": tag, "url": "https://social.example"} for tag in tags],
                **more,
            },
        )

    def answer(self, asked: Received) -> Answer:
        late = self.faults[f"{asked.path}?max_id"]
        if "max_id" in asked.query and late:
            return late.pop(0)
        return super().answer(asked)

    def page(self, asked: Received) -> Answer:
        if asked.path == "/api/v2/instance":
            shown = "disabled" if self._closed else "public"
            feeds = {"hashtag_feeds": {"local": shown, "remote": shown}}
            return Answer.of({"domain": "social.example", "configuration": {"timelines_access": feeds}})
        if asked.path == "/api/v1/accounts/lookup":
            known = {"alice": "108", "behind-a-login": "109", "cut": "110"}.get(asked.query["acct"])
            return Answer.of({"id": known, "acct": asked.query["acct"]}) if known else _missing()
        if asked.path == "/api/v1/accounts/109/statuses":
            return Answer.text(LOGIN_PAGE)
        if asked.path == "/api/v1/accounts/110/statuses":
            listing = self._listing(asked, self.posts)
            return replace(listing, body=listing.body[:-9])
        if asked.path == "/api/v1/accounts/108/statuses":
            # A type that is not true, as some proxies write it.
            listing = self._listing(asked, self.posts)
            return replace(listing, headers=listing.headers | {"content-type": "text/plain"})
        if tag := re.fullmatch(r"/api/v1/timelines/tag/(.+)", asked.path):
            named = [post for post in self.posts if tag[1] in [one["name"] for one in post["tags"]]]
            return Answer.of([]) if self._closed else self._listing(asked, named)
        return _missing()

    def _listing(self, asked: Received, posts: list[dict[str, Any]]) -> Answer:
        if asked.query.get("only_media") != "true":
            return Answer.of({"error": "Validation failed"}, 422)
        size = min(int(asked.query["limit"]), PAGE_SIZE)
        if "min_id" in asked.query:
            page = [post for post in posts if post["id"] > asked.query["min_id"]][-size:]
        else:
            page = [post for post in posts if post["id"] < asked.query.get("max_id", "~")][:size]
        base = f"{self.url}{asked.path}?limit={size}"
        links = (
            [f'<{base}&max_id={page[-1]["id"]}>; rel="next"', f'<{base}&min_id={page[0]["id"]}>; rel="prev"']
            if page
            else []
        )
        return Answer.of(page, link=", ".join(links), **_limit(299, 300))


def _limit(left: int, seconds: int) -> dict[str, str]:
    reset = (now() + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {"x_ratelimit_limit": "300", "x_ratelimit_remaining": str(left), "x_ratelimit_reset": reset}


def _missing() -> Answer:
    return Answer.of({"error": "Record not found"}, 404)
