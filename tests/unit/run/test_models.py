"""Models that steps exchange survive the state machine, which knows only JSON."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier

import pytest
from pydantic import ValidationError, create_model

from imagelake.run.frozen_model import FrozenModel
from imagelake.run.models import Batch, FeedEntry, PlannedBatch, Progress, Run
from imagelake.run.posts import Item, Media, Post
from tests.support.factories import item, plan

EVENTS = sorted((Path(__file__).parents[2] / "events").glob("*.json"))
MODELS: dict[str, type[FrozenModel]] = {"run": Run, "feed": FeedEntry, "batch": Batch, "progress": Progress}


@pytest.mark.parametrize("path", EVENTS, ids=lambda path: path.stem)
def test_example_events_match_the_models(path: Path) -> None:
    event = json.loads(path.read_text())
    for name, model in MODELS.items():
        if name in event:
            assert model.model_validate(event[name]).model_dump().items() >= event[name].items()


def test_planned_batch_survives_json() -> None:
    now = datetime(2026, 4, 1, 12, 0, 0, 123456, tzinfo=UTC)
    media = Media(media_id="m", index=0, kind="image", url="https://x.test/a", expires_at=now)
    post = Post(post_id="p", author_id="a", posted_at=now, text="кот\n\u2028", tags=["x"])
    item = Item.of("bluesky", "bluesky:a.example", post, media)
    plan = PlannedBatch(
        batch=Batch(batch_id="b", feed_id="f", source="bluesky", dt="2026-04-01", items=1), run_id="r", items=[item]
    )
    assert PlannedBatch.model_validate_json(plan.model_dump_json()) == plan


@pytest.mark.parametrize("dt", ["2026-4-1", "20260401", "2026-04-01T00:00", "2026-04-01\n", ""])
def test_batch_when_its_day_is_misshapen(dt: str) -> None:
    with pytest.raises(ValidationError, match="dt"):
        Batch(batch_id="b", feed_id="f", source="bluesky", dt=dt, items=1)


def test_batch_has_no_negative_number_of_items() -> None:
    """It has none if an erasure has taken them all."""
    with pytest.raises(ValidationError, match="items"):
        Batch(batch_id="b", feed_id="f", source="bluesky", dt="2026-04-01", items=-1)


def test_threads_may_use_a_model_for_the_first_time_at_once() -> None:
    threads = 8
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(threads) as pool:
            for _ in range(200):
                model = create_model("Fresh", __base__=FrozenModel, numbers=(list[int], ...), name=(str, "x"))
                barrier = Barrier(threads)

                def use(number: int, model: type[FrozenModel] = model, barrier: Barrier = barrier) -> FrozenModel:
                    barrier.wait()
                    return model.model_validate({"numbers": [number]})

                assert len(list(pool.map(use, range(threads)))) == threads
    finally:
        sys.setswitchinterval(interval)


def test_items_keep_their_positions_when_others_are_erased() -> None:
    """Parts are numbered by position, so an item must not move to another part while a worker has the old plan."""
    planned = plan(*(item(name) for name in "abcdef"))
    once = planned.without({item("b").media_id, "unknown"})
    assert (once.positions, once.erased) == ([0, 2, 3, 4, 5], [1])
    twice = once.without({item("a").media_id, item("f").media_id, item("d").media_id})
    assert (twice.positions, twice.erased) == ([2, 4], [0, 1, 3, 5])
    assert [one.post_id for one in twice.items] == ["c", "e"]
    assert twice.without({item("c").media_id, item("e").media_id}).positions == []
    assert once.without({item("b").media_id}) == once
