"""Check one feed: its form, its network's answer, its cost, and how far back a run can read."""

from __future__ import annotations

from argparse import ArgumentTypeError
from typing import Any

from imagelake.accounts.api import Api
from imagelake.accounts.secrets import Secret
from imagelake.accounts.session import Session
from imagelake.run.errors import CredentialsError, ImagelakeError
from imagelake.run.masking import mask, mask_feed
from imagelake.sources import Feed, Page, Source, get_source, parse_feed
from local.arguments import as_input, feed
from local.local_lake import loopback_origins

# Some networks need a request or two before the one that lists posts.
_MOST_PAGES = 3


def check(text: str, *, offline: bool, stack: str | None) -> list[dict[str, Any]]:
    """Return facts about a feed, or about each of its servers if it names several.

    The fact ``result`` begins with *found* or *not asked* if nothing is wrong.
    """
    try:
        parsed = parse_feed(as_input(feed(text)))
    except ArgumentTypeError as error:
        return [{"feed": mask(mask_feed(text))[:120], "result": f"wrong: {error}"}]
    servers = [server.strip() for server in (parsed.server or "").split(",")]
    feeds = (
        [parsed]
        if len(servers) == 1
        else [parsed.model_copy(update={"server": server}) for server in servers if server]
    )
    return [_facts(one, offline, stack) for one in feeds]


def _facts(checked: Feed, offline: bool, stack: str | None) -> dict[str, Any]:
    source = get_source(checked.source)
    manifest = source.manifest
    login = "needed" if manifest.credentials_required else "optional" if manifest.credentials else "none"
    return {
        "feed": checked.name,
        "feed id": checked.feed_id,
        "network": manifest.title,
        "login": login,
        "reaches back": manifest.reaches_back,
        "costs": f"{manifest.post_usd} USD a post" if manifest.post_usd else "nothing",
        "result": _answer(source, checked, offline, stack),
    }


def _answer(source: Source, checked: Feed, offline: bool, stack: str | None) -> str:
    """Ask the network for the first posts, and say in a sentence what it answered."""
    if offline:
        return "not asked (--offline)"
    if source.manifest.post_usd:
        return "not asked, because this network charges for each post"
    if source.manifest.credentials_required and stack is None:
        return "not asked, because this network needs a login; with --stack NAME, that of the stack is used"
    try:
        page = _first_posts(source, checked, stack)
    except CredentialsError as error:
        return f"needs a login: {error}"
    except ImagelakeError as error:
        return f"{'; '.join([str(error), *getattr(error, '__notes__', ())])} ({type(error).__name__})"
    number = f"{len(page.posts)} post{'' if len(page.posts) == 1 else 's'} with images on the first page"
    newest = max((post.posted_at for post in page.posts), default=None)
    return f"found, {number}" + (f", the newest of {newest:%Y-%m-%d}" if newest else "")


def _first_posts(source: Source, checked: Feed, stack: str | None) -> Page:
    trusted = frozenset(loopback_origins([checked.name]))
    cursor = None
    with Api(trusted_origins=trusted, contact="") as api:
        secret = Secret(f"{stack}/{source.name}", source.manifest.credentials)
        session = Session(source, checked, api, secret, trusted)
        for _ in range(_MOST_PAGES):
            request = source.request(checked, None, cursor)
            page = session.read(request)[1] if stack else source.parse(checked, api.send(request))
            cursor = page.cursor
            if page.posts or page.rejects or cursor is None:
                break
    return page
