"""Transform with signed URLs: those that expire first are downloaded first, and an expired one is refreshed once."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import transform.app
import transform.batch
import validate.app
from imagelake.lake import object_keys
from imagelake.lake.staging import Staging
from imagelake.run.models import Batch
from imagelake.run.posts import Item
from imagelake.sources import Feed
from imagelake.web.messages import Request
from tests.support.factories import ENTRY, NOON, RUN, Context, event, item, jpeg, keep_plan, media, plan, post
from tests.support.fake_lake import Lake
from tests.support.fake_network import Network, page
from tests.support.web_server import Answer, WebServer

SOON = datetime.now(UTC) + timedelta(days=1)
PAST = datetime.now(UTC) - timedelta(seconds=1)


class Signing(Network):
    """A network of signed URLs; it shows a post again at ``/again`` unless its feed ``cannot``."""

    cannot = False

    def refresh_request(self, feed: Feed, posted_at: datetime) -> Request | None:
        assert (feed.name, posted_at) == (ENTRY.name, NOON)
        return None if self.cannot else Request(f"{self._website.origin}/again")


@pytest.fixture
def network(website: WebServer, monkeypatch: pytest.MonkeyPatch) -> Signing:
    network = Signing(website)
    for module in (validate.app, transform.batch):
        monkeypatch.setattr(module, "get_source", lambda name: network)
    monkeypatch.setattr("imagelake.run.retries.time.sleep", lambda seconds: None)
    return network


def rows(lake: Lake, *items: Item) -> list[dict[str, Any]]:
    planned = keep_plan(lake, plan(*items))
    transform.app.handler(event("transform", batch=planned.batch), Context())
    made: list[Any] = Staging(lake.bucket, planned.batch).rows()
    return made


def expired(website: WebServer, name: str = "one") -> Item:
    """An image whose URL has expired, as a network answers it."""
    return item(name, website.put(f"/{name}", Answer(b"URL signature expired", 403)), expires_at=SOON)


def shows_again(website: WebServer, *names: str, answer: bytes | Answer | None = None, **more: Any) -> None:
    """The page at ``/again``: each image has a URL of its own that gives ``answer``."""
    fresh = [
        media(name, **{"url": website.put(f"/fresh-{name}", answer or jpeg()), "expires_at": SOON} | more)
        for name in names
    ]
    website.put("/again", page(post("a", *fresh)))


@pytest.mark.slow
def test_image_that_expires_first_is_downloaded_first(
    lake: Lake, website: WebServer, network: Signing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transform.results.THREADS", 1)
    now, days = datetime.now(UTC), {"never": None, "late": 3, "first": 1, "second": 2, "last": 4}
    posts = [
        post(name, media(name, url=website.put(f"/{name}", jpeg()), expires_at=left and now + timedelta(left)))
        for name, left in days.items()
    ]
    run = RUN.model_copy(update={"batch_size": 2})
    page_key = object_keys.raw_page(run, network.name, ENTRY.feed_id, 0)
    lake.bucket.put(page_key, gzip.compress(page(*posts)), "application/json", {"status": "200", "url": "https://a.b"})
    progress = event("validate")["progress"] | {"pages": 1}
    planned = validate.app.handler(event("validate", run=run, feed=ENTRY, progress=progress), Context())
    for batch in lake.bucket.get_json(planned["list_key"]):
        transform.app.handler(event("transform", batch=Batch.model_validate(batch)), Context())
    assert website.asked == ["/first", "/second", "/late", "/last", "/never"]


@pytest.mark.parametrize("status", [403, 401, 404, 410])
def test_refused_url_is_refreshed(lake: Lake, website: WebServer, network: Signing, status: int) -> None:
    shows_again(website, "one")
    refused = item("one", website.put("/one", Answer(b"", status)), expires_at=SOON)
    (row,) = rows(lake, refused)
    assert (row["status"], row["error_code"], row["media_url"]) == ("ok", None, refused.media_url)
    assert website.asked == ["/one", "/again", "/fresh-one"]


def test_expired_url_is_not_requested_but_refreshed(lake: Lake, website: WebServer, network: Signing) -> None:
    shows_again(website, "one")
    (row,) = rows(lake, item("one", website.put("/one", jpeg()), expires_at=PAST))
    assert row["status"] == "ok"
    assert website.asked == ["/again", "/fresh-one"]


@pytest.mark.parametrize(
    ("answer", "expires_at", "asked"),
    [
        (Answer(b"", 403), SOON, ["/one", "/again", "/fresh-one"]),
        (Answer(b"", 410), None, ["/one", "/again", "/fresh-one"]),
        (jpeg(), PAST, ["/one", "/again"]),
    ],
)
def test_image_is_expired_when_its_fresh_url_is_refused_too(
    lake: Lake, website: WebServer, network: Signing, answer: Any, expires_at: datetime | None, asked: list[str]
) -> None:
    shows_again(website, "one", answer=answer, expires_at=expires_at)
    (row,) = rows(lake, expired(website))
    assert (row["status"], row["error_code"]) == ("failed", "url_expired")
    assert row["error_message"].endswith("at a fresh URL too")
    assert website.asked == asked


@pytest.mark.parametrize(
    ("again", "times", "says"),
    [
        ([Answer(b"", 429)], 1, "slow down"),
        ([Answer(b"", 503)], 3, "HTTP 503"),
        ([b"<html>"], 1, "no JSON"),
        ([page()], 1, "the network gives no fresh URL"),
        ([page(post("a", media("another")))], 1, "the network gives no fresh URL"),
        ([page(post("a", media("one", url=None)))], 1, "the network gives no fresh URL"),
    ],
)
def test_image_is_expired_when_there_is_no_fresh_url(
    lake: Lake, website: WebServer, network: Signing, again: list[Any], times: int, says: str
) -> None:
    website.put("/again", *again)
    (row,) = rows(lake, expired(website))
    assert (row["status"], row["error_code"]) == ("failed", "url_expired")
    assert says in row["error_message"]
    # A network that is down is asked three times, as by Fetch.
    assert website.asked == ["/one", *["/again"] * times]


def test_image_is_expired_when_its_feed_cannot_be_asked_again(lake: Lake, website: WebServer, network: Signing) -> None:
    network.cannot = True
    (row,) = rows(lake, expired(website))
    assert row["error_code"] == "url_expired"
    assert website.asked == ["/one"]


def test_post_is_asked_for_once_for_all_its_images(lake: Lake, website: WebServer, network: Signing) -> None:
    names = [f"p{number}" for number in range(8)]
    shows_again(website, *names)
    assert [row["error_code"] for row in rows(lake, *(expired(website, name) for name in names))] == [None] * 8
    assert website.asked.count("/again") == 1


def test_network_that_refuses_is_asked_no_more(lake: Lake, website: WebServer, network: Signing) -> None:
    website.put("/again", Answer(b"", 429))
    made = rows(lake, *(expired(website, f"p{number}") for number in range(8)))
    assert {row["error_code"] for row in made} == {"url_expired"}
    assert website.asked.count("/again") == 1


@pytest.mark.parametrize(
    ("status", "expires_at", "code"), [(403, None, "forbidden"), (404, None, "not_found"), (500, SOON, "server_error")]
)
def test_url_that_cannot_have_expired_is_not_refreshed(
    lake: Lake, website: WebServer, network: Signing, status: int, expires_at: datetime | None, code: str
) -> None:
    shows_again(website, "one")
    (row,) = rows(lake, item("one", website.put("/one", Answer(b"", status)), expires_at=expires_at))
    assert row["error_code"] == code
    assert "/again" not in website.asked


def test_fresh_url_with_another_problem_keeps_its_error_code(lake: Lake, website: WebServer, network: Signing) -> None:
    shows_again(website, "one", answer=Answer(b"", 500))
    (row,) = rows(lake, expired(website))
    assert row["error_code"] == "server_error"


def test_network_without_signed_urls_is_not_asked_again(lake: Lake, website: WebServer) -> None:
    (row,) = rows(lake, expired(website))
    assert row["error_code"] == "url_expired"
    assert website.asked == ["/one"]
