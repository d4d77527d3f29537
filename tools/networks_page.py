"""Write ``docs/networks.md`` from the manifests of the networks; ``make docs`` runs it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from imagelake.sources import SOURCES, Source

DOCS = Path(__file__).parents[1] / "docs"

INTRODUCTION = """\
# The networks

A feed is an account, a hashtag or a URL on one network. Write it in its short form in the stack's `Feeds` parameter or
in the input of an execution: `{"feeds": ["bluesky:bsky.app", "mastodon:server.example#cats"]}`. A feed with settings is
an object: `{"source": "mastodon", "server": "server.example", "hashtag": "cats", "limit": 200}`. `limit` is the most
new posts that one run reads, 1 to 100,000; it finishes the last page. With `since`, a day, a run reads older posts in
place of new ones: see [backfill](operations.md#backfill), also for the posts behind the limit of a first run.

A text may also be what you copy from a browser: the URL of a profile, of a hashtag or of a category, or a handle such
as `@alice@server.example`. Any other URL is that of an RSS feed. `./imagelake feeds check FEED` shows how it is read.

An object has `source`, and either `account` (at most 500 characters) or `hashtag` (at most 256). `server` is a host
name or an origin, without user name and password (at most 256 characters). It may also have
[image options](dataset.md#image-options) of its own. Any other field, or a value of another type,
fails the feed, and the message names the field.
"""

BELOW_THE_TABLE = """\
## Overlap
A run reads the posts that are newer than the newest one of the run before, and some older ones again, because networks
insert late and backdated posts between known ones. These are the overlap. The column "late posts" gives their
number, at most as many as the limit of the feed. Known images get no second row, are not downloaded again, and do
not count against the limit. A post that is inserted further back is not read.

## Reach, rejects and credentials
The column "reaches back" is how far a first run can read, and a [backfill](operations.md#backfill) too. If a listing
ends before the day that a backfill wants, a warning says so. A feed of a stream has no backfill.

If a rate limit ends within six hours, the run waits for it. A feed that cannot be read fails alone: the notification
names the feed, the problem and the remedy. Rejected posts and skipped media items are kept with a reason under
`rejects/`.

A post is rejected only if it lacks what identifies it, its time or its list of images, or if a field that says if it
may be kept cannot be read. Any other field with a value of another type counts as missing; a sensitive flag then counts
as set, unless the value is empty. An image that cannot be read is skipped and does not cost the others.

The credentials of a network are one secret in Secrets Manager, a JSON object named `STACK/NETWORK`; create it yourself,
the template does not. Credentials are sent only to the network's own hosts, and no raw page, row or log holds them.
"""


def networks_page() -> str:
    """The text of the page."""
    networks = [source for name, source in SOURCES.items() if name != "stream"]
    # Networks that need no login come first.
    sources = sorted(networks, key=lambda source: (source.manifest.credentials_required, source.manifest.title.lower()))
    rows = [_row(source) for source in sources]
    head = ["| network | feeds | login | reaches back | late posts | costs |", "|---|---|---|---|---|---|"]
    parts = [INTRODUCTION, "\n".join(head + rows) + "\n", BELOW_THE_TABLE]
    parts += ["\n".join(_section(source)) + "\n" for source in sources]
    return "\n".join(parts)


def _row(source: Source) -> str:
    manifest = source.manifest
    feeds = "<br>".join(f"`{feed}`" for feed in manifest.feeds)
    login = "needed" if manifest.credentials_required else "optional" if manifest.credentials else "none"
    cost = "nothing" if manifest.post_usd is None else f"{manifest.post_usd:.3f} USD a post"
    anchor = manifest.title.lower().replace(",", "").replace(" ", "-")
    late = f"the last {source.overlap}" if source.overlap else "none"
    return f"| [{manifest.title}](#{anchor}) | {feeds} | {login} | {manifest.reaches_back} | {late} | {cost} |"


def _section(source: Source) -> Iterator[str]:
    manifest = source.manifest
    yield f"## {manifest.title}"
    size = "as many posts as the site puts into one" if manifest.page_size is None else f"{manifest.page_size} posts"
    yield f"- A page has {size}."
    yield from (f"- {note}" for note in manifest.notes)
    yield f"- Deletion: {manifest.deletion}."
    yield f"- Terms: {manifest.terms}."
    if manifest.credentials:
        fields = json.dumps(dict.fromkeys(manifest.credentials, "..."))
        yield ""
        yield "```"
        yield f"aws secretsmanager create-secret --name STACK/{source.name} --secret-string '{fields}'"
        yield "```"


if __name__ == "__main__":
    (DOCS / "networks.md").write_text(networks_page(), "utf-8")
