"""Produce records for the Kinesis stream from the posts of the sample feed."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode

# https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html
_PUT_MANY = 500
_PAUSE = 0.2


def sample_records(url: str, account: str) -> Iterator[bytes]:
    """Read the sample feed at ``url`` and yield each post as a raw record of Bluesky."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    query = {"actor": account, "filter": "posts_with_media", "limit": "100"}
    while True:
        try:
            with opener.open(f"{url}/xrpc/app.bsky.feed.getAuthorFeed?{urlencode(query)}", timeout=10) as answer:
                page = json.load(answer)
        except HTTPError as error:
            # The sample feed answers one request with a rate limit, as a network would.
            if error.code != HTTPStatus.TOO_MANY_REQUESTS:
                raise
            time.sleep(_PAUSE)
            continue
        for entry in page["feed"]:
            yield json.dumps({"schema": "imagelake.raw/1", "source": "bluesky", "raw": entry}).encode()
        if not page.get("cursor"):
            return
        query["cursor"] = page["cursor"]


def put_records(kinesis: Any, stream: str, records: list[bytes]) -> None:
    """Put ``records`` on the stream in order, and retry those that it throttled."""
    waiting = [{"Data": data, "PartitionKey": str(number)} for number, data in enumerate(records)]
    while waiting:
        group, waiting = waiting[:_PUT_MANY], waiting[_PUT_MANY:]
        answers = kinesis.put_records(StreamName=stream, Records=group)["Records"]
        refused = [record for record, answer in zip(group, answers, strict=True) if "ErrorCode" in answer]
        if refused:
            waiting = refused + waiting
            time.sleep(_PAUSE)
