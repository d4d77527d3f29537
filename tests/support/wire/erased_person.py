"""Two networks on loopback in which one person has planted markers: an account on Bluesky, two hashtags on Mastodon.

The posts of three others are between those of the person. Shapes: https://docs.bsky.app/docs/api/app-bsky-feed-get-author-feed
and https://docs.joinmastodon.org/entities/Status/.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import PurePosixPath
from typing import Any

from PIL import Image

from tests.support.images import encoded, photo
from tests.support.web_server import Answer, Received
from tests.support.wire.server import WireServer

# Each is in lower case, because the search ignores case, and has only letters, which no format escapes.
MARKERS = {
    name: f"planted{name}"
    for name in (
        "author", "handle", "display", "caption", "alttext", "tag", "permalink", "imageurl", "bytes", "owner",
    )
}  # fmt: skip
PERSON = MARKERS["author"]
DID = f"did:plc:{PERSON:a<24}"
ACCT = f"{PERSON}@elsewhere.example"
HANDLE = f"{MARKERS['handle']}.example"
BOB, CAROL, DAN = OTHERS = ("bob@one.example", "carol@two.example", "dan@three.example")
_START = datetime(2026, 11, 1, tzinfo=UTC)
_PAGE_SIZE = 40
_ARTIST, _EXIF_IFD, _CAMERA_OWNER = 0x013B, 0x8769, 0xA430
Post = dict[str, Any]


class ErasedPersonServer(WireServer):
    """``account`` has the posts of the person on Bluesky; ``hashtags`` those with a hashtag on Mastodon, oldest first.

    A URL has the name of an image. ``images`` has their bytes; a name without bytes is forbidden.
    """

    def __init__(self) -> None:
        super().__init__()
        self.account: list[Post] = []
        self.hashtags: dict[str, list[Post]] = {"cats": [], "dogs": []}
        self.images: dict[str, bytes] = {}
        self._numbers = 0

    @property
    def feeds(self) -> list[dict[str, str]]:
        """The account, and the two hashtags."""
        tags = [{"source": "mastodon", "hashtag": tag, "server": self.url} for tag in self.hashtags]
        return [{"source": "bluesky", "account": HANDLE, "server": self.url}, *tags]

    def bluesky_post(self, *names: str, label: str = "") -> Post:
        """Make a post of the person, without an image if there are no names."""
        number, at = self._next()
        post: Post = {
            "uri": f"at://{DID}/app.bsky.feed.post/{MARKERS['permalink']}{number}",
            "cid": "bafyreigh2akiscaildc",
            "author": {"did": DID, "handle": HANDLE, "displayName": MARKERS["display"].title()},
            "record": {
                "$type": "app.bsky.feed.post", "text": f"{MARKERS['caption']} {number}", "createdAt": _text(at),
                "tags": [MARKERS["tag"]],
            },
            "indexedAt": _text(at),
            "labels": [{"val": label, "src": DID, "uri": "", "cts": _text(at)}] if label else [],
        }  # fmt: skip
        if names:
            images = [
                {"fullsize": self.photo(name), "thumb": self.photo(name), "alt": f"{MARKERS['alttext']} {name}"}
                for name in names
            ]
            post["embed"] = {"$type": "app.bsky.embed.images#view", "images": images}
        return {"post": post}

    def mastodon_post(self, author: str, *names: str, tag: str = "cats", **more: Any) -> Post:
        """Make a post of the person or of somebody else."""
        number, at = self._next()
        is_person = author == ACCT
        text = MARKERS["caption"] if is_person else f"words of {author.partition('@')[0]}"
        alt = MARKERS["alttext"] if is_person else "an image"
        return {
            "id": str(number),
            "created_at": _text(at),
            "sensitive": False,
            "spoiler_text": "",
            "visibility": "public",
            "url": f"https://elsewhere.example/@{author}/{MARKERS['permalink'] if is_person else 'post'}{number}",
            "content": f"<p>{text} {number}</p>",
            "reblog": None,
            "account": {
                "id": "7" if is_person else author[:3],
                "acct": author,
                "display_name": MARKERS["display"].title() if is_person else author.partition("@")[0].title(),
                "url": f"https://elsewhere.example/@{MARKERS['handle'] if is_person else author}",
            },
            "media_attachments": [
                {"id": f"{number}{place}", "type": "image", "url": self.photo(name), "description": f"{alt} {name}"}
                for place, name in enumerate(names)
            ],
            "tags": [{"name": tag}, *([{"name": MARKERS["tag"]}] if is_person else [])],
            **more,
        }

    def _next(self) -> tuple[int, datetime]:
        self._numbers += 1
        return 1000 + self._numbers, _START + timedelta(hours=self._numbers)

    def answer(self, asked: Received) -> Answer:
        if asked.path.startswith("/photos/"):
            body = self.images.get(PurePosixPath(asked.path).stem)
            return Answer(body, headers={"content-type": "image/jpeg"}) if body else Answer(b"Forbidden", 403)
        return super().answer(asked)

    def page(self, asked: Received) -> Answer:
        if asked.path == "/xrpc/app.bsky.feed.getAuthorFeed" and asked.query["actor"] == HANDLE:
            return Answer.of({"feed": self.account[::-1]})
        if asked.path == "/api/v2/instance":
            return Answer.of({"domain": "elsewhere.example"})
        tag = asked.path.removeprefix("/api/v1/timelines/tag/")
        return self._listing(asked, self.hashtags[tag]) if tag in self.hashtags else Answer.of({"error": "no"}, 404)

    def _listing(self, asked: Received, posts: list[Post]) -> Answer:
        size = min(int(asked.query["limit"]), _PAGE_SIZE)
        if "min_id" in asked.query:
            page = [post for post in posts if post["id"] > asked.query["min_id"]][:size]
        else:
            page = [post for post in posts if post["id"] < asked.query.get("max_id", "~")][-size:]
        if not page:
            return Answer.of([])
        page.reverse()
        base = f"{self.url}{asked.path}?limit={size}"
        links = [f'<{base}&max_id={page[-1]["id"]}>; rel="next"', f'<{base}&min_id={page[0]["id"]}>; rel="prev"']
        return Answer.of(page, link=", ".join(links))


def _text(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.000Z")


@cache
def image(seed: int, *, of_person: bool, quality: int = 95) -> bytes:
    """Make a JPEG with an owner in its EXIF and a comment (ITU-T T.81, B.2.4.5); a lower quality looks alike."""
    block = Image.Exif()
    block[_ARTIST] = MARKERS["owner"] if of_person else "somebody"
    block.get_ifd(_EXIF_IFD)[_CAMERA_OWNER] = block[_ARTIST]
    data = encoded(photo(96, 72, seed), exif=block.tobytes(), quality=quality)
    comment = (MARKERS["bytes"] if of_person else "nothing").encode()
    return data[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + data[2:]
