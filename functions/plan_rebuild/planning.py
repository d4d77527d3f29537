"""The check of a rebuild's input, and the list of its files; each is one item of the Distributed Map."""

from __future__ import annotations

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.run.contracts import PlanRebuildRequest, PlanRebuildResult
from imagelake.run.errors import BadInputError
from imagelake.run.models import Run
from imagelake.run.rebuild_models import RebuildRequest


def plan_rebuild(request: PlanRebuildRequest, bucket: Bucket) -> PlanRebuildResult:
    """List the files of a rebuild; raise ``BadInputError`` naming the wrong field."""
    if not isinstance(request.input, dict):
        raise BadInputError("rebuild request: it has to be an object, such as {}")
    rebuild = RebuildRequest.read(request.input)
    folders = [object_keys.lake_files(network) for network in rebuild.networks or ()] or [object_keys.lake_files()]
    sizes = {key: size for folder in folders for key, size in bucket.sizes(folder).items()}
    batches = {key: batch for key in sizes if (batch := object_keys.batch_of_file(key)) and rebuild.has_file(batch)}
    execution = request.execution
    list_key = object_keys.rebuild_list(execution.name)
    bucket.put_json(list_key, [batch.model_dump(mode="json") for batch in batches.values()])
    run = Run(
        run_id=execution.name,
        execution_arn=execution.arn,
        dt=execution.started_at.date().isoformat(),
        # A rebuild reads no feeds.
        batch_size=1,
        posts_per_feed=1,
        failure_tolerance_percent=0,
        by_hand=True,
    )
    file_bytes = sum(sizes[key] for key in batches)
    return PlanRebuildResult(run=run, rebuild=rebuild, list_key=list_key, files=len(batches), file_bytes=file_bytes)
