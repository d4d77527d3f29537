"""An account in Bluesky's wire format whose posts are good but for two of each bad kind: pictures, and posts."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable
from typing import Any

from PIL import Image

from tests.support.images import encoded, photo, png_of
from tests.support.web_server import Answer, WebServer

DID = "did:plc:abcdefghijklmnopqrstuvwx"
ACCOUNT = "poison.example"
_PATH = "/xrpc/app.bsky.feed.getAuthorFeed"
_PAGE = 100
_PHOTO = photo(48, 40, seed=1)
_JPEG, _PNG, _GIF = (encoded(_PHOTO, kind) for kind in ("JPEG", "PNG", "GIF"))


def _redirect(location: str) -> Answer:
    return Answer(b"", 302, {"Location": location})


# What the server answers, and what is to become of it.
PICTURES: dict[str, tuple[Answer, str, str]] = {
    "truncated JPEG": (Answer(_JPEG[: len(_JPEG) // 2]), "rejected", "truncated"),
    "truncated GIF": (Answer(_GIF[: len(_GIF) // 2]), "rejected", "truncated"),
    "truncated PNG": (Answer(_PNG[: len(_PNG) // 2]), "rejected", "truncated"),
    "corrupt PNG": (Answer(png_of(64, 64, b"no deflate stream at all")), "rejected", "corrupt"),
    "bomb by its header": (Answer(png_of(60_000, 60_000, b"")), "rejected", "too_many_pixels"),
    "too small": (Answer(encoded(photo(6, 6))), "rejected", "too_small"),
    "odd ratio": (Answer(encoded(photo(10, 300))), "rejected", "odd_aspect_ratio"),
    "HTML": (Answer(b"<!doctype html><title>Gone</title>"), "rejected", "not_an_image"),
    "JSON": (Answer(b'{"error": "no such picture"}'), "rejected", "not_an_image"),
    "wrong magic": (Answer(b"\x00\x01" + _JPEG[2:]), "rejected", "not_an_image"),
    "SVG": (Answer(b'<svg xmlns="http://www.w3.org/2000/svg"/>'), "rejected", "format_not_allowed"),
    "TIFF": (Answer(encoded(_PHOTO, "TIFF")), "rejected", "format_not_allowed"),
    "zero bytes": (Answer(b""), "rejected", "empty"),
    "404": (Answer(b"", 404), "failed", "not_found"),
    "403": (Answer(b"", 403), "failed", "forbidden"),
    "418": (Answer(b"", 418), "failed", "http_error"),
    "429": (Answer(b"", 429), "failed", "rate_limited"),
    "500": (Answer(b"", 500), "failed", "server_error"),
    "body cut": (Answer(_JPEG, headers={"Content-Length": "99999"}), "failed", "body_cut"),
    "leads to the metadata service": (_redirect("http://169.254.169.254/latest/"), "failed", "url_refused"),
    "no use by robots": (Answer(_JPEG, headers={"X-Robots-Tag": "noai"}), "failed", "robots_refused"),
}
Change = Callable[[dict[str, Any]], object]
# How a good post is spoilt, and the kind and reason under which it is kept.
POSTS: dict[str, tuple[Change, str, str]] = {
    "no date": (lambda post: (post["record"].pop("createdAt"), post.pop("indexedAt")), "post", "indexedAt"),
    "no URL": (lambda post: post["embed"]["images"][0].pop("fullsize"), "media", "image without a URL"),
    "no author": (lambda post: post.pop("author"), "post", "author"),
    "video": (lambda post: post.update(embed={"$type": "app.bsky.embed.video#view"}), "media", "video is not an image"),
}


class Poison:
    """``good`` are the post keys of the good ones, ``bad`` those of the bad, each with its kind."""

    def __init__(self, website: WebServer, posts: int) -> None:
        kinds = [*PICTURES, *POSTS] * 2
        self.feed = {"source": "bluesky", "account": ACCOUNT, "server": website.origin}
        self.bad = {f"bad{number:04}": kind for number, kind in enumerate(kinds)}
        self.good = [f"good{number:04}" for number in range(posts - len(kinds))]
        keys = [*self.good, *self.bad]
        random.Random(5).shuffle(keys)
        made = [self._post(key, place, website) for place, key in enumerate(keys)]
        pages = [made[start : start + _PAGE] for start in range(0, len(made), _PAGE)]
        website.put(
            _PATH,
            *(
                json.dumps({"feed": page, "cursor": str(number)} if number < len(pages) else {"feed": page}).encode()
                for number, page in enumerate(pages, 1)
            ),
        )

    def _post(self, key: str, place: int, website: WebServer) -> dict[str, Any]:
        kind = self.bad.get(key, "")
        answer = PICTURES[kind][0] if kind in PICTURES else Answer(_good(place))
        at = f"2026-04-01T{23 - place // 3600:02}:{59 - place // 60 % 60:02}:{59 - place % 60:02}.000Z"
        post: dict[str, Any] = {
            "uri": f"at://{DID}/app.bsky.feed.post/{key}",
            "author": {"did": DID, "handle": ACCOUNT},
            "record": {"text": kind or "a picture", "createdAt": at},
            "indexedAt": at,
            "embed": {
                "$type": "app.bsky.embed.images#view",
                "images": [{"fullsize": website.put(f"/media/{key}", answer), "alt": kind}],
            },
        }
        if kind in POSTS:
            POSTS[kind][0](post)
        return {"post": post}


def media_id(key: str) -> str:
    return f"bluesky/{DID}/{key}/0"


def _good(number: int) -> bytes:
    """A small picture that no other number has."""
    out = io.BytesIO()
    Image.new("RGB", (16, 16), (number % 256, number // 256 * 40, 128)).save(out, "PNG")
    return out.getvalue()
