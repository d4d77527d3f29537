"""The server of the sample feed answers as Bluesky does."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from imagelake.web.client import GuardedClient
from imagelake.web.errors import ConnectionFailedError
from imagelake.web.messages import Response
from local.feed_server import FeedServer
from local.sample_feed import SAMPLES

ACTOR = "sample.imagelake.example"
PATH = "/xrpc/app.bsky.feed.getAuthorFeed"
POSTS = json.loads((SAMPLES / "feed.json").read_text("utf-8"))["posts"]


@pytest.fixture(scope="module")
def server() -> Iterator[FeedServer]:
    with FeedServer(rate_limit_once=False) as running:
        yield running


class Client(GuardedClient):
    """Client of one feed server."""

    def __init__(self, server: FeedServer) -> None:
        super().__init__(trusted_origins=frozenset({server.url}))
        self.url = server.url

    def get(self, path: str, **params: Any) -> Response:
        return self.exchange("GET", self.url + path, params={name: str(value) for name, value in params.items()})


@pytest.fixture
def client(server: FeedServer) -> Iterator[Client]:
    with Client(server) as opened:
        yield opened


def read_all(client: Client, **params: Any) -> list[dict[str, Any]]:
    pages = [json.loads(client.get(PATH, actor=ACTOR, **params).body)]
    while cursor := pages[-1].get("cursor"):
        pages.append(json.loads(client.get(PATH, actor=ACTOR, cursor=cursor, **params).body))
    return pages


def posts_by_text(client: Client) -> dict[str, dict[str, Any]]:
    return {entry["post"]["record"]["text"]: entry for page in read_all(client) for entry in page["feed"]}


@pytest.mark.parametrize("limit", [7, 20, 100])
def test_pages_chain_by_cursor_until_every_post_was_seen_once(client: Client, limit: int) -> None:
    pages = read_all(client, limit=limit)
    uris = [entry["post"]["uri"] for page in pages for entry in page["feed"]]
    assert [len(page["feed"]) for page in pages[:-1]] == [min(limit, 20)] * (len(pages) - 1)
    assert len(uris) == len(set(uris)) == len(POSTS)
    assert [entry["post"]["record"]["text"] for page in pages for entry in page["feed"]] == [p["text"] for p in POSTS]


def test_times_run_from_new_to_old_when_the_listing_is_read(client: Client) -> None:
    times = [entry["post"]["indexedAt"] for page in read_all(client) for entry in page["feed"]]
    assert times == sorted(times, reverse=True)
    assert times[0] == "2026-03-21T18:00:00.000Z"


def test_listing_is_the_same_when_another_server_serves_it(client: Client, server: FeedServer) -> None:
    with FeedServer(rate_limit_once=False) as other, Client(other) as second:
        assert json.dumps(read_all(second)).replace(other.url, server.url) == json.dumps(read_all(client))


def test_photo_blog_is_served_with_its_photos(client: Client) -> None:
    blog = client.get("/photoblog.xml")
    assert (blog.status, blog.headers["content-type"]) == (200, "application/rss+xml")
    paths = re.findall(r'url="([^"]+)"', blog.body.decode())
    assert len(paths) == 4
    for path in paths:
        photo = client.get(f"/{path}")
        assert (photo.status, photo.headers["content-type"]) == (200, "image/jpeg")
        assert photo.body == (SAMPLES / path).read_bytes()


@pytest.mark.parametrize("path", ["/photos/", "/photos/../feed.json", "/photos/none.jpg", "/feed.json"])
def test_no_other_file_is_served(client: Client, path: str) -> None:
    assert client.get(path).status == 404


def test_further_page_is_refused_once_when_the_rate_is_limited() -> None:
    with FeedServer() as server, Client(server) as client:
        cursor = json.loads(client.get(PATH, actor=ACTOR).body)["cursor"]
        refused = client.get(PATH, actor=ACTOR, cursor=cursor)
        repeated = client.get(PATH, actor=ACTOR, cursor=cursor)
    assert refused.status == 429
    assert json.loads(refused.body)["error"] == "RateLimitExceeded"
    assert refused.headers["ratelimit-remaining"] == "0"
    assert int(refused.headers["ratelimit-reset"]) <= time.time() + 2
    assert repeated.status == 200
    assert repeated.headers["ratelimit-policy"] == "3000;w=300"


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"actor": "nobody.example"}, "Profile not found"),
        ({}, "Profile not found"),
        ({"actor": ACTOR, "limit": 101}, "Error: limit must be an integer from 1 to 100"),
        ({"actor": ACTOR, "cursor": "x"}, "Malformed cursor"),
        ({"actor": ACTOR, "cursor": "2026-01-01"}, "Malformed cursor"),
    ],
)
def test_request_is_invalid_when_a_parameter_is_wrong(client: Client, params: dict[str, Any], message: str) -> None:
    answer = client.get(PATH, **params)
    assert answer.status == 400
    assert json.loads(answer.body) == {"error": "InvalidRequest", "message": message}


def test_images_have_their_bytes_when_they_are_fetched(client: Client) -> None:
    for name, file, content_type in [
        ("dandelion.jpg", "photos/dandelion.jpg", "image/jpeg"),
        ("page.jpg", "cases/page.jpg", "image/jpeg"),
        ("cut-out.png", "cases/cut-out.png", "image/png"),
        ("meadow.webp", "cases/meadow.webp", "image/webp"),
        ("coffee-cup-again.jpg", "photos/coffee-cup.jpg", "image/jpeg"),
    ]:
        answer = client.get(f"/img/feed_fullsize/{name}")
        assert answer.headers["content-type"] == content_type
        assert answer.body == (SAMPLES / file).read_bytes()


def test_image_is_refused_when_it_is_for_members(client: Client) -> None:
    answer = client.get("/img/feed_fullsize/members-only.jpg")
    assert (answer.status, answer.headers["content-type"]) == (403, "text/html")


@pytest.mark.parametrize("path", ["/", "/img/feed_fullsize/no.jpg", "/img/feed_fullsize/../feed.json", "/xrpc/other"])
def test_nothing_is_served_when_the_path_is_unknown(client: Client, path: str) -> None:
    assert client.get(path).status == 404


def test_embeds_have_the_shapes_of_the_lexicon(client: Client, server: FeedServer) -> None:
    posts = posts_by_text(client)
    four = posts["Four from the last walk 🍂 #hiking"]["post"]["embed"]
    assert four["$type"] == "app.bsky.embed.images#view"
    assert four["images"][0] == {
        "alt": "A meadow, an autumn forest and a bare mountain",
        "aspectRatio": {"width": 1080, "height": 720},
        "thumb": f"{server.url}/img/feed_thumbnail/autumn-meadow.jpg",
        "fullsize": f"{server.url}/img/feed_fullsize/autumn-meadow.jpg",
    }
    assert len(four["images"]) == 4
    gallery = posts["A gallery from the gorge #nature"]["post"]["embed"]
    assert gallery["$type"] == "app.bsky.embed.gallery#view"
    assert [sorted(item) for item in gallery["items"]] == [["$type", "alt", "aspectRatio", "fullsize", "thumbnail"]] * 3
    both = posts["And here is mine 👇 #birds"]["post"]["embed"]
    assert (both["$type"], both["media"]["$type"], both["record"]["$type"], both["record"]["record"]["$type"]) == (
        "app.bsky.embed.recordWithMedia#view",
        "app.bsky.embed.images#view",
        "app.bsky.embed.record#view",
        "app.bsky.embed.record#viewRecord",
    )
    quote = posts["What a texture"]["post"]["embed"]
    assert quote["record"]["embeds"][0]["images"][0]["fullsize"].endswith("/gravel.jpg")
    assert posts["Worth a read"]["post"]["embed"]["$type"] == "app.bsky.embed.external#view"
    assert posts["Moving pictures 🎬"]["post"]["embed"]["$type"] == "app.bsky.embed.video#view"
    assert "embed" not in posts["No pictures today, only rain ☔"]["post"]


def test_odd_entries_are_there_when_the_listing_is_read(client: Client) -> None:
    posts = posts_by_text(client)
    assert "author" not in posts["A post that lost its author"]["post"]
    assert [label["val"] for label in posts["Someone labelled my lamp 🤷🏻‍♀️"]["post"]["labels"]] == ["nudity"]
    repost = posts["A wall I like"]
    assert repost["reason"]["by"]["handle"] == ACTOR
    assert repost["post"]["author"]["handle"] == "friend.imagelake.example"


def test_facets_count_bytes_when_the_text_is_not_ascii(client: Client) -> None:
    record = posts_by_text(client)["頤和園 #北京"]["post"]["record"]
    index = record["facets"][0]["index"]
    assert record["text"].encode()[index["byteStart"] : index["byteEnd"]].decode() == "#北京"


def test_content_ids_are_those_of_the_bytes_when_an_image_is_posted(client: Client) -> None:
    # `ipfs add --cid-version=1` names the bytes in the same way: CIDv1, raw, SHA-256, base32.
    blobs = [
        image["image"]
        for text in ("Second cup ☕", "Because it was so good ☕☕")
        for image in posts_by_text(client)[text]["post"]["record"]["embed"]["images"]
    ]
    assert blobs[0] == blobs[1]
    assert blobs[0]["ref"]["$link"].startswith("bafkrei")
    assert blobs[0]["size"] == (SAMPLES / "photos" / "coffee-cup.jpg").stat().st_size


def test_copies_have_different_bytes_when_the_feed_is_repeated() -> None:
    names = ("rocket.jpg", "1~rocket.jpg", "2~rocket.jpg")
    repeated = FeedServer(repeat=3, rate_limit_once=False)
    with repeated as server, Client(server) as client:
        entries = [entry for page in read_all(client, limit=100) for entry in page["feed"]]
        bodies = [client.get(f"/img/feed_fullsize/{name}").body for name in names]
    uris = {entry["post"]["uri"] for entry in entries}
    assert len(uris) == len(entries) > 2 * len(POSTS) - 20
    assert len(set(bodies)) == 3
    assert len(bodies[1]) == len(bodies[0]) + 5


def test_requests_are_listed_when_they_were_answered() -> None:
    with FeedServer() as server, Client(server) as client:
        client.get("/img/feed_fullsize/rocket.jpg")
        client.get("/img/feed_fullsize/rocket.jpg")
    assert server.requests == ["/img/feed_fullsize/rocket.jpg"] * 2


def test_no_thread_is_left_when_a_client_keeps_its_connection() -> None:
    before = threading.active_count()
    with FeedServer() as server:
        client = Client(server)
        client.get("/img/feed_fullsize/rocket.jpg")
        assert threading.active_count() > before
    assert threading.active_count() == before
    with client, pytest.raises(ConnectionFailedError):
        client.get("/")
