"""Ingest Stream: every record is in a window or among the rejects, and each window starts one run."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

import check_input.app
import fetch.app
import ingest_stream.records
import validate.app
from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.run.errors import StorageUnavailableError
from imagelake.run.models import Batch, PlannedBatch
from imagelake.sources import Feed
from ingest_stream.app import handler
from ingest_stream.records import BrokenRecordError
from tests.support.factories import Context, event
from tests.support.fake_lake import Lake
from tests.support.sample import full

(EXAMPLE,) = event("ingest_stream")["Records"]
MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:ImagePipeline"
BATCH_SIZE, RETRIES = 1000, 3


class Machine:
    """Stands in for Step Functions and starts each name once."""

    def __init__(self) -> None:
        self.started: dict[str, dict[str, Any]] = {}
        self.asked = 0
        self.refusal: str | None = None

    def start_execution(self, stateMachineArn: str, name: str, input: str) -> None:  # noqa: N803
        assert stateMachineArn == MACHINE
        assert len(name) <= 80
        self.asked += 1
        code = self.refusal or ("ExecutionAlreadyExists" if name in self.started else None)
        if code:
            raise ClientError({"Error": {"Code": code, "Message": "no"}}, "StartExecution")
        self.started[name] = json.loads(input)


@pytest.fixture
def machine(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setenv("STATE_MACHINE_ARN", MACHINE)
    monkeypatch.setattr("ingest_stream.execution.client", lambda service: machine)
    return machine


def post(number: int, **changes: Any) -> dict[str, Any]:
    media = {"media_id": f"cms/{number}/0", "index": 0, "kind": "image", "url": f"https://cdn.test/{number}.jpg"}
    told = {"post_id": str(number), "author_id": "alice", "posted_at": "2026-04-01T12:00:00Z", "media": [media]}
    return {"schema": "imagelake.post/1", "post": told | changes}


def record(data: bytes | dict[str, Any], sequence_number: int = 0) -> dict[str, Any]:
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    number = str(10**55 + sequence_number)
    kinesis = {"data": base64.b64encode(body).decode(), "sequenceNumber": number}
    return {**EXAMPLE, "kinesis": EXAMPLE["kinesis"] | kinesis, "eventID": f"shardId-000000000000:{number}"}


def consume(*data: bytes | dict[str, Any], first: int = 0) -> list[str]:
    """Deliver records; return the sequence numbers to deliver again."""
    records = [record(one, number) for number, one in enumerate(data, first)]
    answer = handler({"Records": records}, Context())
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


def rejects(lake: Lake) -> list[dict[str, Any]]:
    return [line for key in lake.bucket.list("rejects/") for line in lake.bucket.get_lines(key)]


def staged(lake: Lake) -> list[Any]:
    return [one for key in lake.bucket.list("work/stream/") for one in lake.bucket.get_json(key)]


def deliver(shard: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Read a shard as Lambda does; return the records that Lambda gives up on and sends to the destination.

    After an error, Lambda retries the batch as two halves. After the report of a record, it retries from that record
    on. It gives up on a batch that cannot be halved, or makes no progress, after a number of tries.
    https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html
    """
    given_up = []
    batches = [shard[start : start + BATCH_SIZE] for start in range(0, len(shard), BATCH_SIZE)]
    tries = 0
    while batches:
        batch = batches.pop(0)
        numbers = [one["kinesis"]["sequenceNumber"] for one in batch]
        try:
            failures = handler({"Records": batch}, Context())["batchItemFailures"]
        except BrokenRecordError:
            if len(batch) > 1:
                batches[:0] = [batch[: len(batch) // 2], batch[len(batch) // 2 :]]
                continue
            left = batch
        else:
            left = batch[min((numbers.index(failure["itemIdentifier"]) for failure in failures), default=len(batch)) :]
        tries = tries + 1 if left == batch else 0
        if tries > RETRIES:
            given_up += left
            tries = 0
        elif left:
            batches.insert(0, left)
    return given_up


def run(machine: Machine, name: str) -> list[str]:
    """Run an execution up to its plan; return the media ids of its batches."""
    execution = {"arn": f"{MACHINE}:{name}", "name": name, "started_at": "2026-04-01T12:00:00Z"}
    accepted = check_input.app.handler({"input": machine.started[name], "execution": execution}, Context())
    (feed,) = accepted["feeds"]
    progress = fetch.app.handler({"run": accepted["run"], "feed": feed, "progress": {}}, Context())
    assert progress["status"] == "done"
    plan = validate.app.handler({"run": accepted["run"], "feed": feed, "progress": progress}, Context())
    bucket = Bucket("lake")
    batches = [Batch.model_validate(entry) for entry in bucket.get_json(plan["list_key"])]
    plans = [PlannedBatch.model_validate_json(bucket.get(object_keys.planned_batch(batch))) for batch in batches]
    return [item.media_id for one in plans for item in one.items]


def test_example_event(lake: Lake, machine: Machine) -> None:
    assert handler(event("ingest_stream"), Context()) == {"batchItemFailures": []}
    (name,) = machine.started
    assert name.startswith("stream-2026-04-01-")
    assert run(machine, name) == ["cms/1/0"]


def test_window_is_staged_and_read_by_one_run(lake: Lake, machine: Machine) -> None:
    assert consume(post(1), post(2)) == []
    ((name, given),) = machine.started.items()
    assert given == {
        "feeds": [{"source": "stream", "account": "posts", "window": name}],
        "dt": "2026-04-01",
        "posts_per_feed": 100_000,
    }
    assert lake.bucket.get_json(object_keys.staged_window(name)) == [post(1), post(2)]
    assert run(machine, name) == ["cms/1/0", "cms/2/0"]
    raw_page, _ = lake.bucket.list("raw/posts/")
    assert lake.bucket.get_with_version(raw_page)[1].metadata["status"] == "200"


def test_same_records_again_start_nothing(lake: Lake, machine: Machine) -> None:
    consume(post(1), post(2))
    before = lake.stored()
    assert consume(post(1), post(2)) == []
    assert len(machine.started) == 1
    assert machine.asked == 2
    assert lake.stored() == before


def test_other_sequence_numbers_are_another_window(lake: Lake, machine: Machine) -> None:
    consume(post(1))
    consume(post(1), first=1)
    first, second = machine.started
    assert run(machine, first) == ["cms/1/0"]
    assert run(machine, second) == []


POISON: list[tuple[bytes | dict[str, Any], str]] = [
    (b"\xff\xfe", "not JSON in UTF-8"),
    (b"", "not JSON in UTF-8"),
    (b'{"schema": ', "not JSON in UTF-8"),
    (b"[" * 100_000, "not JSON in UTF-8"),
    (b"[1]", "not a JSON object"),
    ({}, "schema: missing; it must be imagelake.post/1 or imagelake.raw/1"),
    ({"schema": "imagelake.post/2"}, "schema: 'imagelake.post/2' is neither imagelake.post/1 nor imagelake.raw/1"),
    ({"schema": ["x"]}, "is neither imagelake.post/1 nor"),
    ({"schema": "imagelake.post/1"}, "post: it is missing"),
    (post(1) | {"extra": 1}, "a name of a field: there is no such field"),
    (post(1, posted_at="yesterday"), "post.posted_at:"),
    (post(1, posted_at="0001-01-01T00:00:00Z"), "posted_at: year 1 is not plausible"),
    (post(1, post_id=""), "post.post_id:"),
    (post(1, author_id="x" * 600), "post.author_id:"),
    (post(1, media=[post(1)["post"]["media"][0] | {"skip_reason": "x" * 201}]), "post.media.0.skip_reason: "),
    (post(1, media=[post(1)["post"]["media"][0] | {"media_id": "sha256/ab"}]), "media_id: starts with sha256/"),
    (post(1, media=[post(1)["post"]["media"][0] | {"index": 2**40}]), "media: more than 100"),
    ({"schema": "imagelake.raw/1", "source": "myspace", "raw": {}}, "raw posts are accepted from bluesky and mastodon"),
    ({"schema": "imagelake.raw/1", "source": "bluesky", "raw": {}}, "raw: post: it is missing"),
    ({"schema": "imagelake.raw/1", "source": "mastodon", "raw": {}}, "server"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "reason"), POISON)
def test_bad_record_is_stored_with_its_reason_and_blocks_no_other(
    lake: Lake, machine: Machine, data: bytes | dict[str, Any], reason: str
) -> None:
    assert consume(post(7), data, post(8)) == []
    (reject,) = rejects(lake)
    assert reason in reject["reason"]
    kept = reject["raw"]
    assert base64.b64decode(kept["data_base64"]) == (data if isinstance(data, bytes) else json.dumps(data).encode())
    assert kept["sequence_number"] == str(10**55 + 1)
    assert staged(lake) == [post(7), post(8)]


def test_bad_records_alone_start_no_run(lake: Lake, machine: Machine) -> None:
    assert consume(b"one", b"two") == []
    assert len(rejects(lake)) == 2
    assert machine.asked == 0
    assert staged(lake) == []


def test_records_before_one_that_breaks_the_code_are_staged(
    lake: Lake, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_on(monkeypatch, "2")
    assert consume(post(1), post(2), post(3)) == [str(10**55 + 1)]
    assert staged(lake) == [post(1)]
    assert len(machine.started) == 1


def test_first_record_that_breaks_the_code_is_an_error(
    lake: Lake, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_on(monkeypatch, "1")
    with pytest.raises(BrokenRecordError):
        consume(post(1), post(2))


def test_lambda_gives_up_only_on_the_record_that_breaks_the_code(
    lake: Lake, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_on(monkeypatch, "5")
    shard = [record(post(number), number) for number in range(9)]
    assert deliver(shard) == [shard[5]]
    assert sorted(one["post"]["post_id"] for one in staged(lake)) == ["0", "1", "2", "3", "4", "6", "7", "8"]


def break_on(monkeypatch: pytest.MonkeyPatch, post_id: str) -> None:
    def to_post(decoded: dict[str, Any]) -> None:
        if decoded["post"]["post_id"] == post_id:
            raise ZeroDivisionError

    monkeypatch.setattr(ingest_stream.records, "to_post", to_post)


def test_window_is_delivered_again_if_storage_is_down(
    lake: Lake, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise StorageUnavailableError("PutObject: SlowDown")

    with monkeypatch.context() as outage:
        outage.setattr(Bucket, "put", refuse)
        assert consume(post(1), b"poison", post(2)) == [str(10**55)]
    assert (machine.asked, staged(lake), rejects(lake)) == (0, [], [])
    assert consume(post(1), b"poison", post(2)) == []
    assert staged(lake) == [post(1), post(2)]


@pytest.mark.parametrize("code", ["ThrottlingException", "AccessDeniedException"])
def test_window_is_delivered_again_if_its_run_cannot_start(lake: Lake, machine: Machine, code: str) -> None:
    machine.refusal = code
    assert consume(post(1), post(2)) == [str(10**55)]
    machine.refusal = None
    assert consume(post(1), post(2)) == []
    assert len(machine.started) == 1


def test_window_resumes_open_batches_of_earlier_days_only(
    lake: Lake, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    consume(post(1))
    consume(post(1), post(2), first=10)
    tomorrow = EXAMPLE["kinesis"] | {"approximateArrivalTimestamp": 1775044800 + 86_400}
    monkeypatch.setitem(EXAMPLE, "kinesis", tomorrow)
    consume(post(3), first=20)
    today, later, next_day = machine.started
    assert run(machine, today) == ["cms/1/0"]
    assert run(machine, later) == ["cms/2/0"]
    assert sorted(run(machine, next_day)) == ["cms/1/0", "cms/2/0", "cms/3/0"]


def test_window_that_is_read_again_by_hand_resumes_its_own_batches(lake: Lake, machine: Machine) -> None:
    consume(post(1))
    ((window, given),) = machine.started.items()
    run(machine, window)
    machine.started["by-hand"] = given
    assert run(machine, "by-hand") == ["cms/1/0"]


def test_stream_feed_without_a_window_resumes_open_batches(lake: Lake, machine: Machine) -> None:
    consume(post(1))
    (window,) = machine.started
    run(machine, window)
    machine.started["sweep"] = {"feeds": [Feed.of("stream:posts").name]}
    assert run(machine, "sweep") == ["cms/1/0"]


@pytest.mark.parametrize("name", ["../../raw/posts/x", "a/b", "", "x" * 81])
def test_window_with_an_invalid_name_is_refused(lake: Lake, machine: Machine, name: str) -> None:
    machine.started["run"] = {"feeds": [{"source": "stream", "account": "posts", "window": name}]}
    with pytest.raises(Exception, match="window"):
        run(machine, "run")


@pytest.mark.slow
@pytest.mark.parametrize("count", [2_000, full(10_000)])
def test_many_records_plan_every_post_once_and_store_all_bad_records(lake: Lake, machine: Machine, count: int) -> None:
    """10 % duplicates, 1 % bad records, in random order, every delivery twice; tests/stack continues after the plan."""
    chance = random.Random(6)
    numbers = list(range(count * 89 // 100))
    poison: list[Callable[[int], bytes]] = [
        lambda number: b"\xff%d" % number,
        lambda number: b'{"schema": "imagelake.post/9", "n": %d}' % number,
        lambda number: b'{"n": %d' % number,
    ]
    bad = [poison[number % 3](number) for number in range(count // 100)]
    good = [json.dumps(post(number)).encode() for number in numbers + chance.sample(numbers, count // 10)]
    data = good + bad
    chance.shuffle(data)
    shard = [record(one, number) for number, one in enumerate(data)]

    assert len(shard) == count
    assert deliver(shard) == []
    assert deliver(shard) == []

    assert len(machine.started) == count // BATCH_SIZE
    planned = [media_id for name in list(machine.started) for media_id in run(machine, name)]
    assert len(planned) == len(set(planned))
    assert set(planned) == {f"cms/{number}/0" for number in numbers}
    assert sorted(base64.b64decode(reject["raw"]["data_base64"]) for reject in rejects(lake)) == sorted(bad)


def test_suppressed_posts_are_not_staged(lake: Lake, machine: Machine) -> None:
    lake.suppress(("author", "stream", "bob"))
    assert consume(post(1), post(2, author_id="bob")) == []
    assert staged(lake) == [post(1)]
    assert consume(post(3, author_id="bob"), first=2) == []
    assert (staged(lake), len(machine.started)) == ([post(1)], 1)


def test_rejects_that_name_a_suppressed_author_are_not_stored(lake: Lake, machine: Machine) -> None:
    lake.suppress(("author", "stream", "bob"), ("author", "stream", "bob@social.example"), ("media", "cms/5/0"))
    of_mastodon = {"source": "mastodon", "server": "social.example", "raw": {"account": {"acct": "bob"}}}
    gone: list[dict[str, Any]] = [
        post(2, author_id="bob", posted_at="never"),
        {"schema": "imagelake.raw/1", **of_mastodon},
        post(5, posted_at="never"),
        {"by": ["bob@social.example"]},
    ]
    kept: list[Any] = [post(1, posted_at="never"), b"no JSON of bob", {"author": "bobby"}]
    assert consume(*gone, *kept) == []
    assert [base64.b64decode(reject["raw"]["data_base64"]) for reject in rejects(lake)] == [
        one if isinstance(one, bytes) else json.dumps(one).encode() for one in kept
    ]
