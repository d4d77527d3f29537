"""RSS, Atom and JSON Feed: a signature in the URL of an image is no part of its identity."""

from __future__ import annotations

import hashlib
import time
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagelake.run.posts import Post
from imagelake.sources.signatures import is_signed, without_signature
from tests.support.feed_bodies import URL, json_feed, json_item, only, page, rss
from tests.support.json_mutations import FIXED

CDN = "https://cdn.example/a.jpg"

# The parameters of a signature on two days, from the documentation of each service; see signatures.py.
SIGNED = {
    "S3": (
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA%2F{0}%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date={0}T00"
        "0000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=beef{0}"
    ),
    "S3, version 2": "AWSAccessKeyId=AKIA&Signature=vjbyPxybdZaNmGa%2ByT272YEA{0}%3D&Expires={0}",
    "Google Cloud": "X-Goog-Algorithm=GOOG4-RSA-SHA256&x-goog-date={0}&X-Goog-Signature=aa{0}",
    "Google Cloud, version 2": "GoogleAccessId=a@b.example&Expires={0}&Signature=aa{0}",
    "CloudFront": "Expires={0}&Signature=aa{0}~&Key-Pair-Id=K1&Hash-Algorithm=SHA256",
    "CloudFront with a policy": "Policy=ey{0}&Signature=aa{0}&Key-Pair-Id=K1",
    "Azure": "sv=2022-11-02&st={0}&se={0}&sr=b&sp=r&sig=aa{0}%3D",
    "Azure for a user": "skoid=1&sktid=2&skt={0}&ske={0}&sks=b&skv=2022-11-02&sv=2022-11-02&se={0}&sr=b&sp=r&sig=a{0}",
    "Meta": "_nc_cat=1{0}&ccb=1-7&_nc_ohc=x{0}&_nc_gid={0}&oh=00_Af{0}&oe={0}",
    "Akamai": "hdnts=exp={0}~acl=/*~hmac=aa{0}",
    "Akamai, older": "__gda__={0}_aa{0}",
    "Bunny": "token=HS256-{0}&expires={0}&token_path=%2F",
    "token": "token=ey{0}.b.c",
    "Discord": "ex={0}&is={0}&hm=aa{0}",
    "LinkedIn": "e={0}&v=beta&t=aa{0}",
    "imgix": "expires={0}&s=aa{0}",
    "nginx": "md5=aa{0}&expires={0}",
    "Alibaba": "OSSAccessKeyId=LTAI&Expires={0}&Signature=aa{0}",
    "Tencent": "q-sign-algorithm=sha1&q-ak=A&q-sign-time={0}&q-key-time={0}&q-header-list=host&q-signature=aa{0}",
    "TikTok": "x-expires={0}&x-signature=aa{0}",
    "escaped twice": "Expires={0}&amp;Signature=aa{0}&amp;Key-Pair-Id=K1",
}
DAYS = ("20260930", "20261001", "20261002")


def enclosed(*urls: str) -> Post:
    return only(json_feed(json_item(attachments=[{"url": url, "mime_type": "image/jpeg"} for url in urls])))


def ids(*urls: str) -> list[str]:
    return [media.media_id for media in enclosed(*urls).media]


@pytest.mark.parametrize("query", SIGNED.values(), ids=SIGNED)
def test_image_has_the_same_id_each_day_if_only_its_signature_changes(query: str) -> None:
    days = [ids(*(f"{CDN}?id={number}&{query.format(day)}" for number in range(3))) for day in DAYS]
    assert days[0] == days[1] == days[2]
    assert len(set(days[0])) == 3
    assert days[0] == ids(*(f"{CDN}?id={number}" for number in range(3)))


@pytest.mark.parametrize("query", SIGNED.values(), ids=SIGNED)
def test_signed_url_is_downloaded_as_it_is_written(query: str) -> None:
    url = f"{CDN}?{query.format(DAYS[0])}"
    assert [media.url for media in enclosed(url).media] == [url]


@pytest.mark.parametrize(
    "name",
    [
        "id", "name", "file", "v", "w", "size", "page", "key", "s", "t", "e", "st", "se", "sp", "sv", "policy", "ts",
        "is", "ex", "hash", "md5", "format", "x-oss-process", "q", "url", "i", "nonce",
    ],
)  # fmt: skip
def test_images_whose_only_difference_is_another_parameter_stay_two(name: str) -> None:
    first, second = f"{CDN}?{name}=1", f"{CDN}?{name}=2"
    assert ids(first) != ids(second)
    assert len(set(ids(first, second))) == 2


@pytest.mark.parametrize("name", ["token", "sig", "Signature", "oe", "oh", "X-Amz-Date", "expires", "hdnts"])
def test_images_of_an_entry_stay_two_even_if_only_a_signature_differs(name: str) -> None:
    """A site can name its files by such a parameter; then their order tells them apart, and both are collected."""
    one, two = f"{CDN}?{name}=1", f"{CDN}?{name}=2"
    assert len(set(ids(one, two))) == 2
    assert ids(one, two)[0] == ids(one)[0]


def test_id_of_an_image_without_a_signature_is_as_before() -> None:
    """Otherwise all images of all feeds would be downloaded again."""
    url = f"{CDN}?id=1&W=2#x"
    post = enclosed(url)
    digest = hashlib.sha256("\n".join([URL, post.post_id, url]).encode()).hexdigest()[:40]
    assert post.media[0].media_id == f"rss/{digest}"


def test_image_behind_a_proxy_is_known_by_its_own_url() -> None:
    def through_proxy(url: str) -> str:
        return f"https://proxy.example/?w=1&url={quote(url, safe='')}"

    days = [ids(through_proxy(f"{CDN}?id=1&" + SIGNED["S3"].format(day))) for day in DAYS]
    other = ids(through_proxy(f"{CDN}?id=2"))
    assert days[0] == days[1] == days[2] != other


@pytest.mark.parametrize("element", ['<guid isPermaLink="true">{}</guid>', "<link>{}</link>", ""])
def test_entry_whose_id_is_a_signed_url_is_the_same_each_day(element: str) -> None:
    def entry(day: str) -> Post:
        url = f"{CDN}?{SIGNED['CloudFront'].format(day)}".replace("&", "&amp;")
        enclosure = f'<enclosure url="{url}" type="image/jpeg"/>'
        when = "<pubDate>Wed, 30 Sep 2026 08:00:00 GMT</pubDate>"
        return only(rss(f"<item>{element.format(url)}{when}{enclosure}</item>"))

    posts = [entry(day) for day in DAYS]
    assert len({post.post_id for post in posts}) == 1
    assert len({media.media_id for post in posts for media in post.media}) == 1
    assert len({post.media[0].url for post in posts}) == 3


@pytest.mark.parametrize("guid", ["https://forum.example/view?token=1", "https://forum.example/?sig=a", "a?expires=1"])
def test_entry_whose_id_only_may_be_signed_keeps_it(guid: str) -> None:
    assert page(json_feed(json_item(id=guid))).posts[0].post_id == guid


@FIXED
@given(st.text(st.sampled_from("?&=#%amp;idsigtoken1/:http"), max_size=60))
def test_any_text_without_a_signature_twice_is_the_same(text: str) -> None:
    once = without_signature(text)
    assert without_signature(once) == once or "://" in text
    is_signed(text)


@pytest.mark.parametrize("unit", ["a&", "sig&", "x-amz-a&", "http://?a=", "%26", "u=http://a?u="])
def test_url_of_the_largest_size_takes_little_time(unit: str) -> None:
    url = ("https://a.example/?" + unit * 8_192)[:8_192]
    begin = time.thread_time()
    without_signature(url)
    is_signed(url)
    assert time.thread_time() - begin < 0.5
