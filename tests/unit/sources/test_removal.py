"""Entries that are removed from a page before it is stored: in XML, and where a page names a post a second time."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagelake.run.posts import Post
from imagelake.sources import Feed, Reject, get_source
from imagelake.sources.contract import IsRemoved
from imagelake.sources.wire import keep
from imagelake.web.messages import Response
from tests.support.feed_bodies import FEED, NAMESPACES, SOURCE, WHEN, item, response, rss
from tests.support.json_mutations import FIXED

# Texts of entries in which an entry seems to begin or to end.
_TRICKY = [
    "<title>plain</title>",
    "<title><![CDATA[</item><item>]]></title>",
    "<!-- </item><item> --><title>a comment</title>",
    "<description>&lt;item&gt;&lt;/item&gt; &amp;amp; 図</description>",
    '<items:item xmlns:items="urn:x">of another kind</items:item>',
    "<itemized>not an item</itemized>",
]


def named(*post_ids: str) -> IsRemoved:
    def is_removed(entry: Post | Reject) -> bool:
        return entry.post_id in post_ids

    return is_removed


def check(body: str | bytes, *gone: str, **headers: Any) -> str:
    """Remove entries from an RSS or Atom feed; all others are the same posts as before."""
    answer = response(body, **headers)
    before = SOURCE.parse(FEED, answer)
    smaller = SOURCE.without(FEED, answer, named(*gone))
    after = SOURCE.parse(FEED, replace(answer, body=smaller))
    assert {*gone} <= {post.post_id for post in before.posts}
    assert after.posts == [post for post in before.posts if post.post_id not in gone]
    assert after.rejects == before.rejects
    return smaller.decode("utf-8-sig")


@pytest.mark.slow
@FIXED
@given(texts=st.lists(st.sampled_from(_TRICKY[:4] + _TRICKY[5:]), min_size=1, max_size=6), data=st.data())
def test_entries_of_xml(texts: list[str], data: st.DataObject) -> None:
    names = [f"secret-{number}" for number in range(len(texts))]
    gone = data.draw(st.sets(st.sampled_from(names)))
    body = rss(*(item(inside, guid=name) for inside, name in zip(texts, names, strict=True)))
    smaller = check(body, *gone)
    assert {name for name in names if name in smaller} == {*names} - gone


@pytest.mark.parametrize("charset", ["utf-8", "iso-8859-1", "utf-16"])
def test_charset_of_xml(charset: str) -> None:
    """The mark at the start comes first: https://www.rfc-editor.org/rfc/rfc7303#section-3"""
    items = "".join(item(f"<title>Caf\xe9 {name}</title>", guid=name) for name in "abc")
    text = f'<?xml version="1.0" encoding="{charset}"?><rss version="2.0"><channel>{items}</channel></rss>'
    smaller = check(text.encode(charset), "b", content_type=f"application/rss+xml; charset={charset}")
    assert "Caf\xe9 a" in smaller
    assert "Caf\xe9 b" not in smaller


@pytest.mark.parametrize(
    "body",
    [
        f"<rss version='2.0'><channel>{item(guid='a')}{item('<b>open', guid='b')}{item(guid='c')}</channel></rss>",
        f"<rss version='2.0'><channel>{item(guid='a')}{item('R&D <br>', guid='b')}{item(guid='c')}",
        f"<rss version='2.0'><channel>{item(guid='a')}<item><guid>b</guid>{WHEN}{item(guid='c')}</channel></rss>",
    ],
    ids=["a tag is open", "the end is missing", "an entry is open"],
)
def test_xml_that_is_not_well_formed(body: str) -> None:
    assert "<guid>b</guid>" not in check(body, "b")


def test_atom_with_prefix() -> None:
    entries = "".join(
        f"<a:entry><a:id>{name}</a:id><a:updated>2026-09-30T09:00:00Z</a:updated></a:entry>" for name in "abc"
    )
    body = f'<a:feed xmlns:a="http://www.w3.org/2005/Atom">{entries}</a:feed>'
    assert "<a:id>a</a:id>" not in check(body, "a")


def test_list_of_urls_before_the_entries() -> None:
    """RSS 1.0 names every entry in its channel: https://web.resource.org/rss/1.0/spec#s5.3.5"""
    urls = [f"https://site.example/{name}?x=1&amp;y=2" for name in "abc"]
    listed = "".join(f'<rdf:li rdf:resource="{url}"/>' for url in urls)
    entries = "".join(
        f'<item rdf:about="{url}"><link>{url}</link><dc:date>2026-09-30T09:00:00Z</dc:date></item>' for url in urls
    )
    body = (
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/"'
        f" {NAMESPACES}>"
        f"<channel><items><rdf:Seq>{listed}</rdf:Seq></items></channel>{entries}</rdf:RDF>"
    )
    smaller = check(body, "https://site.example/b?x=1&y=2")
    assert ["/a?" in smaller, "/b?" in smaller, "/c?" in smaller] == [True, False, True]


def test_page_of_x_keeps_nothing_of_a_removed_post() -> None:
    """Media, authors and errors are beside the posts: https://docs.x.com/x-api/fundamentals/expansions"""
    posts = [
        {"id": str(number), "author_id": f"8{number}", "attachments": {"media_keys": [f"3_{number}"]}}
        for number in (1001, 1002)
    ]
    media = [{"media_key": f"3_{number}", "type": "photo", "alt_text": f"alt {number}"} for number in (1001, 1002)]
    users = [{"id": f"8{number}", "name": f"name {number}"} for number in (1001, 1002)]
    errors = [{"resource_id": f"3_{number}", "detail": f"Could not find {number}"} for number in (1001, 1002)]
    meta = {"newest_id": "1002", "oldest_id": "1001", "result_count": 2, "next_token": "t"}
    body = {"data": posts, "includes": {"media": media, "users": users}, "meta": meta, "errors": errors}
    answer = Response(200, {}, json.dumps(body).encode(), "https://api.x.com/2/tweets/search/recent")
    source, feed = get_source("x"), Feed.of("x:CatCafe")
    smaller = source.without(feed, answer, named("1002"))
    assert b"1002" not in smaller
    assert json.loads(smaller) == {
        "data": posts[:1], "includes": {"media": media[:1], "users": users[:1]}, "errors": errors[:1],
        "meta": {"result_count": 2, "next_token": "t"},
    }  # fmt: skip


def test_search_of_bluesky_is_a_list_of_posts() -> None:
    did = "did:plc:abcdefghijklmnopqrstuvwx"
    posts = [
        {
            "uri": f"at://{did}/app.bsky.feed.post/{key}",
            "author": {"did": did},
            "record": {},
            "indexedAt": "2026-09-30T09:00:00Z",
        }
        for key in ("3a", "3b")
    ]
    answer = Response(200, {}, json.dumps({"posts": posts, "cursor": "1"}).encode(), "https://bsky.social/xrpc/x")
    smaller = get_source("bluesky").without(Feed.of("bluesky:#cats"), answer, named(posts[0]["uri"]))  # type: ignore[arg-type]
    assert json.loads(smaller) == {"posts": posts[1:], "cursor": "1"}


def test_records_of_two_networks_with_one_post_id() -> None:
    """A stream has posts of many networks, so the post id alone does not say which record to remove."""
    records = [
        {
            "schema": "imagelake.post/1",
            "post": {"post_id": "1", "author_id": author, "posted_at": "2026-11-20T12:00:00Z", "media": []},
        }
        for author in ("alice", "bob")
    ]
    answer = Response(200, {}, json.dumps(records).encode(), "stage:w-1")
    smaller = get_source("stream").without(
        Feed.of({"source": "stream", "account": "posts", "window": "w-1"}),
        answer,
        lambda entry: isinstance(entry, Post) and entry.author_id == "alice",
    )
    assert json.loads(smaller) == records[1:]


@FIXED
@given(gone=st.sets(st.integers(0, 99)))
def test_few_pages_are_parsed_to_remove_few_entries(gone: set[int]) -> None:
    asked: list[int] = []

    def has_removed(part: list[int]) -> bool:
        asked.append(len(part))
        return not gone.isdisjoint(part)

    assert keep([*range(100)], has_removed) == [number for number in range(100) if number not in gone]
    assert len(asked) <= 1 + 14 * len(gone)
