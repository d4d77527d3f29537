"""Writes ``docs/networks.md`` from the manifests of the networks; ``make docs`` runs it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from imagelake.sources import Source, get_source
from imagelake.sources.manifest import Manifest

DOCS = Path(__file__).parents[1] / "docs"

# The ones that need nothing come first.
ORDER = ("bluesky", "mastodon", "rss", "commons", "instagram", "facebook", "x")

INTRODUCTION = """\
# The networks

A feed is an account, a hashtag or an address on one network. Name it in its short form, in the stack's `Feeds`
parameter or in an execution's input: `{"feeds": ["bluesky:bsky.app", "mastodon:server.example#cats"]}`. A feed with
settings is an object, `{"source": "mastodon", "server": "server.example", "hashtag": "cats", "limit": 200}`; `limit` is
the number of posts after which a run stops reading, with the page that they are on. A first run that stops there leaves
older posts for good: raise it before the first run.
"""

BELOW_THE_TABLE = """\
A limit is waited for if it ends within six hours. A feed that cannot be read fails alone: the notification names it,
what is wrong and what to do. Posts that are misshapen or left out on purpose, and media that are no images, are kept
with a reason under `rejects/`.

A network's credentials are one secret in Secrets Manager, a JSON object named `STACK/NETWORK`; the template makes none.
They are sent to the network's own hosts and are in no raw page, row or log.
"""


def networks_page() -> str:
    """The page's text."""
    sources = [get_source(name) for name in ORDER]
    rows = [_row(source.manifest) for source in sources]
    head = ["| network | feeds | login | reaches back | costs |", "|---|---|---|---|---|"]
    parts = [INTRODUCTION, "\n".join(head + rows) + "\n", BELOW_THE_TABLE]
    parts += ["\n".join(_section(source)) + "\n" for source in sources]
    return "\n".join(parts)


def _row(manifest: Manifest) -> str:
    feeds = "<br>".join(f"`{feed}`" for feed in manifest.feeds)
    login = "needed" if manifest.credentials_required else "optional" if manifest.credentials else "none"
    cost = "nothing" if manifest.post_usd is None else f"{manifest.post_usd:.3f} USD a post"
    anchor = manifest.title.lower().replace(",", "").replace(" ", "-")
    return f"| [{manifest.title}](#{anchor}) | {feeds} | {login} | {manifest.lookback} | {cost} |"


def _section(source: Source) -> Iterator[str]:
    manifest = source.manifest
    yield f"## {manifest.title}"
    size = "as many posts as the site puts into one" if manifest.page_size is None else f"{manifest.page_size} posts"
    yield f"- a page has {size}"
    yield from (f"- {note}" for note in manifest.notes)
    yield f"- deletion: {manifest.deletion}"
    yield f"- terms: {manifest.terms}"
    if manifest.credentials:
        fields = json.dumps(dict.fromkeys(manifest.credentials, "..."))
        yield ""
        yield "```"
        yield f"aws secretsmanager create-secret --name STACK/{source.name} --secret-string '{fields}'"
        yield "```"


if __name__ == "__main__":
    (DOCS / "networks.md").write_text(networks_page(), "utf-8")
