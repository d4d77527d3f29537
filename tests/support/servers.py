"""The servers on loopback that the deployed stack of the tests reads and calls."""

from __future__ import annotations

from tests.support.wire.bluesky import BlueskyServer
from tests.support.wire.commons import CommonsServer
from tests.support.wire.facebook import FacebookServer
from tests.support.wire.images import ImageServer
from tests.support.wire.instagram import InstagramServer
from tests.support.wire.mastodon import MastodonServer
from tests.support.wire.planted_secrets import (
    BEARER,
    FACEBOOK,
    LOGIN,
    PAGE,
    PASSWORD,
    REFRESH,
    RENEWED,
    SESSION,
)
from tests.support.wire.rss import Site
from tests.support.wire.sample import SampleServer
from tests.support.wire.webhook import Webhook
from tests.support.wire.x import XServer


class Servers:
    """The webhook and every network. They run before the stack is deployed, because its parameters name them."""

    def __init__(self) -> None:
        self.webhook = Webhook()
        self.images = ImageServer()
        self.sample, self.sample_of_events, self.sample_of_lease, self.sample_of_networks, self.sample_of_stream = map(
            SampleServer, ("sample", "events", "lease", "networks", "stream")
        )
        self.sample_of_plan = SampleServer("plan")
        self.sample_of_backfill = SampleServer("backfill")
        self.sample_of_commands = SampleServer("commands")
        self.sample_of_options = SampleServer("options")
        self.mastodon, self.closed_mastodon = MastodonServer(), MastodonServer(closed=True)
        self.site, self.commons = Site(), CommonsServer()
        self.instagram, self.facebook = InstagramServer(LOGIN, RENEWED, FACEBOOK), FacebookServer(PAGE)
        self.x, self.bluesky = XServer(BEARER), BlueskyServer(PASSWORD, SESSION, REFRESH)
