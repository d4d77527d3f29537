"""Credentials in URLs are masked in every spelling, and everything else stays as it is."""

from __future__ import annotations

import json
import time

import pytest

from imagelake.run.masking import mask, mask_feed, mask_users_in_bytes
from imagelake.run.posts import Media, Post
from tests.support.factories import NOON
from tests.support.sample import full

USERS = [
    ("rss:https://user:s3cret@a.example/feed", "rss:https://REDACTED@a.example/feed"),
    ("https://s3cret@a.example/", "https://REDACTED@a.example/"),
    ("https://user:1234@a.example/", "https://REDACTED@a.example/"),
    ("HTTPS://user:s3c@ret@a.example:8443/", "HTTPS://REDACTED@a.example:8443/"),
    ("mastodon:https://user:s3cret@a.example@alice", "mastodon:https://REDACTED@a.example@alice"),
    ("mastodon:https://user:s3cret@a.example#cats", "mastodon:https://REDACTED@a.example#cats"),
    ("mastodon:https://s3cret@a.example#cats", "mastodon:https://REDACTED@a.example#cats"),
    ("https%3A%2F%2Fuser%3As3cret%40a.example%2F", "https%3A%2F%2FREDACTED%40a.example%2F"),
    (r'{"u":"https:\/\/user:s3cret@a.example\/x"}', r'{"u":"https:\/\/REDACTED@a.example\/x"}'),
    ('<a href="https://user:s3cret@a.example">', '<a href="https://REDACTED@a.example">'),
    # A browser reads a backslash as a slash, and ignores more of them (https://url.spec.whatwg.org/#url-parsing).
    (r"https:\\user:s3cret@a.example", r"https:\\REDACTED@a.example"),
    ("https:///user:s3cret@a.example", "https:///REDACTED@a.example"),
    ('src="//user:s3cret@a.example/1.jpg"', 'src="//REDACTED@a.example/1.jpg"'),
    ("ftp://user:s3cret@a.example/", "ftp://REDACTED@a.example/"),
    ("feed:https://user:s3cret@a.example/x", "feed:https://REDACTED@a.example/x"),
    ("https://user:s3cret@[2001:db8::1]/", "https://REDACTED@[2001:db8::1]/"),
    # Escapes of HTML (named, decimal, hexadecimal), of JSON, and of URLs, also twice.
    ("https://user:s3cret&#64;a.example/", "https://REDACTED&#64;a.example/"),
    ("https://user:s3cret&#x40;a.example/", "https://REDACTED&#x40;a.example/"),
    ("https://user:s3cret&commat;a.example/", "https://REDACTED&commat;a.example/"),
    ("https&#58;/&#47;user:s3&#99;ret@a.example/", "https&#58;/&#47;REDACTED@a.example/"),
    (r"https:\u002f\u002fuser:s3cret\u0040a.example\u002f1", r"https:\u002f\u002fREDACTED\u0040a.example\u002f1"),
    ("https://user:s3cret%2540a.example/", "https://REDACTED%2540a.example/"),
    ("https://user:s3cret＠a.example/", "https://REDACTED＠a.example/"),
    ("https://user:" + "s3cret" * 200 + "@a.example/", "https://REDACTED@a.example/"),
    ("https://user:s3/cret@a.example/", "https://REDACTED@a.example/"),
    ("https://user:1/s3cret@a.example/", "https://REDACTED@a.example/"),
    ("https://user/s3cret@a.example/feed", "https://REDACTED@a.example/feed"),
    # Browsers read one slash, or none, as two (https://url.spec.whatwg.org/#special-authority-slashes-state).
    ("https:/user:s3cret@a.example/", "https:/REDACTED@a.example/"),
    ("https:user:s3cret@a.example/", "https:REDACTED@a.example/"),
    ("rss:HTTP:s3cret@a.example/", "rss:HTTP:REDACTED@a.example/"),
    (r"https:\/user:s3cret@a.example:8080/", r"https:\/REDACTED@a.example:8080/"),
]
TOKENS = [
    ("https://a.example/?a=1&api_key=s3cret&b=2", "https://a.example/?a=1&api_key=REDACTED&b=2"),
    ("https://a.example/?token=s3cret", "https://a.example/?token=REDACTED"),
    ("https://a.example/?X-Amz-Signature=s3cret#x", "https://a.example/?X-Amz-Signature=REDACTED#x"),
    ("a?x=1&amp;sig=s3cret", "a?x=1&amp;sig=REDACTED"),
    (r'"a?x=1\u0026password=s3cret"', r'"a?x=1\u0026password=REDACTED"'),
    ("https://a.example/#access_token=s3cret", "https://a.example/#access_token=REDACTED"),
    ("https://a.example/#x=1&auth=s3cret", "https://a.example/#x=1&auth=REDACTED"),
    *(
        (f"https://a.example/?b=2&{name}=s3cret", f"https://a.example/?b=2&{name}=REDACTED")
        for name in (
            "pass",
            "passphrase",
            "access_key",
            "auth_key",
            "accessKey",
            "x-api-key",
            "pa%73sword",
            "private%5Ftoken",
            "X-Goog-Signature",
            "hmac",
            "PWD",
            "client%255Fsecret",
            # Names of PHP and Rails for the fields of an object, and the characters of any other program.
            "user[token]",
            "apikey[]",
            "token[0]",
            "user%5Btoken%5D",
            "filter(password)",
            "$access~token",
            "access+token",
            "to\u200bken",
            "ｔｏｋｅｎ",
            "token%20",
            # An OAuth code (RFC 6749, 4.1.2), a bearer token (RFC 6750, 2.3) and a signed policy of CloudFront.
            "code",
            "bearer",
            "userkey",
            "Policy",
        )
    ),
    # A URL in a parameter of another one, plain and escaped.
    (
        "https://a.example/?url=https://b.example/?token=s3cret",
        "https://a.example/?url=https://b.example/?token=REDACTED",
    ),
    ("https://a.example/?a=b?token=s3cret&c=1", "https://a.example/?a=b?token=REDACTED&c=1"),
    ("a?u=https%3A%2F%2Fb.example%2F%3Ftoken%3Ds3cret&c=1", "a?u=https%3A%2F%2Fb.example%2F%3Ftoken%3DREDACTED&c=1"),
    ("a?u=b%3Fx%3D1%26apikey%3Ds3cret", "a?u=b%3Fx%3D1%26apikey%3DREDACTED"),
    ("https://a.example/f%253Ftoken%253Ds3cret", "https://a.example/f%253Ftoken%253DREDACTED"),
    ("https://a.example/f?x%3Dtoken=s3cret", "https://a.example/f?x%3Dtoken=REDACTED"),
    (r'"a\u003ftoken=s3cret"', r'"a\u003ftoken=REDACTED"'),
    (r'"a\u003fx=1\u0026token\u003ds3cret"', r'"a\u003fx=1\u0026token\u003dREDACTED"'),
    ("a&#63;token=s3cret", "a&#63;token=REDACTED"),
    ("https://a.example/f？token＝s3cret", "https://a.example/f？token＝REDACTED"),
    ("https://a.example/#!access_token=s3cret", "https://a.example/#!access_token=REDACTED"),
    ("https://a.example/#/cb?x&access_token=s3cret", "https://a.example/#/cb?x&access_token=REDACTED"),
    # Characters that RFC 3986 allows in a query.
    ("https://a.example/?token=ab;s3cret", "https://a.example/?token=REDACTED"),
    ("https://a.example/?token=ab's3cret", "https://a.example/?token=REDACTED"),
    ("https://a.example/?token=a;b'c;s3cret;d=1", "https://a.example/?token=REDACTED;d=1"),
    (
        "'https://a.example/?token=s3cret', https://b.example/",
        "'https://a.example/?token=REDACTED', https://b.example/",
    ),
    ("see https://a.example/?token=s3cret; remove it", "see https://a.example/?token=REDACTED; remove it"),
    ("https://a.example/?token=" + "a" * 9000 + "s3cret", "https://a.example/?token=REDACTED"),
]
PLAIN = [
    "mastodon:https://a.example@alice: failed",
    "bluesky:http://127.0.0.1:5000@sample.imagelake.example",
    "mastodon:a.example:8001@alice",
    "bluesky:did:plc:abc",
    "rss:https://a.example:8080/@alice.rss",
    "https://a.example/@alice?author=bob&monkey=1",
    "mail to alice@a.example, https://a.example",
    "at://did:plc:abc/app",
    "https://a.example/@user:name/feed",
    "http://localhost:8000/@alice@a.example",
    r"https:\/\/a.example\/@alice",
    "https%3A%2F%2Fa.example%2F%40alice",
    "https://a.example:8443/x@b.example",
    "https://a.example/?sort=asc&monkey=1&design=2&compass=3&author=4&keyword=x&passport=5",
    "https://a.example/?country_code=US&codec=h264&zipcode=1&policy_id=3&url=https://b.example/?page=2",
    "https://a.example/#/v2/executions/details/arn:aws:states:eu-central-1:1:execution:M:x",
]


CAPTIONS = [
    "https://a.example/img/plain/did:plc:abc/bafk@jpeg",
    "mail to bob@a.example // or: alice@b.example",
    "(o_o)//user:@alice",
    "//TODO:ask@home",
    "16:9//10:3@home.example",
    "ssh://git@a.example/a/b",
    "at://did:plc:abc/app@x",
    "see https: alice@b.example or http:alice",
    "tea & token; code = love #key",
    "https://a.example/a:b@c, https://a.example/?u=x:y@z",
]


@pytest.mark.parametrize("text", CAPTIONS)
def test_caption_with_an_at_sign_stays_as_it_is(text: str) -> None:
    assert mask(text) == mask_users_in_bytes(text.encode()).decode() == text


@pytest.mark.parametrize(("text", "masked"), USERS + TOKENS)
def test_message_holds_no_credential(text: str, masked: str) -> None:
    assert mask(text) == masked
    assert mask(masked) == masked


@pytest.mark.parametrize(("text", "masked"), USERS)
def test_page_holds_no_password_of_a_url(text: str, masked: str) -> None:
    assert mask_users_in_bytes(b"\xff" + text.encode()) == b"\xff" + masked.encode()


@pytest.mark.parametrize(
    "text",
    [
        "http:\nalice@b.example",
        'a?token=b"c',
        "?token=\\",
        "?x\\=1&token=\n",
        'https:"alice@b.example',
        "?key=a;\t",
        "https:\\user:s3cret@a.example",
    ],
)
def test_log_line_in_json_stays_json(text: str) -> None:
    masked = mask(json.dumps({"text": text, "more": 1}))
    assert json.loads(masked)["more"] == 1
    assert mask(masked) == masked


@pytest.mark.parametrize("text", PLAIN)
def test_text_without_credentials_stays_as_it_is(text: str) -> None:
    assert mask(text) == mask_feed(text) == mask_users_in_bytes(text.encode()).decode() == text


@pytest.mark.parametrize(
    ("config", "masked"),
    [
        ("mastodon:user:s3cret@a.example#cats", "mastodon:REDACTED@a.example#cats"),
        ("mastodon:user:s3cret@a.example@alice", "mastodon:REDACTED@alice"),
        (
            {"source": "mastodon", "server": "user:s3cret@a.example", "hashtag": "cats"},
            {"source": "mastodon", "server": "REDACTED@a.example", "hashtag": "cats"},
        ),
        (
            [{"account": "https://user:s3cret@a.example", "limit": 5}],
            [{"account": "https://REDACTED@a.example", "limit": 5}],
        ),
        # A feed whose URL holds a token works, so its definition stays.
        ("rss:https://a.example/?token=abc", "rss:https://a.example/?token=abc"),
    ],
)
def test_definition_of_a_feed_holds_no_password(config: object, masked: object) -> None:
    assert mask_feed(config) == masked


@pytest.mark.slow
@pytest.mark.parametrize("size", [400_000, full(2_000_000)])
@pytest.mark.parametrize(
    "hostile",
    [
        "://a:b",
        "https://",
        "a",
        "abcdefgh:",
        "https://a@",
        "?a",
        "&token=",
        "://a:b/@",
        "mastodon:https://a@",
        "https:%2f%2f",
        "\\",
        "//%",
        "//a:b@",
        "/",
        "://" + "x" * 300 + ":y ",
        "http:",
        "%3f",
        "?token=a;",
        "?token=;a",
        "%25",
        "&x[" + "a" * 99,
    ],
)
def test_hostile_page_is_read_in_linear_time(hostile: str, size: int) -> None:
    text, before = (hostile * (size // len(hostile)) + "@"), time.process_time()
    mask_users_in_bytes(text.encode())
    mask(text[: size // 10])
    # A quadratic search takes minutes for two megabytes.
    assert time.process_time() - before < size / 250_000


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8", "latin-1"])
def test_page_of_any_encoding_holds_no_password(encoding: str) -> None:
    page = "é <a href='https://user:s3cret@a.example'>"
    masked = mask_users_in_bytes(page.encode(encoding))
    assert masked.decode(encoding) == page.replace("user:s3cret", "REDACTED")


@pytest.mark.parametrize(
    "url", ["https://user:s3 cret@a.example/1", "https://user:s3'cret@a.example/1", "//s3cret@a.example/1",
            "https:\\\\user:s3cret＠a.example/1", "https://user:s3#c/ret@a.example/1", "ftp://s3cret@a.example/1"],
)  # fmt: skip
def test_password_of_an_image_can_have_any_character(url: str) -> None:
    media = Media(media_id="rss/1", index=0, kind="image", url=url)
    assert media.url is not None
    assert media.url.endswith(("REDACTED@a.example/1", "REDACTED＠a.example/1"))
    assert "ret" not in media.url


@pytest.mark.parametrize(
    "url",
    ["https://a.example/x@2.jpg", "https://a.example:8443/@alice/a b", "image@2x.png", "https://[2001:db8::1]/x@y"],
)
def test_url_of_an_image_without_a_password_stays_as_it_is(url: str) -> None:
    assert Media(media_id="rss/1", index=0, kind="image", url=url).url == url


@pytest.mark.parametrize(
    "config",
    [
        "rss:https://user:123/s3cret@a.example/feed",
        "rss:https://user:9#s3cret@a.example/feed",
        "rss:https://user/s3cret@a.example/feed",
        "rss:https://user:s3cret＠a.example/feed",
        "rss:https://user:s3cret%2540a.example/feed",
        {"source": "rss", "account": "https://a.example/", "acct": "user:s3cret@b.example"},
        {"source": "rss", "account": "https://a.example/", "https://user:s3cret@b.example": 1},
        {"source": "rss", "url": "https://a.example/", "password": "s3cret"},
        {"source": "rss", "url": "https://a.example/", "apiKey": "s3cret"},
        {"source": "rss", "url": "https://a.example/", "apiKey": ["s3cret"]},
        {"source": "rss", "url": "https://a.example/", "credentials": {"user": "a", "value": "s3cret"}},
        {"source": "rss", "url": "https://a.example/", "login": {"token": {"a": [["s3cret"]]}}},
    ],
)
def test_password_anywhere_in_a_feed_is_masked(config: object) -> None:
    assert "s3cret" not in str(mask_feed(config))


@pytest.mark.parametrize("value", [20260401, 1.5, True, [1234], {"pin": 1234}])
def test_secret_of_any_type_in_a_feed_is_masked(value: object) -> None:
    assert mask_feed({"source": "rss", "password": value}) == {"source": "rss", "password": "REDACTED"}


@pytest.mark.parametrize(
    "password", ["s3cret", "s3 cret", 's3"cret', "s3'cret", "s3<cret", "s3\\cret", "#s3cret", "/s3cret"]
)
@pytest.mark.parametrize("feed", ["rss:https://user:{}@host.example/feed", "rss:user:{}@host.example/feed"])
def test_password_of_a_feed_can_have_any_character(feed: str, password: str) -> None:
    assert mask_feed(feed.format(password)).endswith("REDACTED@host.example/feed")
    assert "cret" not in mask_feed(feed.format(password))


@pytest.mark.parametrize(
    "feed",
    [
        "mastodon:https://[2001:db8::1]@alice",
        "mastodon:https://server.example@alice",
        "mastodon:https://server.example:8443@alice",
        "rss:https://host.example/@alice",
        "rss:https://host.example:8443/feed/@alice?to=bob@host.example",
        "bluesky:alice.example",
        {"source": "mastodon", "account": "alice", "server": "https://[2001:db8::1]"},
    ],
)
def test_feed_without_a_password_stays_as_it_is(feed: object) -> None:
    assert mask_feed(feed) == feed


@pytest.mark.parametrize("account", ["user:s3cret@host.example/feed", "user:s3 cret@pds.example"])
def test_password_in_an_account_is_masked(account: str) -> None:
    assert "cret" not in mask_feed({"source": "bluesky", "account": account})["account"]


def test_texts_of_a_post_hold_no_password_that_was_escaped_in_its_page() -> None:
    url = "https://user:s3cret@host.example/image"
    media = Media(media_id=f"rss/{url}", index=0, kind="image", url=url, alt_text=url)
    post = Post(post_id=url, author_id="a", posted_at=NOON, text=f"see {url}", permalink=url, media=[media])
    assert "s3cret" not in post.model_dump_json()
    assert post.permalink == "https://REDACTED@host.example/image"
