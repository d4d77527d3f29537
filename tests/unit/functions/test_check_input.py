"""Check Input: the execution input becomes a run, or an error that names the wrong field."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from check_input import days
from check_input.app import handler
from check_input.run_input import MAX_FEEDS
from imagelake.run.errors import RETRYABLE_CODES, BadInputError
from imagelake.run.image_option_models import ImageOptions
from imagelake.run.models import FeedEntry, Run
from imagelake.sources import Feed
from tests.support.factories import ENTRY, Context, event, item, keep_plan, plan
from tests.support.fake_lake import Lake

pytestmark = pytest.mark.usefixtures("lake")


def check(started_at: str = "2026-04-01T05:00:03Z", feeds_parameter: Any = None, **given: Any) -> dict[str, Any]:
    execution = event("check_input")["execution"] | {"started_at": started_at}
    request = event("check_input", input=given, feeds_parameter=feeds_parameter, execution=execution)
    answer: dict[str, Any] = handler(request, Context())
    return answer


def day(started_at: str = "2026-04-01T05:00:03Z", **given: Any) -> str:
    return str(check(started_at, feeds=["bluesky:alice.example"], **given)["run"]["dt"])


def test_example_event() -> None:
    answer = handler(event("check_input"), Context())
    assert Run.model_validate(answer["run"]) == Run.model_validate(event("fetch")["run"])
    assert [feed["name"] for feed in answer["feeds"]] == ["bluesky:alice.example.com", "mastodon:mastodon.example#cats"]
    assert FeedEntry.model_validate(answer["feeds"][0]) == ENTRY
    assert handler(event("check_input"), Context()) == answer
    json.dumps(answer)


def test_run_when_only_feeds_are_given() -> None:
    run = check(feeds=["bluesky:alice.example"])["run"]
    assert run == {
        "run_id": "daily-2026-04-01",
        "execution_arn": "arn:aws:states:us-east-1:123456789012:execution:ImagePipeline:daily-2026-04-01",
        "dt": "2026-04-01",
        "batch_size": 500,
        "posts_per_feed": 1000,
        "failure_tolerance_percent": 20,
        "by_hand": True,
        "image_size": 512,
        "resize_mode": "keep_ratio_largest",
        "resize_only_if_bigger": True,
        "encode_quality": 85,
        "preset": "balanced",
        "tensor": None,
        "min_image_size": 8,
        "max_image_area": None,
        "max_aspect_ratio": 20.0,
        "retry": None,
        "plan": False,
        "started_at": "2026-04-01T05:00:03Z",
    }


def test_run_when_options_are_given() -> None:
    run = check(feeds=["bluesky:a.example"], batch_size=7, posts_per_feed=9, failure_tolerance_percent=0)["run"]
    assert (run["batch_size"], run["posts_per_feed"], run["failure_tolerance_percent"]) == (7, 9, 0)


def test_retry_has_retryable_codes_and_tolerates_every_failure() -> None:
    run = check(feeds=["bluesky:alice.example"], retry={"run_id": "daily-2026-03-31"})["run"]
    assert run["retry"] == {"run_id": "daily-2026-03-31", "error_codes": list(RETRYABLE_CODES)}
    assert run["failure_tolerance_percent"] == 100
    given: dict[str, Any] = {"run_id": "daily-2026-03-31", "error_codes": ["not_found"]}
    run = check(feeds=["bluesky:alice.example"], retry=given, failure_tolerance_percent=5)["run"]
    assert (list(run["retry"]["error_codes"]), run["failure_tolerance_percent"]) == (["not_found"], 5)


# Day, time zone, the first instant of that day there, and its number of hours.
DAYS = [
    ("2026-04-01", "UTC", "2026-04-01T00:00Z", 24),
    ("2028-02-29", "UTC", "2028-02-29T00:00Z", 24),
    ("2028-02-29", "Asia/Kathmandu", "2028-02-28T18:15Z", 24),
    # Clocks go forward an hour, and back.
    ("2026-03-29", "Europe/Berlin", "2026-03-28T23:00Z", 23),
    ("2026-10-25", "Europe/Berlin", "2026-10-24T22:00Z", 25),
    ("2026-03-08", "America/New_York", "2026-03-08T05:00Z", 23),
    ("2026-11-01", "America/New_York", "2026-11-01T04:00Z", 25),
    # By half an hour.
    ("2026-10-04", "Australia/Lord_Howe", "2026-10-03T13:30Z", 23.5),
    ("2026-04-05", "Australia/Lord_Howe", "2026-04-04T13:00Z", 24.5),
    # At midnight: the day begins at one o'clock, or its last hour comes twice.
    ("2026-09-06", "America/Santiago", "2026-09-06T04:00Z", 23),
    ("2026-04-04", "America/Santiago", "2026-04-04T03:00Z", 25),
    ("2026-03-29", "Asia/Beirut", "2026-03-28T22:00Z", 23),
    ("2018-11-04", "America/Sao_Paulo", "2018-11-04T03:00Z", 23),
    # Samoa moved across the date line: there was no 30 December.
    ("2011-12-29", "Pacific/Apia", "2011-12-29T10:00Z", 24),
    ("2011-12-31", "Pacific/Apia", "2011-12-30T10:00Z", 24),
    # The year ends, first on Kiritimati and last on Pago Pago.
    ("2026-12-31", "Pacific/Kiritimati", "2026-12-30T10:00Z", 24),
    ("2027-01-01", "Pacific/Kiritimati", "2026-12-31T10:00Z", 24),
    ("2026-12-31", "Europe/Berlin", "2026-12-30T23:00Z", 24),
    ("2026-12-31", "America/New_York", "2026-12-31T05:00Z", 24),
    ("2026-12-31", "Pacific/Pago_Pago", "2026-12-31T11:00Z", 24),
]


@pytest.mark.parametrize(("expected", "zone", "first", "hours"), DAYS)
@pytest.mark.parametrize("late", [None, timedelta(0), timedelta(hours=9), timedelta(days=1)])
def test_day_from_its_first_second_to_its_last(
    expected: str, zone: str, first: str, hours: float, late: timedelta | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check the first, middle and last second of a day. A schedule starts the run ``late``; ``None`` is no schedule."""
    # Some of the days are before the first one that Athena shows.
    monkeypatch.setattr(days, "FIRST_DAY", date(2011, 1, 1))
    begin = datetime.fromisoformat(first)
    after, second = begin + timedelta(hours=hours), timedelta(seconds=1)

    def day_at(instant: datetime) -> str:
        if late is None:
            return day(instant.isoformat(), time_zone=zone)
        return day((instant + late).isoformat(), scheduled_time=instant.isoformat(), time_zone=zone)

    assert [day_at(instant) for instant in (begin, begin + (after - begin) / 2, after - second)] == [expected] * 3
    assert day_at(begin - second) < expected < day_at(after)


@pytest.mark.parametrize("written", ["2027-01-01T01:00:00+14:00", "2026-12-31T11:00:00Z", "2026-12-31T03:30:00-07:30"])
def test_day_is_that_of_the_instant_however_it_is_written(written: str) -> None:
    assert day(written, scheduled_time=written, time_zone="UTC") == "2026-12-31"
    assert day(written, scheduled_time=written, time_zone="Pacific/Kiritimati") == "2027-01-01"


def test_day_when_it_is_given() -> None:
    assert day(dt="2026-02-28", scheduled_time="2026-04-01T05:00:00Z") == "2026-02-28"


def test_day_when_nothing_is_given() -> None:
    given = {"feeds": ["bluesky:a.example"], "time_zone": "Asia/Tokyo"}
    assert check("2026-04-01T15:00:00.512Z", **given)["run"]["dt"] == "2026-04-02"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("feeds", None),
        ("feeds", []),
        ("feeds", "bluesky:a.example"),
        ("feeds", {"source": "bluesky"}),
        ("feeds", [f"bluesky:user{number}.example" for number in range(101)]),
        ("dt", "2026-02-30"),
        ("dt", "2026-2-3"),
        ("dt", "yesterday"),
        ("dt", "٢٠٢٦-٠٤-٠١"),
        ("dt", 20260401),
        ("scheduled_time", "2026-04-01T05:00:00"),
        ("scheduled_time", "soon"),
        ("scheduled_time", "<aws.scheduler.scheduled-time>"),
        ("time_zone", "Europe/Atlantis"),
        ("time_zone", "../../etc/passwd"),
        ("time_zone", ""),
        ("batch_size", 0),
        ("batch_size", 1001),
        ("batch_size", "many"),
        ("posts_per_feed", -1),
        ("posts_per_feed", 100_001),
        ("failure_tolerance_percent", 101),
        ("preset", "best"),
        ("tensor", "float64"),
        ("failure_tolerance_percent", -1),
        ("batchsize", 5),
        ("retry", "daily-2026-03-31"),
        ("retry.run_id", {"error_codes": ["timed_out"]}),
        ("retry.run_id", {"run_id": "../raw"}),
        ("retry.error_codes.1", {"run_id": "daily-2026-03-31", "error_codes": ["timed_out", "tired"]}),
        ("retry.error_codes", {"run_id": "daily-2026-03-31", "error_codes": []}),
    ],
)
def test_error_names_the_field_when_it_is_bad(field: str, value: Any) -> None:
    with pytest.raises(BadInputError, match=rf"^execution input: {field}: "):
        check(**({"feeds": ["bluesky:a.example"]} | {field.partition(".")[0]: value}))


def test_error_names_every_bad_field() -> None:
    with pytest.raises(BadInputError, match=r"dt: .*batch_size: "):
        check(feeds=["bluesky:a.example"], dt="x", batch_size=0)


def test_error_when_feeds_are_missing() -> None:
    with pytest.raises(BadInputError, match=r"^execution input: feeds: it is missing$"):
        check()


@pytest.mark.parametrize("raw", [[], "text", None, 3])
def test_error_when_input_is_no_object(raw: Any) -> None:
    with pytest.raises(BadInputError, match="it has to be an object"):
        handler(event("check_input", input=raw), Context())


def test_feeds_of_the_parameter_when_input_names_none() -> None:
    parameter = {"name": "/imagelake/feeds", "value": '["bluesky:alice.example.com"]'}
    assert check(feeds_parameter=parameter)["feeds"] == [ENTRY.model_dump()]


def test_feeds_of_the_input_when_both_are_there() -> None:
    parameter = {"name": "/imagelake/feeds", "value": "no JSON"}
    assert check(feeds=["bluesky:alice.example.com"], feeds_parameter=parameter)["feeds"] == [ENTRY.model_dump()]


def test_error_when_parameter_is_not_json() -> None:
    with pytest.raises(BadInputError, match=r"^SSM parameter /imagelake/feeds: not JSON: .*line 1"):
        check(feeds_parameter={"name": "/imagelake/feeds", "value": "[bluesky:a.example]"})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "bluesky:alice.example"),
        ({"schedule": "daily"}, "bluesky:alice.example"),
        ({"schedule": "frequent"}, "mastodon:a.example#cats"),
    ],
)
def test_feeds_when_the_parameter_has_a_list_for_each_schedule(given: dict[str, Any], expected: str) -> None:
    lists = {"daily": ["bluesky:alice.example"], "frequent": ["mastodon:a.example#cats"]}
    parameter = {"name": "/imagelake/feeds", "value": json.dumps(lists)}
    assert [feed["name"] for feed in check(feeds_parameter=parameter, **given)["feeds"]] == [expected]


@pytest.mark.parametrize("schedule", ["frequent", "", 5, []])
def test_error_when_the_schedule_has_no_feeds(schedule: Any) -> None:
    parameter = {"name": "/imagelake/feeds", "value": '{"daily": ["bluesky:alice.example"]}'}
    with pytest.raises(
        BadInputError, match=r"^SSM parameter /imagelake/feeds has no list for the schedule .*; it has: daily"
    ):
        check(feeds_parameter=parameter, schedule=schedule)


def test_feeds_of_every_schedule_when_the_parameter_has_one_list() -> None:
    parameter = {"name": "/imagelake/feeds", "value": '["bluesky:alice.example.com"]'}
    assert check(feeds_parameter=parameter, schedule="frequent")["feeds"] == [ENTRY.model_dump()]


PARAMETER = {
    "name": "/imagelake/feeds",
    "value": '{"daily": ["bluesky:alice.example.com"], "frequent": ["rss:https://b.test/"]}',
}


def keep_open(lake: Lake, feed_id: str) -> None:
    keep_plan(lake, plan(item("one"), feed_id=feed_id))


def test_removed_feed_with_open_batches_is_resumed(lake: Lake) -> None:
    for feed_id in (ENTRY.feed_id, Feed.of("rss:https://b.test/").feed_id, "bluesky-removed-0a1b2c3d"):
        keep_open(lake, feed_id)
    removed = {"name": "bluesky-removed-0a1b2c3d", "config": None, "resume_only": True}
    for given in ({}, {"schedule": "daily"}):
        feeds = check(feeds_parameter=PARAMETER, **given)["feeds"]
        assert feeds == [ENTRY.model_dump(), removed | {"feed_id": removed["name"]}]


def test_removed_feed_is_resumed_only_with_the_feeds_of_the_parameter(lake: Lake) -> None:
    keep_open(lake, "bluesky-removed-0a1b2c3d")
    assert len(check(feeds=["bluesky:alice.example.com"], feeds_parameter=PARAMETER)["feeds"]) == 1
    assert len(check(feeds_parameter=PARAMETER, retry={"run_id": "daily-2026-03-31"})["feeds"]) == 1


def test_removed_feeds_fill_a_run_up_to_its_limit_in_another_order_each_day(lake: Lake) -> None:
    for number in range(MAX_FEEDS + 5):
        keep_open(lake, f"removed-{number}")
    first, second = (check(feeds_parameter=PARAMETER, dt=dt)["feeds"] for dt in ("2026-04-01", "2026-04-02"))
    assert len(first) == len(second) == MAX_FEEDS
    assert first[0] == second[0] == ENTRY.model_dump()
    assert first != second


def test_error_when_feed_is_there_twice() -> None:
    twice = ["bluesky:a.example", "bluesky:b.example", {"source": "bluesky", "account": "a.example", "limit": 5}]
    with pytest.raises(BadInputError, match=r"feeds\.2 duplicates feeds\.0; remove one"):
        check(feeds=twice)


@pytest.mark.parametrize("bad", ["nonsense", {"source": "bluesky"}, {"acount": "a"}, None, 5, ["bluesky:a.example"]])
def test_bad_feed_passes_through(bad: Any) -> None:
    good, kept = check(feeds=["bluesky:alice.example.com", bad])["feeds"]
    assert good == ENTRY.model_dump()
    assert kept["config"] == bad
    assert kept["feed_id"].startswith("bad-")
    assert kept["name"]


def test_feeds_keep_their_order() -> None:
    feeds = [f"bluesky:user{number}.example" for number in range(MAX_FEEDS)]
    answer = check(feeds=feeds)["feeds"]
    assert [feed["name"] for feed in answer] == feeds
    assert len({feed["feed_id"] for feed in answer}) == MAX_FEEDS
    assert answer[0]["feed_id"] == Feed.of(feeds[0]).feed_id


@pytest.mark.parametrize(
    "config",
    [
        "mastodon:A.example,https://b.example/#cats",
        {"source": "mastodon", "server": "a.example, https://b.example/,", "hashtag": "cats"},
    ],
)
def test_feed_when_it_names_several_servers_is_one_for_each(config: Any) -> None:
    entries = check(feeds=[config, "bluesky:alice.example"])["feeds"]
    assert [Feed.of(entry["config"]) for entry in entries] == [
        Feed.of("mastodon:a.example#cats"),
        Feed.of("mastodon:https://b.example#cats"),
        Feed.of("bluesky:alice.example"),
    ]
    assert len({entry["feed_id"] for entry in entries}) == 3


def test_feed_when_a_server_of_a_list_is_named_again_is_refused() -> None:
    with pytest.raises(BadInputError, match=r"feeds\.1 duplicates feeds\.0; remove one"):
        check(feeds=["mastodon:b.example,a.example#cats", "mastodon:a.example#cats"])


def test_feeds_when_lists_of_servers_make_too_many_are_refused() -> None:
    servers = [",".join(f"s{place}-{number}.example" for number in range(10)) for place in range(11)]
    with pytest.raises(BadInputError, match=f"110 feeds, each server of a list counted; {MAX_FEEDS} are allowed"):
        check(feeds=[f"mastodon:{server}#cats" for server in servers])


def test_image_options_are_those_of_the_input() -> None:
    options: dict[str, Any] = {
        "image_size": 1024,
        "resize_mode": "center_crop",
        "resize_only_if_bigger": False,
        "encode_quality": 70,
        "preset": "fast",
        "tensor": "uint8",
        "min_image_size": 200,
        "max_image_area": 10_000_000,
        "max_aspect_ratio": 3,
    }
    assert options.keys() == ImageOptions.model_fields.keys()
    assert check(feeds=["bluesky:a.example"], **options)["run"].items() >= options.items()


def test_feeds_of_one_account_with_two_options_are_one_feed() -> None:
    """The media index has an image once, so a second list of options would never get an image."""
    twice = [{"source": "bluesky", "account": "a.example", "image_size": size} for size in (256, 1024)]
    with pytest.raises(BadInputError, match=r"feeds\.1 duplicates feeds\.0; remove one"):
        check(feeds=twice)


def test_each_server_of_a_list_has_the_image_options_of_the_feed() -> None:
    feed = {"source": "mastodon", "server": "a.example,b.example", "hashtag": "cats", "image_size": 256}
    assert [entry["config"]["image_size"] for entry in check(feeds=[feed])["feeds"]] == [256, 256]


WINDOW = {"source": "stream", "account": "posts", "window": "stream-1"}


@pytest.mark.parametrize(
    ("given", "by_hand"),
    [
        ({"feeds": ["bluesky:alice.example"]}, True),
        ({"feeds": ["bluesky:alice.example"], "retry": {"run_id": "daily"}, "dt": "2026-04-01"}, True),
        ({"feeds": ["bluesky:alice.example"], "scheduled_time": None}, True),
        ({"feeds": ["bluesky:alice.example"], "scheduled_time": "2026-04-01T05:00:00Z"}, False),
        # Ingest Stream starts a run for each window.
        ({"feeds": [WINDOW], "dt": "2026-04-01"}, False),
    ],
)
def test_run_without_scheduled_time_was_started_by_hand(given: dict[str, Any], by_hand: bool) -> None:
    assert check(**given)["run"]["by_hand"] is by_hand


def test_run_of_the_parameter_may_be_started_by_hand() -> None:
    parameter = {"name": "feeds", "value": '["bluesky:alice.example"]'}
    assert check(feeds_parameter=parameter)["run"]["by_hand"] is True


def test_since_is_for_the_execution_input_only() -> None:
    feed = {"source": "bluesky", "account": "alice.example", "since": "2025-01-01"}
    assert check(feeds=[feed])["feeds"][0]["config"] == feed
    parameter = {"name": "/imagelake/feeds", "value": json.dumps(["bluesky:bob.example", feed])}
    with pytest.raises(BadInputError, match=r"/imagelake/feeds: feeds\.1: since: a feed with it reads no new posts"):
        check(feeds_parameter=parameter)
