"""The sample feed of an account of one's own: files of tests that read it do not meet in the lake."""

from __future__ import annotations

from http import HTTPStatus

from local.feed_server import FeedServer
from local.sample_feed import SampleFeed


class SampleServer(FeedServer):
    """Serves the sample feed of the account ``name``: its posts and the bytes of its images are no other account's."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.feed = _Copy(name)

    @property
    def account(self) -> dict[str, str]:
        """The feed as the input of a run names it."""
        return {"source": "bluesky", "account": self.feed.author["handle"], "server": self.url}


class _Copy(SampleFeed):
    def __init__(self, name: str) -> None:
        super().__init__()
        self._mark = name.encode()
        self.author = self.author | {"did": f"did:plc:{name:a<24}", "handle": f"{name}.imagelake.example"}

    def media(self, name: str) -> tuple[HTTPStatus, str, bytes] | None:
        served = super().media(name)
        if served is None or served[0] != HTTPStatus.OK:
            return served
        # A reader of any of these formats stops before bytes that follow the image.
        return *served[:2], served[2] + self._mark
