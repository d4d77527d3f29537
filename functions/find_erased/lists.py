"""The lists that the state machine's maps read. They name files by number, because its history must name no item."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.erasure_found import Found
from imagelake.run.aws import THREADS
from imagelake.run.erasure_models import ErasedDay, ErasedReport, FileChanges, FindErasedResult, FoundCounts, Selection
from imagelake.run.errors import DamagedObjectError, ObjectMissingError
from imagelake.sources import SOURCES

_PROMOTIONS, _FILES, _DAYS, _REPORTS = "promotions", "files", "days", "reports"
_STREAM = "stream"
_PARTITION = re.compile(r"/dt=([^/]+)/")
# A staged window, and records that Lambda has given up: https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html
_STREAM_DAYS = (
    ("work/stream/", re.compile(r"/stream-(\d{4})-(\d\d)-(\d\d)-")),
    ("aws/lambda/", re.compile(r"/(\d{4})/(\d\d)/(\d\d)/")),
)
_COVERAGE = re.compile(rf"{object_keys.COVERAGE}dt=(?P<dt>[^/]+)/(?P<run_id>[^/]+)\.json\.gz")
_SOURCE = re.compile(r"/source=([^/]+)/")


class Lists:
    """The lists of one erasure: dataset files, days with raw pages or rejects, and reports."""

    def __init__(self, bucket: Bucket, erasure_id: str) -> None:
        self._bucket = bucket
        self._erasure_id = erasure_id
        self.pages = 0
        self.days: list[ErasedDay] = []
        self.runs = 0
        self.reports: list[ErasedReport] = []

    def add(self, found: Found) -> None:
        """List all days of the networks concerned, and all runs with a report."""
        for source in sorted(found.networks):
            self.days += [ErasedDay(source=source, dt=dt) for dt in sorted(self._days(source))]
        # No id of a run starts with an underscore, and the lake at a glance is in no folder of its own.
        folders = (key.split("/")[1] for key in self._bucket.list(object_keys.REPORTS) if key.count("/") > 1)
        runs: dict[str, str | None] = {run_id: None for run_id in folders if not run_id.startswith("_")}
        # These rows last longer than the reports.
        matches = (_COVERAGE.fullmatch(key) for key in self._bucket.list(object_keys.COVERAGE))
        runs |= {match["run_id"]: match["dt"] for match in matches if match}
        self.runs = len(runs)
        self.reports = [ErasedReport(run_id=run_id, dt=dt) for run_id, dt in runs.items()]
        self.reports.append(ErasedReport(run_id=None, dt=None))

    def write(self, found: Found) -> None:
        """Store the changes of each dataset file, then the lists."""
        changes = found.changes
        with ThreadPoolExecutor(THREADS) as pool:
            numbers = list(pool.map(self._write_changes, changes))
        both = list(zip(numbers, changes, strict=True))
        self._write(_PROMOTIONS, [{"number": number} for number, one in both if one.promote])
        self._write(_FILES, [{"number": number} for number, one in both if one.erase or one.relink])
        self._write(_DAYS, [day.model_dump() for day in self.days])
        self._write(_REPORTS, [report.model_dump() for report in self.reports])

    def result(
        self, *, must_wait: bool, left: int, counts: FoundCounts, is_suppressed: bool = False
    ) -> FindErasedResult:
        """Return the result of the search, with the keys of the lists."""
        return FindErasedResult(
            must_wait=must_wait,
            is_suppressed=is_suppressed,
            left=left,
            counts=counts,
            promotions_key=self._key(_PROMOTIONS),
            files_key=self._key(_FILES),
            days_key=self._key(_DAYS),
            reports_key=self._key(_REPORTS),
        )

    def _days(self, source: str) -> set[str]:
        days = set()
        for prefix in (f"raw/posts/source={source}/", f"rejects/source={source}/"):
            keys = self._bucket.list(prefix)
            self.pages += len(keys)
            days |= {match[1] for key in keys if (match := _PARTITION.search(key))}
        for prefix, pattern in _STREAM_DAYS if source == _STREAM else ():
            keys = self._bucket.list(prefix)
            self.pages += len(keys)
            days |= {"-".join(match.groups()) for key in keys if (match := pattern.search(key))}
        return days

    def _write_changes(self, changes: FileChanges) -> int:
        number, key = object_keys.erasure_file(self._erasure_id, changes.key)
        # The second search mostly finds the same, and to read costs a tenth of a write.
        with suppress(ObjectMissingError, DamagedObjectError):
            if self._bucket.get_model(key, FileChanges) == changes:
                return number
        self._bucket.put_json(key, changes.model_dump(mode="json"))
        return number

    def _write(self, name: str, values: Sequence[Mapping[str, str | int | None]]) -> None:
        self._bucket.put_json(self._key(name), values)

    def _key(self, name: str) -> str:
        return object_keys.erasure_list(self._erasure_id, name)


def networks_of(selection: Selection, found: Found) -> set[str]:
    """Return the networks whose pages can name what is erased."""
    named = {one.source for one in [*selection.authors, *selection.posts]}
    for media_id in [*selection.media_ids, *found.items]:
        # A stream can have the same post; its media ids begin with the name of their network.
        named |= {media_id.partition("/")[0], _STREAM}
    in_files = {match[1] for item in found.items.values() for key in item.keys if (match := _SOURCE.search(key))}
    return (named | in_files | found.networks) & SOURCES.keys()
