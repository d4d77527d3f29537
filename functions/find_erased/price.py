"""The price of an erasure: its calls of S3 and DynamoDB, estimated from the counts of what was found."""

from __future__ import annotations

from imagelake.run.erasure_models import FoundCounts
from imagelake.run.prices import DYNAMO_READ, DYNAMO_WRITE, S3_GET, S3_PUT

# To change an object: it is read and written, its note is read and written twice, and its versions are listed.
_PUTS_PER_OBJECT, _GETS_PER_OBJECT = 4, 3
# The dataset file, the plan, the staged rows, a part, the file's list of changes and the lists of parts.
_OBJECTS_PER_BATCH = 5
# Figures, problems, failures and the summaries of a few feeds; only those that name somebody are written.
_GETS_PER_REPORT = 6
# Units of DynamoDB per item: entry and indexes are searched twice, and the entry with both indexes is deleted; one hash
# goes on the list, and one item of the raw image.
_READS_PER_ITEM, _WRITES_PER_ITEM = 8, 6


def usd_of(counts: FoundCounts) -> float:
    """Estimate the price in US dollars."""
    batches = counts.files + counts.open_batches
    objects = batches * _OBJECTS_PER_BATCH + counts.raw_images
    puts = objects * _PUTS_PER_OBJECT
    gets = objects * _GETS_PER_OBJECT + counts.pages + counts.reports * _GETS_PER_REPORT
    units = counts.items * (_READS_PER_ITEM * DYNAMO_READ + _WRITES_PER_ITEM * DYNAMO_WRITE)
    return round(puts * S3_PUT + gets * S3_GET + units, 4)
