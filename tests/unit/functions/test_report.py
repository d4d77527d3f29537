"""Report: the summary for programs, the page for people, and the notification."""

from __future__ import annotations

import base64
import io
import json
import re
import shlex
from typing import Any

import pytest
from PIL import Image

import check_input.app
import map_keys.app
from imagelake.lake import object_keys
from imagelake.lake.rows import Status
from imagelake.run.models import FeedEntry, Retry, Run
from report.app import handler
from tests.support.factories import (
    ENTRY,
    OTHER_ENTRY,
    RUN,
    Context,
    event,
    failed,
    item,
    jpeg,
    keep_file,
    keep_plan,
    plan,
    result,
    up_to_date,
)
from tests.support.fake_lake import Lake
from tests.support.feed_results import closed, done
from tests.support.page_tags import Tags

HOSTILE = """<script>alert(1)</script>"'><img src=x onerror=alert(1)> &amp; \u202e"""


def report(*results: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = handler(event("report", results=list(results)), Context())
    return answer


def page(lake: Lake) -> str:
    return lake.bucket.get(object_keys.html_report(RUN.run_id)).decode()


def test_example_event(lake: Lake) -> None:
    example = event("report")
    closed(lake)
    done(lake, plan(item("one")))
    assert handler(example, Context())["outcome"] == "ok"


def test_run_when_all_is_well(lake: Lake) -> None:
    answer = report(done(lake, closed(lake)), up_to_date(OTHER_ENTRY))
    assert (answer["outcome"], answer["error"]) == ("ok", None)
    assert answer["subject"] == "Imagelake 2026-04-01 ok: 1 new image (daily-2026-04-01)"
    assert answer["report_key"] == "reports/daily-2026-04-01/index.html"
    summary = lake.bucket.get_json(object_keys.run_summary(RUN.run_id))
    assert summary["totals"] == {
        "planned": 1,
        "shared": 0,
        "ok": 1,
        "duplicate": 0,
        "rejected": 0,
        "failed": 0,
        "erased": 0,
    }
    assert [(feed["name"], feed["status"], feed["problem"]) for feed in summary["feeds"]] == [
        (ENTRY.name, "complete", None),
        (OTHER_ENTRY.name, "up_to_date", None),
    ]
    json.dumps(answer)


def test_run_when_there_is_nothing_new_at_all(lake: Lake) -> None:
    assert report(up_to_date(OTHER_ENTRY))["outcome"] == "ok"


def test_run_when_items_failed(lake: Lake) -> None:
    made = closed(lake, item("a"), item("b"), statuses=(Status.OK, Status.REJECTED))
    answer = report(done(lake, made))
    assert answer["outcome"] == "partial"
    assert "1 x corrupt" in answer["message"]
    assert "Nothing to do" in answer["message"]


def test_run_when_one_feed_failed(lake: Lake) -> None:
    answer = report(done(lake, closed(lake)), failed())
    assert answer["outcome"] == "partial"
    assert "mastodon:x.example#cats: failed: SourceUnavailableError: x.example did not answer" in answer["message"]


def test_run_when_every_feed_failed(lake: Lake) -> None:
    answer = report(failed(), failed(feed=ENTRY))
    assert answer["outcome"] == "failed"
    assert "FAILED" in answer["subject"]
    assert answer["error"] == "RunFailed"


def test_run_when_too_many_items_failed(lake: Lake) -> None:
    made = closed(lake, item("a"), item("b"), statuses=(Status.OK, Status.FAILED))
    answer = report(done(lake, made, tolerance=10))
    assert answer["outcome"] == "failed"
    assert "TooManyFailures: 1 of 2 items failed, more than is tolerated" in answer["message"]


def test_run_when_reconciliation_fails(lake: Lake) -> None:
    cause = json.dumps({"errorMessage": "batch x: 2 items planned, 1 mapped"})
    answer = report(done(lake, closed(lake)), failed("ReconciliationError", cause=cause))
    assert answer["outcome"] == "failed"
    assert "2 items planned, 1 mapped" in answer["message"]


def test_run_when_a_batch_is_open(lake: Lake) -> None:
    left = keep_plan(lake, plan(item("open"), dt="2026-03-30"))
    answer = report(done(lake, closed(lake), left))
    assert answer["outcome"] == "partial"
    assert f"{ENTRY.name}: incomplete (1 batch open): NotRecorded" in answer["message"]
    assert f"{ENTRY.name}: a batch planned for 2026-03-30 is still open" in answer["message"]


def test_run_when_no_batch_was_closed(lake: Lake) -> None:
    answer = report(done(lake, keep_plan(lake, plan(item("open")))))
    assert answer["outcome"] == "failed"
    assert "still open" not in answer["message"]


def test_run_when_a_network_bills_says_posts_and_cost(lake: Lake) -> None:
    billed = done(lake, closed(lake), posts=46, rejected_posts=2, cost_usd=0.24)
    answer = report(billed)
    line = f"{ENTRY.name}: 48 posts read, 0.240 USD"
    assert answer["outcome"] == "ok"
    assert line in answer["message"]
    assert line in Tags(page(lake)).text
    assert lake.bucket.get_json(object_keys.run_summary(RUN.run_id))["feeds"][0]["plan"]["cost_usd"] == 0.24


def test_run_when_its_cost_is_capped_says_so(lake: Lake) -> None:
    answer = report(done(lake, closed(lake), stopped_by="cost", rejected_posts=0, cost_usd=0.05))
    assert answer["outcome"] == "partial"
    assert "reading stopped at its cost limit after 0.050 USD" in answer["message"]


def test_run_when_a_token_ends_soon_warns(lake: Lake) -> None:
    answer = report(done(lake, closed(lake), warnings=["instagram:me: the token ends soon"]))
    assert answer["outcome"] == "partial"
    assert "instagram:me: the token ends soon" in answer["message"]


def test_message_when_there_is_only_a_warning_does_not_say_that_nothing_is_to_do(lake: Lake) -> None:
    result = done(lake, closed(lake), warnings=["the token ends soon"])
    message = report(result)["message"]
    assert "Look at the warnings above" in message
    assert "Nothing to do" not in message


def test_message_names_twenty_feeds_at_most(lake: Lake) -> None:
    feeds = [
        FeedEntry(feed_id=f"feed-{n}", name=f"bluesky:user{n}.example", config=f"bluesky:user{n}.example")
        for n in range(23)
    ]
    message = report(*(failed(feed=feed) for feed in feeds))["message"]
    assert message.count(": failed: ") == 20
    assert "and 3 more: see the report" in message


@pytest.mark.parametrize("stopped_by", ["posts", "pages", "rate_limit"])
def test_run_when_reading_was_stopped(lake: Lake, stopped_by: str) -> None:
    answer = report(done(lake, closed(lake), stopped_by=stopped_by))
    assert answer["outcome"] == "partial"
    assert f"{ENTRY.name}: reading stopped at its {stopped_by.replace('_', ' ')} limit" in answer["message"]


def test_message_says_where_to_look_and_how_to_resume(lake: Lake) -> None:
    message = report(failed(), failed(feed=ENTRY))["message"]
    assert f"#/v2/executions/details/{RUN.execution_arn}\n" in message
    (command,) = [line for line in message.splitlines() if "start-execution" in line]
    words = shlex.split(command)
    arn = words[words.index("--state-machine-arn") + 1]
    assert arn == "arn:aws:states:us-east-1:123456789012:stateMachine:ImagePipeline"
    assert json.loads(words[words.index("--input") + 1]) == {"feeds": [OTHER_ENTRY.config, ENTRY.config]}


def test_message_does_not_name_a_removed_feed_in_a_command(lake: Lake) -> None:
    removed = FeedEntry(feed_id="gone-1", name="gone-1", config=None, resume_only=True)
    for results, run_input in (
        ([failed(feed=removed)], {}),
        ([failed(feed=removed), failed(feed=ENTRY)], {"feeds": [ENTRY.config]}),
    ):
        message = report(*results)["message"]
        assert "gone-1: failed: SourceUnavailableError" in message
        (command,) = [line for line in message.splitlines() if "start-execution" in line]
        words = shlex.split(command)
        assert json.loads(words[words.index("--input") + 1]) == run_input


def test_message_says_how_to_retry_what_may_not_fail_again(lake: Lake) -> None:
    made = closed(lake, item("one"), item("two"), statuses=(Status.OK, Status.FAILED), error_code="timed_out")
    message = report(done(lake, made, tolerance=50), failed())["message"]
    command = [line for line in message.splitlines() if "start-execution" in line][-1]
    given = json.loads(shlex.split(command)[-1])
    assert given == {"feeds": [ENTRY.config], "retry": {"run_id": RUN.run_id, "error_codes": ["timed_out"]}}
    execution = event("check_input")["execution"] | {"name": "another-run"}
    run = check_input.app.handler(event("check_input", input=given, execution=execution), Context())["run"]
    assert Retry.model_validate(run["retry"]) == Retry.model_validate(given["retry"])


def test_message_knows_of_no_retry_when_it_would_be_in_vain(lake: Lake) -> None:
    made = closed(lake, item("one"), item("two"), statuses=(Status.OK, Status.FAILED))
    assert '"retry"' not in report(done(lake, made, tolerance=50))["message"]


def test_subject_is_short_ascii_whatever_the_name(lake: Lake) -> None:
    for run_id in ("день", "день-" + "x" * 200):
        check_subject(RUN.model_copy(update={"run_id": run_id}))


def check_subject(run: Run) -> None:
    subject = handler(event("report", run=run, results=[failed()]), Context())["subject"]
    assert subject.isascii()
    assert subject.isprintable()
    # SNS wants less than 100: https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
    assert len(subject) < 100


def test_same_call_again_leaves_the_same_objects(lake: Lake) -> None:
    results = done(lake, closed(lake)), failed()
    answer, stored = report(*results), lake.stored()
    assert report(*results) == answer
    assert lake.stored() == stored


@pytest.mark.slow
def test_page_when_everything_is_hostile(lake: Lake) -> None:
    entry = FeedEntry(feed_id="bad-1", name=HOSTILE, config=HOSTILE)
    made = closed(lake, caption=HOSTILE, alt_text=HOSTILE, permalink="javascript:alert(1)")
    report(done(lake, made), failed("BadFeedError", entry, HOSTILE))
    text = page(lake)
    tags = Tags(text)
    assert {tag for tag, _ in tags.found}.isdisjoint({"script", "iframe", "link", "object", "form"})
    assert tags.links() == ["#image-0", "#images", "../index.html"]
    assert not [name for _, attrs in tags.found for name in attrs if name.startswith("on")]
    assert len(tags.sources()) == 1
    assert all(src.startswith("data:image/jpeg;base64,") for src in tags.sources())
    assert "javascript:" not in text
    assert "default-src 'none'" in text
    assert tags.text.count("<script>alert(1)</script>") == 3


def test_page_names_every_feed_and_what_is_wrong(lake: Lake) -> None:
    report(done(lake, closed(lake)), failed())
    text = Tags(page(lake)).text
    assert ENTRY.name in text
    assert "SourceUnavailableError: x.example did not answer" in text
    assert re.search(r"Imagelake run for 2026-04-01\s*daily-2026-04-01\s+partial", text)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("permalink", "linked"),
    [
        ("https://bsky.app/profile/alice/post/1", True),
        ("http://social.example/@alice/1?a=1&b=%22", True),
        ("HTTPS://social.example/1", True),
        ("javascript:alert(1)", False),
        ("https:alert(1)", False),
        ("data:text/html,x", False),
        ("//social.example/1", False),
        ("https://social.example/1 onclick=alert(1)", False),
        ("https://alice:secret@social.example/1", False),
        ("at://did:plc:abc/app.bsky.feed.post/1", False),
        (None, False),
    ],
)
def test_page_links_to_posts_on_the_web_only(lake: Lake, permalink: str | None, linked: bool) -> None:
    items = item("a"), item("b")
    report(done(lake, closed(lake, *items, statuses=(Status.OK, Status.REJECTED), permalink=permalink), tolerance=50))
    tags = Tags(page(lake))
    posts = [attrs for tag, attrs in tags.found if tag == "a" and attrs.get("rel")]
    assert [attrs["href"] for attrs in posts] == [permalink] * 2 * linked
    assert {attrs["rel"] for attrs in posts} <= {"noopener noreferrer nofollow"}
    assert tags.links() == [*[permalink] * linked, "#image-0", *[permalink] * linked, "#images", "../index.html"]
    assert "secret" not in tags.text


def test_page_lists_failed_and_rejected_images_with_post_and_reason(lake: Lake) -> None:
    statuses = (Status.OK, Status.REJECTED, Status.FAILED)
    report(done(lake, closed(lake, item("a"), item("b"), item("c"), statuses=statuses), tolerance=50))
    text = Tags(page(lake)).text
    rest = text[text.index("Failed and rejected images") :]
    for word in (ENTRY.name, item("b").post_id, "corrupt the decoder refused it", "not_found cdn.test answered 404"):
        assert word in rest
    assert "not shown" not in rest


@pytest.mark.slow
def test_page_lists_the_problems_of_many_images_in_part_and_says_where_the_others_are(lake: Lake) -> None:
    statuses = (Status.FAILED,)
    many = closed(lake, *(item(f"m{n}") for n in range(230)), statuses=statuses * 230)
    few = closed(lake, *(item(f"f{n}") for n in range(3)), statuses=statuses * 3)
    report(done(lake, many, tolerance=100), done(lake, few, feed=OTHER_ENTRY, tolerance=100))
    text = Tags(page(lake)).text
    assert text.count("cdn.test answered 404") == 200
    assert "33 more are not shown. All are listed in s3://lake/reports/daily-2026-04-01/failures/." in text


def test_page_marks_a_near_duplicate_and_links_to_its_original(lake: Lake) -> None:
    elsewhere = item("z")
    closed(lake, elsewhere)
    first, second, third = item("a"), item("b"), item("c")
    made = plan(first, second, third)
    originals = ((second, first.media_id), (third, elsewhere.media_id))
    changes: Any = {"duplicate_distance": 5, "duplicate_kind": "mirrored"}
    rows = [result(one, duplicate_of=original, **changes) for one, original in originals]
    keep_file(lake, made, result(first), *rows)
    map_keys.app.handler(event("map_keys", batch=made.batch), Context())
    report(done(lake, made))
    tags = Tags(page(lake))
    near = [attrs for _, attrs in tags.found if attrs.get("class") == "near"]
    assert "image-0" in [attrs.get("id") for _, attrs in tags.found]
    assert [(attrs.get("href"), attrs["title"]) for attrs in near] == [
        ("#image-0", first.media_id),
        (None, elsewhere.media_id),
    ]
    assert tags.text.count("near duplicate: mirrored") == 2


@pytest.mark.slow
def test_page_says_how_many_images_it_does_not_show_and_where_they_are(lake: Lake) -> None:
    made = [closed(lake, *(item(f"{batch}-{n}") for n in range(5))) for batch in range(12)]
    report(done(lake, *made))
    text = Tags(page(lake)).text
    assert "48 of 60 new images are shown" in text
    assert "are in the bucket lake: " + ", ".join(object_keys.parquet(one.batch) for one in made[:10]) in text
    assert " and 2 more files." in text


@pytest.mark.parametrize(("size", "shown"), [((400, 300), (400, 300)), ((1600, 800), (512, 256))])
def test_contact_sheet_has_images_to_enlarge(lake: Lake, size: tuple[int, int], shown: tuple[int, int]) -> None:
    image = {"bytes": jpeg(size=size), "path": "a.jpg"}
    report(done(lake, closed(lake, image=image)))
    (source,) = Tags(page(lake)).sources()
    with Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) as made:
        assert made.size == shown


def test_contact_sheet_leaves_out_what_is_sensitive(lake: Lake) -> None:
    report(done(lake, closed(lake, sensitive=True)))
    assert Tags(page(lake)).sources() == []


@pytest.mark.slow
def test_contact_sheet_is_shared_by_the_feeds(lake: Lake) -> None:
    many, few = (closed(lake, *(item(f"{name}{n}") for n in range(count))) for name, count in (("m", 60), ("f", 3)))
    report(done(lake, many), done(lake, few, feed=OTHER_ENTRY))
    assert len(Tags(page(lake)).sources()) == 45 + 3


def test_contact_sheet_when_an_image_is_damaged(lake: Lake) -> None:
    made = closed(lake)
    result_of_feed = done(lake, made)
    key = object_keys.staged(made.batch)
    lake.bucket.put(key, lake.bucket.get(key)[:-1] + b"?", "")
    assert report(result_of_feed)["outcome"] == "ok"
    assert Tags(page(lake)).sources() == []


def test_contact_sheet_when_staging_has_expired(lake: Lake) -> None:
    made = closed(lake)
    result_of_feed = done(lake, made)
    lake.bucket.delete(object_keys.staged(made.batch))
    assert report(result_of_feed)["outcome"] == "ok"
    assert Tags(page(lake)).sources() == []


def test_feed_of_an_erased_author_has_its_id_as_its_name(lake: Lake) -> None:
    """Whoever reads a report must not find the author, even while the feed is still in the parameter."""
    lake.suppress(("feed", ENTRY.feed_id))
    cause = json.dumps({"errorMessage": f"{ENTRY.feed_id}: no such account"})
    answer = report(failed("FeedNotFoundError", ENTRY, cause), up_to_date(OTHER_ENTRY))
    stored = lake.bucket.get(object_keys.run_summary(RUN.run_id)).decode()
    for text in (stored, page(lake), answer["message"]):
        assert ENTRY.name not in text
        assert ENTRY.feed_id in text
    assert OTHER_ENTRY.name in stored
    (feed, _) = json.loads(stored)["feeds"]
    assert (feed["name"], feed["config"]) == (ENTRY.feed_id, None)


def test_feed_of_an_erased_author_has_neither_newest_post_nor_name_in_warnings(lake: Lake) -> None:
    lake.suppress(("feed", ENTRY.feed_id))
    warnings = [f"{ENTRY.name}: one", f"look at {ENTRY.config}", "two"]
    report(up_to_date(ENTRY, warnings=warnings))
    (feed,) = lake.bucket.get_json(object_keys.run_summary(RUN.run_id))["feeds"]
    assert feed["plan"]["warnings"] == []
    bookmark = {"newest_id": "at://did:plc:bob/app.bsky.feed.post/1", "newest_at": "2026-04-01T00:00:00.000000Z"}
    report(up_to_date(ENTRY, bookmark=bookmark), up_to_date(OTHER_ENTRY, bookmark=bookmark))
    feeds = lake.bucket.get_json(object_keys.run_summary(RUN.run_id))["feeds"]
    assert [feed["plan"]["bookmark"] for feed in feeds] == [{"newest_id": "", "newest_at": ""}, bookmark]
