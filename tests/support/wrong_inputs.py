"""Inputs of a run: wrong ones with the field that the refusal names, and right ones.

``FEEDS`` are wrong definitions of one feed, ``INPUTS`` are wrong fields of the execution input beside a right feed,
``PARAMETERS`` are wrong values of the SSM parameter, and ``RECORDS`` are wrong stream records.
"""

from __future__ import annotations

import json
from typing import Any

GOOD_FEED = "bluesky:alice.example"
NAN, INFINITY = float("nan"), float("inf")


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def given(**fields: Any) -> dict[str, Any]:
    return {"feeds": [GOOD_FEED], **fields}


def cases(field: str, *values: Any) -> list[tuple[str, Any]]:
    return [(field, given(**{field: value})) for value in values]


def feed_cases(field: str, source: str, *values: Any) -> list[tuple[str, Any]]:
    return [(field, {"source": source, "account": "nasa", field: value}) for value in values]


_SIDE = {"source": "bluesky", "account": "a.example", "min_image_size": 200}

# The field that the refusal names, and the execution input.
INPUTS: list[tuple[str, Any]] = [
    # No object.
    *[("execution input: it has", value) for value in ([], [GOOD_FEED], "text", "", 3, True, None, 1.5, NAN)],
    # The day.
    *cases(
        "dt",
        "1999-01-01",
        "2025-12-31",
        "2026-04-03",
        "2027-01-01",
        "9999-12-31",
        "0000-00-00",
        "0001-01-01",
        "2026-02-30",
        "2026-13-01",
        "2026-2-3",
        "20260401",
        "2026-04-01T00:00",
        "2026-04-01\n",
        " 2026-04-01",
        "2026-W14-3",
        "yesterday",
        "",
        "٢٠٢٦-٠٤-٠١",
        "2026‐04‐01",
        20260401,
        1.5,
        True,
        [],
        ["2026-04-01"],
        {},
        "2026-04-01\x00",
        "\ud800",
        "x" * 100_000,
    ),
    # The time that a schedule sends.
    *cases(
        "scheduled_time",
        5,
        1775000000,
        "1775000000",
        1e300,
        -1,
        True,
        [],
        {},
        "",
        "soon",
        "2026-04-01",
        "2026-04-01T05:00:00",
        "<aws.scheduler.scheduled-time>",
        "2026-04-31T05:00:00Z",
        "2026-04-01T25:00:00Z",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "1999-01-01T00:00:00Z",
        "2026-04-04T00:00:00Z",
        "٢٠٢٦-٠٤-٠١T05:00:00Z",
        "2026-04-01T05:00:00+99:00",
        "20260401T050000Z",
    ),
    ("scheduled_time", given(scheduled_time="0001-01-01T00:00:00Z", time_zone="America/New_York")),
    ("scheduled_time", given(scheduled_time="9999-12-31T23:59:59Z", time_zone="Asia/Tokyo")),
    # The time zone.
    *cases(
        "time_zone",
        "Europe/Atlantis",
        "../../etc/passwd",
        "/etc/passwd",
        "",
        "America",
        "x" * 5000,
        "UTC\x00",
        0,
        [],
        # Files beside the zones (https://man7.org/linux/man-pages/man5/localtime.5.html, tz's Makefile).
        "Factory",
        "localtime",
        "posixrules",
        "right/UTC",
        "right/Europe/Berlin",
    ),
    ("time_zone", given(time_zone=None)),
    # Numbers.
    *[
        (field, given(**{field: value}))
        for field, too_many in (("batch_size", 1001), ("posts_per_feed", 100_001), ("failure_tolerance_percent", 101))
        for value in (too_many, -1, True, "10", "many", "", 1.5, 10.0, NAN, INFINITY, 10**400, [10], {"value": 10})
    ],
    ("batch_size", given(batch_size=0)),
    ("posts_per_feed", given(posts_per_feed=0)),
    # Choices.
    *cases("preset", "best", "Fast", "", None, 1, ["fast"]),
    *cases("tensor", "float64", "", False, 8),
    *cases("resize_mode", "crop", "", None, 1, ["no"]),
    # Image options.
    *[
        (field, given(**{field: value}))
        for field, too_little, too_much in (
            ("image_size", 15, 2049),
            ("encode_quality", 0, 96),
            ("min_image_size", 0, 6001),
            ("max_image_area", 0, 40_000_001),
        )
        for value in (too_little, too_much, -1, True, "512", "", 512.0, NAN, INFINITY, 10**400, [512], {"value": 512})
    ],
    *cases("max_aspect_ratio", 0.99, 1000.5, -1, 0, True, "2", "", None, NAN, INFINITY, 10**400, [2], {}),
    *cases("resize_only_if_bigger", "true", "yes", 1, 0, None, "", [True], {}),
    *[(field, given(**{field: None})) for field in ("image_size", "encode_quality", "min_image_size")],
    ("imagesize: there is no such field; did you mean image_size?", given(imagesize=512)),
    ("quality: there is no such field; did you mean encode_quality?", given(quality=85)),
    ("max_pixels: there is no such field", given(max_pixels=10**9)),
    # Two sizes that reject every image: a square of the smallest side has already more pixels.
    *[
        ("min_image_size", given(min_image_size=side, max_image_area=area))
        for side, area in ((6000, 35_999_999), (2, 3), (1000, 40_000), (200, 200))
    ],
    ("max_image_area", given(min_image_size=200, max_image_area=200)),
    ("feeds.0: min_image_size 200", {"feeds": [_SIDE], "max_image_area": 39_999}),
    ("max_image_area 9", {"feeds": [{"source": "x", "account": "a", "max_image_area": 9}], "min_image_size": 4}),
    *cases("schedule", "", 5, None, [], "x" * 65),
    # A retry.
    *cases("retry", "daily-2026-03-31", True, [], 5),
    *[
        ("retry.run_id", given(retry={"run_id": value}))
        for value in ("", "../raw", "..", "a b", "a/b", "a\nb", "x" * 81, "a*", "a\x00b", 5, None, ["a"])
    ],
    ("retry.run_id: it is the name of this run", given(retry={"run_id": "daily-2026-04-01"})),
    ("retry.run_id", given(retry={})),
    ("retry.run_id", given(retry={"error_codes": ["timed_out"]})),
    ("retry.error_codes", given(retry={"run_id": "a", "error_codes": []})),
    ("retry.error_codes", given(retry={"run_id": "a", "error_codes": "timed_out"})),
    ("retry.error_codes.1", given(retry={"run_id": "a", "error_codes": ["timed_out", "tired"]})),
    ("retry.error_codes.0", given(retry={"run_id": "a", "error_codes": [5]})),
    ("retry.runid: there is no such field; did you mean run_id?", given(retry={"run_id": "a", "runid": "b"})),
    # Fields that do not exist.
    ("batchsize: there is no such field; did you mean batch_size?", given(batchsize=5)),
    ("Feeds: there is no such field; did you mean feeds?", given(Feeds=[])),
    ("timezone: there is no such field; did you mean time_zone?", given(timezone="UTC")),
    ("zzz: there is no such field; the fields are batch_size, dt,", given(zzz=1)),
    ("feeds_parameter", given(feeds_parameter={"name": "p", "value": "[]"})),
    ("\\x00", given(**{"\x00": 1})),
    ("\\ud800", given(**{"\ud800": 1})),
    # The list of feeds.
    *cases("feeds", None, [], {}, "bluesky:a.example", 5, {"source": "bluesky"}),
    ("feeds", {}),
    ("feeds", {"feeds": [f"bluesky:user{number}.example" for number in range(51)]}),
    ("feeds", {"feeds": [f"mastodon:{','.join(f's{n}.{a}.example' for n in range(18))}#cats" for a in "abc"]}),
    ("feeds.0", {"feeds": [nested(500)]}),
    ("feeds.0", {"feeds": [{"source": "rss", "account": nested(3000)}]}),
    ("feeds.0", {"feeds": ["rss:https://a.example/\ud800"]}),
    ("feeds.0", {"feeds": ["rss:https://a.example/\x00"]}),
    ("feeds.1", {"feeds": [GOOD_FEED, NAN]}),
    ("feeds.0", {"feeds": ["x" * 501]}),
    ("feeds.0: a feed has at most 500 bytes", {"feeds": ["日" * 167]}),
    ("feeds.0: a feed has at most 500 bytes", {"feeds": [{"source": "x", "hashtag": "🐈" * 120}]}),
    ("feeds: all feeds together have", {"feeds": [f"rss:https://a.example/{n:02}{'x' * 300}" for n in range(50)]}),
    ("feeds: all feeds together have", {"feeds": [f"rss:https://a.example/{n:02}{'日' * 150}" for n in range(26)]}),
    (
        "feeds: all feeds together have",
        {"feeds": [f"mastodon:{','.join(f's{n}.{a}.test' for n in range(20))}#{'t' * 250}" for a in "ab"]},
    ),
    ("feeds.0", {"feeds": [{"source": "rss", "account": "x" * 490}]}),
    ("feeds.0.limit", {"feeds": [{"source": "rss", "account": "x", "limit": 10**40}]}),
    ("feeds.1 duplicates feeds.0", {"feeds": [GOOD_FEED, GOOD_FEED]}),
    ("feeds.1 duplicates feeds.0", {"feeds": [GOOD_FEED, {"source": "bluesky", "account": "alice.example"}]}),
    ("feeds.1 duplicates feeds.0", {"feeds": ["nonsense", "nonsense"]}),
    # Spellings that a network does not distinguish.
    *[
        ("feeds.1 duplicates feeds.0", {"feeds": [one, other]})
        for one, other in (
            ("x:nasa", "x:@nasa"),
            ("x:nasa", "x:NASA"),
            ("x:#cats", "x:#Cats"),
            ("bluesky:a.example", "bluesky:@A.example"),
            ("instagram:@nasa", "instagram:nasa"),
            ("facebook:NASA", "facebook:@nasa"),
            ("mastodon:a.example@alice", "mastodon:https://A.example@Alice"),
            ("mastodon:a.example#cats", "mastodon:a.example:443#cats"),
            ("rss:https://a.example/F", "rss:HTTPS://A.example:443/F"),
            ("rss:http://a.example", "rss:http://a.example:80"),
            ({"source": "x", "hashtag": "cats"}, {"source": "x", "hashtag": "#cats"}),
        )
    ],
    *[
        ("feeds.0: server: it has the same server twice", {"feeds": [feed]})
        for feed in ("mastodon:a.example,a.example#cats", "mastodon:b.test,a.example,A.example#cats")
    ],
]

# The field that the refusal names, and the value of the parameter.
PARAMETERS: list[tuple[str, str]] = [
    ("not JSON: the first mistake is at line 1, column 1", ""),
    ("not JSON: the first mistake is at line 1, column 2", "[bluesky:a.example]"),
    ("not JSON", '["bluesky:a.example",]'),
    ("not JSON: NaN", "[NaN]"),
    ("not JSON: -Infinity", "[-Infinity]"),
    ("nested", "[" * 100_000),
    ("feeds.0", "[" * 50 + "]" * 50),
    ("feeds.0", f"[{'1' * 5000}]"),
    ("feeds.0.limit", '[{"source": "rss", "limit": 1e999}]'),
    ("feeds", '"bluesky:a.example"'),
    ("feeds", "5"),
    ("feeds", "null"),
    ("feeds", "[]"),
    ("daily", '{"daily": {"a": 1}}'),
    ("daily", '{"daily": "bluesky:a.example"}'),
    ("daily", '{"daily": null}'),
    ("daily", '{"daily": []}'),
    ("frequent", '{"daily": ["bluesky:a.example"], "frequent": 5}'),
    ("has no list for the schedule", '{"hourly": ["bluesky:a.example"]}'),
    ("has no list for the schedule", "{}"),
    ("daily: this name is there twice", '{"daily": ["bluesky:a.example"], "daily": []}'),
    ("limit: this name is there twice", '[{"source": "rss", "account": "x", "limit": 1, "limit": 2}]'),
    ("feeds.0", '["rss:https://a.example/\\ud800"]'),
    ("feeds.0", '["rss:https://a.example/\\u0000"]'),
    ("feeds.1 duplicates feeds.0", '["bluesky:a.example", {"source": "bluesky", "account": "a.example"}]'),
    ("daily.1 duplicates daily.0", '{"daily": ["bluesky:a.example", "bluesky:a.example"]}'),
    ("feeds.0", json.dumps(["x" * 600])),
    ("feeds", json.dumps([f"bluesky:user{number}.example" for number in range(51)])),
]

# Words of the refusal, and the definition of the feed, which fails only this feed.
FEEDS: list[tuple[str, Any]] = [
    *[("write a feed as text", value) for value in (None, 5, True, [], ["bluesky:a.example"])],
    ("SOURCE:ACCOUNT", ""),
    ("SOURCE:ACCOUNT", "nonsense"),
    ("SOURCE:ACCOUNT", "bluesky:"),
    ("did you mean bluesky?", "blusky:a.example"),
    ("did you mean mastodon?", {"source": "mastadon", "hashtag": "cats", "server": "a.example"}),
    ("source: it is missing", {"account": "a.example"}),
    ("source", {"source": 5, "account": "a"}),
    ("source", {"source": "Bluesky!", "account": "a"}),
    ("acount: there is no such field; did you mean account?", {"source": "bluesky", "acount": "a"}),
    ("an account or a hashtag", {"source": "bluesky"}),
    ("an account or a hashtag", {"source": "mastodon", "account": "a", "hashtag": "b", "server": "c.example"}),
    ("account", {"source": "bluesky", "account": ""}),
    ("account", {"source": "bluesky", "account": 5}),
    ("account", {"source": "bluesky", "account": " a.example"}),
    ("server", {"source": "mastodon", "hashtag": "cats", "server": ""}),
    ("server", {"source": "mastodon", "hashtag": "cats", "server": []}),
    ("server", {"source": "mastodon", "hashtag": "cats", "server": "https://a.example/path"}),
    ("name the server", "mastodon:#cats"),
    *[
        ("server: it has a comma without the name of a server", value)
        for value in (
            "mastodon:,#cats",
            "mastodon:,,@alice",
            "mastodon:a.example,,b.example#cats",
            "mastodon:,a.example#cats",
            {"source": "mastodon", "server": "a.example, ,b.example", "hashtag": "cats"},
        )
    ],
    *[
        ("server", f"mastodon:{server}@alice")
        for server in ("a.example:99999", "a.example:abc", "a..example", "https://a..example", "https://a.example:x")
    ],
    *[
        ("account", f"rss:https://{host}/feed")
        for host in ("a.example:99999", "a.example:abc", "a..example", ".a.example", "a.example:-1", "1.2.3.999")
    ],
    *feed_cases("server", "stream", "a.example"),
    *feed_cases("limit", "stream", 5),
    ("hashtag", "stream:#cats"),
    *[
        ("min_image_size", {"source": "bluesky", "account": "a.example", "min_image_size": side, "max_image_area": 99})
        for side in (10, 100, 6000)
    ],
    *feed_cases("limit", "bluesky", 0, -1, 100_001, True, "5", 1.5, []),
    *feed_cases("cost_cap_usd", "x", 0, -1, True, "1", []),
    ("cost_cap_usd is a setting of x feeds only", {"source": "bluesky", "account": "a.example", "cost_cap_usd": 1}),
    *feed_cases("image_size", "bluesky", 15, 2049, "512", 512.5, True, []),
    *feed_cases("encode_quality", "x", 0, 96, "85", True),
    *feed_cases("resize_mode", "rss", "crop", "", 1),
    *feed_cases("resize_only_if_bigger", "bluesky", "yes", 1, []),
    *feed_cases("max_aspect_ratio", "bluesky", 0.5, "2", True, []),
    *feed_cases("tensor", "bluesky", "float64", "no", False),
    ("imagesize: there is no such field; did you mean image_size?", {"source": "x", "account": "a", "imagesize": 5}),
    ("form", {"source": "x", "account": "nasa", "form": "find"}),
    ("window", {"source": "stream", "account": "posts", "window": "../x"}),
    ("window", {"source": "stream", "account": "posts", "window": "a" * 81}),
    ("rss feed's URL", "rss:ftp://a.example/feed"),
    ("rss feed's URL", "rss:https://user:pass@a.example/feed"),
]  # fmt: skip

# The field that the reason names, and the record.
_POST = {"post_id": "1", "author_id": "a", "posted_at": "2026-04-01T05:00:00Z"}
_MEDIA = {"media_id": "m/1", "index": 0, "kind": "image", "url": "https://a.example/1.jpg"}


def record(**fields: Any) -> dict[str, Any]:
    return {"schema": "imagelake.post/1", "post": _POST | fields}


RECORDS: list[tuple[str, Any]] = [
    ("schema", {"post": _POST}),
    ("schema", {"schema": "imagelake.post/9", "post": _POST}),
    ("post: it is missing", {"schema": "imagelake.post/1"}),
    ("post", {"schema": "imagelake.post/1", "post": "text"}),
    ("a name of a field", {"schema": "imagelake.post/1", "post": _POST, "pots": 1}),
    ("post.post_id", record(post_id="")),
    ("post.author_id", record(author_id="x" * 600)),
    ("post.posted_at", record(posted_at="yesterday")),
    ("post.posted_at", record(posted_at="2026-04-01T05:00:00")),
    ("posted_at", record(posted_at="0001-01-01T00:00:00Z")),
    ("post.tags", record(tags="cats")),
    ("post.sensitive", record(sensitive="perhaps")),
    ("post.media", record(media={})),
    ("post.media.0", record(media=["x"])),
    ("post.media.0.index", record(media=[_MEDIA | {"index": -1}])),
    ("post.media.0.kind", record(media=[_MEDIA | {"kind": "drawing"}])),
    ("post.media.0.width", record(media=[_MEDIA | {"width": 0}])),
    ("raw", {"schema": "imagelake.raw/1", "source": "bluesky", "raw": []}),
    ("source", {"schema": "imagelake.raw/1", "raw": {}}),
]

RIGHT: list[dict[str, Any]] = [
    given(),
    *[given(dt=value) for value in (None, "2026-01-01", "2026-02-28", "2026-04-01", "2026-04-02")],
    *[
        given(scheduled_time=value)
        for value in (
            "2026-04-01T05:00:00Z", "2026-04-01T05:00Z", "2026-04-01T05:00:00.5Z", "2026-04-01T05:00:00+02:00",
            "2026-01-01T00:00:00Z", "2026-04-01 05:00:00Z", None,
        )
    ],
    *[given(time_zone=value) for value in ("UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+12")],
    *[given(batch_size=value) for value in (1, 10, 1000, None)],
    *[given(posts_per_feed=value) for value in (1, 100_000, None)],
    *[given(failure_tolerance_percent=value) for value in (0, 100)],
    *[given(preset=value) for value in ("fast", "balanced", "quality")],
    *[given(tensor=value) for value in ("uint8", "float32", None)],
    *[given(image_size=value) for value in (16, 512, 2048)],
    *[given(encode_quality=value) for value in (1, 95)],
    *[given(resize_mode=value) for value in ("no", "border", "keep_ratio", "keep_ratio_largest", "center_crop")],
    *[given(resize_only_if_bigger=value) for value in (True, False)],
    *[given(min_image_size=value) for value in (1, 6000)],
    *[given(max_image_area=value) for value in (1, 40_000_000, None)],
    *[given(min_image_size=side, max_image_area=side**2) for side in (1, 200, 6000)],
    {"feeds": [_SIDE | {"max_image_area": 40_000}], "max_image_area": 5},
    *[given(max_aspect_ratio=value) for value in (1, 1.5, 1000)],
    {"feeds": [{"source": "bluesky", "account": "a.example", "image_size": 1024, "tensor": "uint8", "preset": None}]},
    *[given(schedule=value) for value in ("daily", "frequent", "hourly")],
    *[given(retry={"run_id": value}) for value in ("daily-2026-03-31", "a", "x" * 80, "Läufe_1.2")],
    given(retry={"run_id": "a", "error_codes": ["timed_out", "not_found"]}),
    given(retry=None),
    {"feeds": [f"bluesky:user{number}.example" for number in range(50)]},
    {"feeds": ["rss:https://a.example/feed.xml?a=b#c", "rss:https://a.example/@alice.rss"]},
    {"feeds": ["mastodon:https://a.example:8443@alice", {"source": "mastodon", "server": "b.test", "hashtag": "🐈"}]},
    {"feeds": [{"source": "x", "account": "nasa", "cost_cap_usd": 5}]},
    {"feeds": [{"source": "x", "account": "nasa", "cost_cap_usd": 0.5, "form": "search", "limit": 100_000}]},
    {"feeds": ["rss:https://a.example/F", "rss:https://a.example/f", "rss:http://a.example/F", "rss:https://a.example:80/F"]},
    {"feeds": ["commons:Cats", "commons:CATS", "mastodon:a.test@a", "mastodon:http://a.test@a", "x:#nasa", "x:nasa"]},
    {"feeds": ["commons:" + "日" * 164, "rss:https://a.example/" + "🐈" * 119]},
    {"feeds": ["commons:Quality_images", "bluesky:#cats", "stream:posts"]},
]  # fmt: skip
