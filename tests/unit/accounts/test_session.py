"""Session: credentials are added at the last moment, go to the network alone, and are redacted from every response."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

import imagelake.accounts.authorization
from imagelake.accounts.api import Api
from imagelake.accounts.redaction import redact_values
from imagelake.accounts.secrets import Secret
from imagelake.accounts.session import Session
from imagelake.run.errors import BadFeedError, CredentialsError, SourceChangedError, SourceUnavailableError
from imagelake.sources import Feed, Page, get_source
from imagelake.sources.contract import Authorized
from imagelake.web.messages import Request, Response
from tests.support.web_server import Answer, Received, WebServer

TOKEN, NEW = 'tok&en/with+odd%"<characters>', "another-token-of-many-characters"
SESSION = "session-of-many-characters"
FEED = Feed.of("bluesky:alice.example")


class Network(Authorized):
    """A network that takes ``token`` and can renew it."""

    name = "net"
    public_fields = frozenset({"user"})
    secret_hosts = frozenset({"api.net.example"})

    def __init__(self, *, keeps: bool = True, error: str = "") -> None:
        self.keeps_renewed = keeps
        self.due = False
        self.error = error

    def request(self, feed: Feed, bookmark: Any, cursor: Any) -> Request:
        raise NotImplementedError

    def parse(self, feed: Feed, response: Response) -> Page:
        if self.error:
            raise CredentialsError(self.error)
        return Page([], [], response.body.decode() or None)

    def authorize(self, request: Request, secret: Mapping[str, str]) -> Request:
        token = secret["token"] if self.keeps_renewed or "/renew" in request.url else secret["session"]
        return replace(request, params={**request.params, "access_token": token})

    def renewal(self, request: Request, secret: Mapping[str, str], now: datetime) -> Request | None:
        needed = self.due or (not self.keeps_renewed and "session" not in secret)
        return Request(f"{request.url.rpartition('/')[0]}/renew") if needed else None

    def renewed(self, feed: Feed, response: Response, now: datetime) -> Mapping[str, str]:
        if response.status != 200:
            raise CredentialsError(f"refused: {response.body.decode()}")
        if not response.body:
            raise SourceChangedError(f"{NEW} in an odd place")
        field = "token" if self.keeps_renewed else "session"
        return {field: response.body.decode(), f"{field}_expires_at": (now + timedelta(days=60)).isoformat()}


@pytest.fixture(autouse=True)
def manager(secrets_manager: Any) -> Any:
    imagelake.accounts.authorization._session_tokens.clear()
    secret = json.dumps({"token": TOKEN, "user": "alice.example"})
    secrets_manager.create_secret(Name="lake/net", SecretString=secret)
    return secrets_manager


@pytest.fixture
def api(website: WebServer) -> Iterator[Api]:
    with Api(trusted_origins=frozenset({website.origin}), contact="") as api:
        yield api


def session(network: Any, api: Api, *trusted: str) -> Session:
    return Session(network, FEED, api, Secret("lake/net", ("token",)), frozenset(trusted))


def test_token_is_sent_and_comes_back_in_nothing(api: Api, website: WebServer) -> None:
    spoken = f"{TOKEN} {quote(TOKEN)} alice.example"
    page = website.put("/page", Answer(spoken.encode(), headers={"link": quote(TOKEN, safe="")}))
    response, found = session(Network(), api, website.origin).read(Request(page, {"limit": "5"}))
    assert website.asked == [f"/page?limit=5&access_token={quote(TOKEN, safe='')}"]
    assert response.url == f"{page}?limit=5"
    assert found.cursor == "REDACTED REDACTED alice.example"
    assert response.headers["link"] == "REDACTED"


def test_network_without_credentials_needs_no_secret(api: Api, website: WebServer) -> None:
    class Open:
        parse = Network().parse

    page = website.put("/page", b"next")
    opened = Session(Open(), FEED, api, Secret("lake/none", ()))  # type: ignore[arg-type]
    assert opened.read(Request(page))[1].cursor == "next"


@pytest.mark.parametrize(
    ("ends", "first"),
    [
        ({}, None),
        ({"token_expires_at": "2026-12-24T00:00:00Z"}, "2026-12-24T00:00:00+00:00"),
        (
            {"token_expires_at": "2027-01-01", "other_expires_at": "2026-12-24T01:00:00+01:00"},
            "2026-12-24T00:00:00+00:00",
        ),
        ({"token_expires_at": "soon"}, None),
    ],
)
def test_expiry_of_the_first_token(
    api: Api, website: WebServer, manager: Any, ends: dict[str, str], first: str | None
) -> None:
    manager.put_secret_value(SecretId="lake/net", SecretString=json.dumps({"token": TOKEN, **ends}))
    opened = session(Network(), api, website.origin)
    # Nothing is known of a secret that has not been read.
    assert opened.ends_at is None
    opened.read(Request(website.put("/page", b"")))
    assert opened.ends_at == (first and datetime.fromisoformat(first))


class Strict(Network):
    """A network that refuses every token but one."""

    def parse(self, feed: Feed, response: Response) -> Page:
        if response.status == 401:
            raise CredentialsError("the token is refused")
        return super().parse(feed, response)


@pytest.fixture
def page(website: WebServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """URL of a page that is only for those who have the new token, or a session that was opened with it."""

    def answer(request: Received) -> Answer:
        if request.query["access_token"] not in (NEW, SESSION):
            return Answer(quote(request.query["access_token"]).encode(), 401)
        return Answer((SESSION if request.path == "/renew" else f"{quote(TOKEN)} {NEW}").encode())

    monkeypatch.setattr(website, "answer", answer)
    return f"{website.origin}/page"


def replace_token(manager: Any, token: str) -> None:
    manager.put_secret_value(SecretId="lake/net", SecretString=json.dumps({"token": token}))


@pytest.mark.parametrize("keeps", [True, False])
def test_new_token_is_used_at_once_after_the_old_one_was_refused(
    api: Api, website: WebServer, manager: Any, page: str, keeps: bool
) -> None:
    network = Strict(keeps=keeps)
    for _ in range(2):
        with pytest.raises(
            CredentialsError, match=r"refused.*; put in a new one: aws secretsmanager put-secret-value "
        ):
            session(network, api, website.origin).read(Request(page))
    # A token that has not been replaced is not tried again.
    assert len(website.asked) == 2
    replace_token(manager, NEW)
    # The worker still has the old token in its cache.
    session(network, api, website.origin).read(Request(page))
    assert website.asked[2].endswith(quote(TOKEN, safe=""))
    session(network, api, website.origin).read(Request(page))
    assert website.asked[-1] == f"/page?access_token={NEW if keeps else SESSION}"


@pytest.mark.parametrize("text", ["{}", "no JSON", "[]", '{"token": ""}', '{"user": "alice.example"}'])
def test_secret_that_is_completed_is_used_at_once(
    api: Api, website: WebServer, manager: Any, page: str, text: str
) -> None:
    manager.put_secret_value(SecretId="lake/net", SecretString=text)
    # The secret exists, so a command that creates it would fail.
    with pytest.raises(CredentialsError, match="aws secretsmanager put-secret-value --secret-id lake/net"):
        session(Strict(), api, website.origin).read(Request(page))
    replace_token(manager, NEW)
    session(Strict(), api, website.origin).read(Request(page))


def test_secret_that_is_created_is_used_at_once(api: Api, website: WebServer, manager: Any, page: str) -> None:
    network: Any = Strict()
    opened = Session(network, FEED, api, Secret("lake/new", ("token",)), frozenset({website.origin}))
    with pytest.raises(CredentialsError, match="aws secretsmanager create-secret --name lake/new"):
        opened.read(Request(page))
    manager.create_secret(Name="lake/new", SecretString=json.dumps({"token": NEW}))
    opened.read(Request(page))


def test_old_token_is_still_redacted_after_the_new_one_is_used(
    api: Api, website: WebServer, manager: Any, page: str
) -> None:
    opened = session(Strict(), api, website.origin)
    with pytest.raises(CredentialsError):
        opened.read(Request(page))
    replace_token(manager, NEW)
    assert opened.read(Request(page))[1].cursor == "REDACTED REDACTED"


@pytest.mark.parametrize("url", ["https://evil.example/x", "http://api.net.example/x", "https://api.net.example:81/x"])
def test_token_is_not_sent_elsewhere(api: Api, url: str) -> None:
    with pytest.raises(BadFeedError, match="TrustedOrigins") as caught:
        session(Network(), api).read(Request(url))
    assert "tok" not in str(caught.value).replace("network", "")


def test_token_is_not_sent_to_a_host_only_because_requests_may_go_there(api: Api, website: WebServer) -> None:
    with pytest.raises(BadFeedError, match="its credentials are not sent to http://127"):
        session(Network(), api).read(Request(website.put("/page", b"")))
    assert website.asked == []


def test_token_is_sent_to_a_trusted_origin_however_it_is_written(api: Api, website: WebServer) -> None:
    page = website.put("/page", b"next")
    session(Network(), api, website.origin.upper() + "/").read(Request(page))
    assert len(website.asked) == 1


def test_url_that_is_refused_is_a_feed_error_before_a_token_is_read(api: Api) -> None:
    with pytest.raises(BadFeedError, match="refused before connecting"):
        session(Network(), api).read(Request("https://user@api.net.example/x"))


def test_renewed_token_is_used_at_once_and_kept(api: Api, website: WebServer, manager: Any) -> None:
    page = website.put("/page", f"{TOKEN} {NEW}".encode())
    website.put("/renew", NEW.encode())
    network = Network()
    network.due = True
    opened = session(network, api, website.origin)
    assert opened.read(Request(page))[1].cursor == "REDACTED REDACTED"
    opened.read(Request(page))
    paths = [asked.partition("?")[0] for asked in website.asked]
    assert (paths, website.asked[1]) == (["/renew", "/page", "/page"], f"/page?access_token={NEW}")
    kept = json.loads(manager.get_secret_value(SecretId="lake/net")["SecretString"])
    assert (kept["token"], kept["user"]) == (NEW, "alice.example")
    assert opened.warnings == []


def test_token_that_another_worker_has_renewed_is_not_renewed_again(api: Api, website: WebServer, manager: Any) -> None:
    class Ending(Network):
        def renewal(self, request: Request, secret: Mapping[str, str], now: datetime) -> Request | None:
            self.due = secret["token"] == TOKEN
            return super().renewal(request, secret, now)

    page = website.put("/page", b"next")
    assert Secret("lake/net", ("token",))["token"] == TOKEN, "what this worker remembers"
    manager.put_secret_value(SecretId="lake/net", SecretString=json.dumps({"token": NEW}))
    session(Ending(), api, website.origin).read(Request(page))
    assert website.asked == [f"/page?access_token={NEW}"]


def test_token_that_cannot_be_renewed_is_used_on_with_a_warning(api: Api, website: WebServer, manager: Any) -> None:
    page = website.put("/page", b"next")
    website.put("/renew", Answer(f"no {TOKEN}".encode(), 400))
    network = Network()
    network.due = True
    opened = session(network, api, website.origin)
    assert opened.read(Request(page))[1].cursor == "next"
    assert opened.warnings == ["bluesky:alice.example: the token could not be renewed: refused: no REDACTED"]


def test_renewal_that_is_not_as_documented_gives_a_warning_without_its_text(api: Api, website: WebServer) -> None:
    page = website.put("/page", b"next")
    website.put("/renew", b"")
    network = Network()
    network.due = True
    opened = session(network, api, website.origin)
    opened.read(Request(page))
    (warning,) = opened.warnings
    assert NEW not in warning


def test_session_is_remembered_by_the_worker_and_forgotten_when_refused(
    api: Api, website: WebServer, manager: Any
) -> None:
    page = website.put("/page", b"next")
    website.put("/renew", NEW.encode())
    network = Network(keeps=False)
    session(network, api, website.origin).read(Request(page))
    session(network, api, website.origin).read(Request(page))
    assert [asked.partition("?")[0] for asked in website.asked] == ["/renew", "/page", "/page"]
    assert NEW not in manager.get_secret_value(SecretId="lake/net")["SecretString"]
    network.error = "expired"
    with pytest.raises(CredentialsError, match="expired; put in a new one: aws secretsmanager put-secret-value"):
        session(network, api, website.origin).read(Request(page))
    network.error = ""
    session(network, api, website.origin).read(Request(page))
    # The first refusal may mean that the session has ended, so the second call has logged in again.
    assert [asked.partition("?")[0] for asked in website.asked[3:]] == ["/page", "/renew"] * 2 + ["/page"]


@pytest.mark.parametrize("logged_in", [True, False])
def test_session_that_ends_between_two_pages_is_renewed_once(api: Api, website: WebServer, logged_in: bool) -> None:
    """https://docs.bsky.app/docs/api/com-atproto-server-refresh-session: an access token ends at any time."""

    class Ending(Network):
        def parse(self, feed: Feed, response: Response) -> Page:
            if response.status == 400:
                raise CredentialsError("ExpiredToken")
            return super().parse(feed, response)

    page = website.put("/page", b"one", Answer(b"", 400), b"two", Answer(b"", 400), Answer(b"", 400))
    website.put("/renew", NEW.encode())
    network = Ending(keeps=False)
    if logged_in:
        imagelake.accounts.authorization._session_tokens["lake/net", website.origin] = {"session": "an-older-token"}
    opened = session(network, api, website.origin)
    assert [opened.read(Request(page))[1].cursor for _ in range(2)] == ["one", "two"]
    paths = [asked.partition("?")[0] for asked in website.asked]
    assert paths == ["/renew"] * (not logged_in) + ["/page", "/page", "/renew", "/page"]
    assert website.asked[-1] == f"/page?access_token={NEW}"
    with pytest.raises(CredentialsError, match="ExpiredToken; put in a new one"):
        opened.read(Request(page))
    assert len(website.asked) == len(paths) + 1, "only one more login"


def test_bluesky_search_whose_session_ends_on_page_2_is_read_on(api: Api, website: WebServer, manager: Any) -> None:
    """An expired token is an error 400: https://atproto.com/specs/xrpc, and the AppView's lexicons."""
    manager.create_secret(Name="lake/bluesky", SecretString='{"identifier": "a.example", "app_password": "abcd-efgh"}')
    expired = Answer(b'{"error": "ExpiredToken", "message": "Token has expired"}', 400)
    pages = (b'{"posts": [], "cursor": "2"}', expired, b'{"posts": []}')
    website.put("/xrpc/app.bsky.feed.searchPosts", *pages)
    logins = (b'{"accessJwt": "first-session"}', b'{"accessJwt": "second-session"}')
    website.put("/xrpc/com.atproto.server.createSession", *logins)
    bluesky, feed = get_source("bluesky"), Feed(source="bluesky", server=website.origin, hashtag="cats")
    secret = Secret("lake/bluesky", bluesky.manifest.credentials)
    opened = Session(bluesky, feed, api, secret, frozenset({website.origin}))
    first = opened.read(bluesky.request(feed, None, None))[1]
    assert opened.read(bluesky.request(feed, None, first.cursor))[1].cursor is None
    assert [asked.partition("?")[0].rpartition(".")[2] for asked in website.asked] == [
        "createSession", "searchPosts", "searchPosts", "createSession", "searchPosts",
    ]  # fmt: skip


def test_value_of_a_forgotten_session_is_still_redacted(api: Api, website: WebServer) -> None:
    class Ending(Network):
        def parse(self, feed: Feed, response: Response) -> Page:
            if response.status == 400:
                raise CredentialsError("ExpiredToken")
            return super().parse(feed, response)

    imagelake.accounts.authorization._session_tokens["lake/net", website.origin] = {"session": "an-older-token"}
    page = website.put("/page", Answer(b"", 400), b"an-older-token")
    website.put("/renew", NEW.encode())
    assert session(Ending(keeps=False), api, website.origin).read(Request(page))[1].cursor == "REDACTED"


@pytest.mark.parametrize(
    ("error", "tries"),
    [(CredentialsError("no"), 1), (SourceChangedError("no"), 1), (None, 1), (SourceUnavailableError("no"), 3)],
)
def test_answer_with_500_is_retried_only_if_the_network_calls_it_an_outage(
    api: Api, website: WebServer, monkeypatch: pytest.MonkeyPatch, error: Exception | None, tries: int
) -> None:
    """Meta answers 500 to a page that is too large, and to the same page again."""

    class Refusing(Network):
        def parse(self, feed: Feed, response: Response) -> Page:
            if error is not None:
                raise error
            return Page([], [], None)

    monkeypatch.setattr("imagelake.run.retries.time.sleep", lambda _: None)
    page = website.put("/page", Answer(b"", 500))
    with nullcontext() if error is None else pytest.raises(type(error)):
        session(Refusing(), api, website.origin).read(Request(page))
    assert len(website.asked) == tries


def test_login_that_is_refused_ends_the_feed_without_the_password(api: Api, website: WebServer) -> None:
    page = website.put("/page", b"next")
    website.put("/renew", Answer(f"wrong: {html.escape(TOKEN)}".encode(), 401))
    with pytest.raises(CredentialsError, match="refused: wrong: REDACTED; put in a new one"):
        session(Network(keeps=False), api, website.origin).read(Request(page))


@pytest.mark.parametrize(("days", "warned"), [(13, True), (15, False), (-1, True), (None, True)])
def test_token_that_expires_soon_gives_a_warning(
    api: Api, website: WebServer, manager: Any, days: int | None, warned: bool
) -> None:
    ends = "never" if days is None else (datetime.now(UTC) + timedelta(days=days)).isoformat()
    manager.put_secret_value(SecretId="lake/net", SecretString=json.dumps({"token": TOKEN, "token_expires_at": ends}))
    network = Network()
    network.public_fields = frozenset({"token_expires_at"})
    opened = session(network, api, website.origin)
    assert opened.warnings == []
    opened.read(Request(website.put("/page", b"next")))
    assert bool(opened.warnings) is warned
    for warning in opened.warnings:
        assert f"token of the secret lake/net expires at {ends}; put in a new one: aws secretsmanager" in warning


def written(text: str) -> list[str]:
    """Return a text in every form in which it may come back."""
    code = "".join(f"\\u{ord(one):04x}" for one in text)
    return [
        text,
        quote(text, safe=""),
        quote(text),
        quote(quote(text, safe=""), safe=""),
        quote(text, safe="").lower() if text.islower() else text,
        json.dumps(text)[1:-1],
        json.dumps(text)[1:-1].replace("/", "\\/"),
        json.dumps(text)[1:-1].replace("&", "\\u0026").replace("<", "\\u003C").replace(">", "\\u003e"),
        json.dumps(json.dumps(text)[1:-1])[1:-1],
        html.escape(text),
        code,
        "".join(f"&#{ord(one)};" for one in text),
        "".join(f"&#x{ord(one):X};" for one in text),
    ]


@pytest.mark.parametrize(
    "secret", [TOKEN, "abcd-efgh-ijkl-mnop", "AAAA%2Fbb%3D", "a|b.c~d_e", "with \\ and ' and space"]
)
def test_secret_is_redacted_however_it_is_written(secret: str) -> None:
    for form in written(secret):
        assert redact_values([secret, "else-where"], f"({form})".encode()) == b"(REDACTED)", form


def test_other_text_is_not_redacted() -> None:
    text = "a token, tok%26en and ключ".encode()
    assert redact_values([TOKEN, "token", "a"], text) == text
    assert redact_values([], text) == text


def test_longer_of_two_secrets_is_redacted() -> None:
    assert (
        redact_values(["secret-one", "secret-one-and-more"], b"secret-one-and-more secret-one") == b"REDACTED REDACTED"
    )


@pytest.mark.parametrize("text", [b"\\" * 200_000, b"%25" * 70_000, b"%" + b"25" * 100_000, b"&#" + b"0" * 200_000])
def test_redaction_is_quick_whatever_the_text(text: bytes) -> None:
    assert redact_values([TOKEN, "x" * 200], text) == text


@pytest.mark.parametrize("message", ["api.net.example has no IP address", "bluesky:alice.example: the server is down"])
def test_network_that_does_not_answer_is_named_with_its_feed(message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Api(trusted_origins=frozenset(), contact="") as api:

        def fail(*_: object) -> Response:
            raise SourceUnavailableError(message)

        monkeypatch.setattr(api, "send", fail)
        session = Session(get_source("bluesky"), FEED, api, Secret("test/bluesky", ()))
        with pytest.raises(SourceUnavailableError) as raised:
            session.read(Request("https://api.net.example/"))
    assert str(raised.value) == f"bluesky:alice.example: {message.removeprefix('bluesky:alice.example: ')}"
