"""Results of feeds, made as in a run, for the tests of Report."""

from __future__ import annotations

from typing import Any

import map_keys.app
import reconcile.app
from imagelake.lake.rows import Status
from imagelake.run.models import FeedEntry, PlannedBatch, Run
from tests.support.factories import ENTRY, RUN, Context, event, feed_plan, item, keep_file, plan, result
from tests.support.fake_lake import Lake


def done(
    lake: Lake, *plans: PlannedBatch, run: Run = RUN, feed: FeedEntry = ENTRY, tolerance: int = 20, **more: Any
) -> dict[str, Any]:
    """A feed's result, made by Reconcile as in a run."""
    batches = feed_plan(posts=3) | more
    lake.bucket.put_json("work/list.json", [one.batch.model_dump() for one in plans])
    run = run.model_copy(update={"failure_tolerance_percent": tolerance})
    reconciliation = reconcile.app.handler(event("reconcile", run=run, feed=feed, plan=batches), Context())
    status = "failed" if reconciliation["status"] == "too_many_failures" else reconciliation["status"]
    return {"feed": feed.model_dump(), "status": status, "plan": batches, "reconciliation": reconciliation}


def closed(lake: Lake, *items: Any, statuses: tuple[Status, ...] = (), **row: Any) -> PlannedBatch:
    """A batch that Map Keys has closed; without items it has one, without statuses all its rows are ``ok``."""
    made = plan(*(items or (item("one"),)))
    kinds = statuses or (Status.OK,) * len(made.items)
    keep_file(lake, made, *(result(one, kind, **row) for one, kind in zip(made.items, kinds, strict=True)))
    map_keys.app.handler(event("map_keys", batch=made.batch), Context())
    return made
