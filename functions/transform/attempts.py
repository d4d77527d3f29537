"""The attempts at a batch. Each one says that it has begun, so that the next one knows whether a worker died."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from types import TracebackType

from pydantic import AwareDatetime

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.run.errors import DamagedObjectError, ImagelakeError
from imagelake.run.frozen_model import FrozenModel
from imagelake.run.models import Batch
from imagelake.run.retries import attempts

# An attempt that ends while an image is named tries so often to take the name back; it waits up to so long in between.
_TRIES, _MAX_PAUSE = 4, 5.0


class Attempt(FrozenModel):
    """One attempt: the item whose image it is decoding, if it is careful, and whether it ended with an error of ours.

    An attempt that did not end died, or is still at work. After ``decodes_until`` it cannot be at work on this image.
    """

    media_id: str | None = None
    decodes_until: AwareDatetime | None = None
    is_ended: bool = False

    @property
    def fatal_item(self) -> str | None:
        """Return the item whose image this attempt was decoding when it died."""
        is_at_work = self.decodes_until is not None and datetime.now(UTC) < self.decodes_until
        return None if is_at_work else self.media_id


class Attempts:
    """A new attempt at a batch, and what is known of earlier ones.

    ``is_careful`` is true if one of them died. ``deaths`` counts those that died while they decoded an item's image.
    """

    def __init__(self, bucket: Bucket, batch: Batch) -> None:
        self._bucket = bucket
        self._batch = batch
        self._number = 0
        self._is_stored = False
        self._has_named = False
        died: list[Attempt] = []
        # The first attempt makes one request. Only a later one reads what the others have written.
        if not self._store():
            keys = bucket.list(object_keys.attempts_prefix(batch))
            died = [attempt for attempt in (_read(bucket, key) for key in keys) if not attempt.is_ended]
            self._number = len(keys)
        self.is_careful = bool(died)
        self.deaths = Counter(filter(None, (attempt.fatal_item for attempt in died)))
        # The next attempt will be careful anyway, so this one is stored only when it decodes an image.
        if not self.is_careful:
            self._store_next()

    def __enter__(self) -> Attempts:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Say that the attempt did not die; any error but ours may come from an image, so it counts as a death."""
        if not isinstance(error, ImagelakeError) or not self._is_stored:
            return
        for _try in attempts(_TRIES if self._has_named else 1, max_pause=_MAX_PAUSE):
            with suppress(ImagelakeError):
                self._write(Attempt(is_ended=True))
                return

    @contextmanager
    def decoding(self, media_id: str, seconds: float) -> Iterator[None]:
        """Name the item whose image is being decoded, as long as it is; this takes at most so many seconds."""
        self._store_next()
        self._has_named = True
        self._write(Attempt(media_id=media_id, decodes_until=datetime.now(UTC) + timedelta(seconds=seconds)))
        yield
        self._write(Attempt())
        self._has_named = False

    def _store_next(self) -> None:
        """Store this attempt under the next free number, unless it is stored."""
        while not (self._is_stored or self._store()):
            self._number += 1

    def _store(self) -> bool:
        self._is_stored = self._bucket.put_if_unchanged(self._key, _json(Attempt()), "application/json", None)
        return self._is_stored

    def _write(self, attempt: Attempt) -> None:
        self._bucket.put(self._key, _json(attempt), "application/json")

    @property
    def _key(self) -> str:
        return object_keys.attempt(self._batch, self._number)


def _read(bucket: Bucket, key: str) -> Attempt:
    try:
        return bucket.get_model(key, Attempt)
    except DamagedObjectError:
        return Attempt()


def _json(attempt: Attempt) -> bytes:
    return attempt.model_dump_json().encode()
