"""The checks of a request to erase that need the networks, and the id of the erasure."""

from __future__ import annotations

import json
from collections.abc import Callable

from imagelake.run.contracts import Execution
from imagelake.run.erasure_models import Erasure, ErasureRequest
from imagelake.run.errors import BadInputError
from imagelake.sources import SOURCES

_ID_LENGTH = 20
# A dry run has working objects of its own, and deletes only these at its end.
_DRY_RUN = "-dry-run"


def erasure_of(request: ErasureRequest, execution: Execution, keyed_hash: Callable[..., str]) -> Erasure:
    """Make the erasure of a request; the same request, in any order, is the same erasure."""
    _check_networks(request)
    selection = request.erase
    canonical = json.dumps([sorted(set(selection.names)), selection.near_duplicates, request.reason, request.reference])
    erasure_id = keyed_hash("erasure", canonical)[:_ID_LENGTH]
    return Erasure(
        erasure_id=erasure_id + _DRY_RUN if request.dry_run else erasure_id,
        execution_arn=execution.arn,
        started_at=execution.started_at,
        reason=request.reason,
        reference=request.reference,
        dry_run=request.dry_run,
    )


def _check_networks(request: ErasureRequest) -> None:
    """Raise a ``BadInputError`` that names the fields with an unknown network."""
    authors = [(f"erase.authors.{number}.source", one.source) for number, one in enumerate(request.erase.authors)]
    posts = [(f"erase.posts.{number}.source", one.source) for number, one in enumerate(request.erase.posts)]
    wrong = [name for name, source in authors + posts if source not in SOURCES]
    if wrong:
        raise BadInputError(
            f"erasure request: {', '.join(wrong)}: not a network; the networks are {', '.join(sorted(SOURCES))}"
        )
