"""Faster calls of AWS in memory: what moto and botocore do anew at every call is done once, or not at all.

These are private parts of both packages, like those in ``private_parts.py``: an upgrade may break them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import cache, lru_cache
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

_REQUEST_ID = "A" * 52
_SIGNATURE = "AWS4-HMAC-SHA256 Credential=TESTING/20260101/us-east-1/any/aws4_request, SignedHeaders=host, Signature=0"
_ISO_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{3})?Z")


@contextmanager
def fast_moto() -> Iterator[None]:
    """Leave out signatures, and the search for what a call means."""
    with ExitStack() as patches:
        for one in (*_patches_of_botocore(), *_patches_of_moto()):
            patches.enter_context(one)
        yield


def _patches_of_botocore() -> Iterator[Any]:
    import botocore.parsers
    import botocore.utils
    from botocore.httpchecksum import AwsChunkedWrapper
    from botocore.signers import RequestSigner

    sign: Callable[..., None] = RequestSigner.sign

    def sign_urls_only(self: Any, operation_name: str, request: Any, *options: Any, **more: Any) -> None:
        # moto looks for a signature and does not check it. A real one would say that a checksum follows the body.
        if options or more or ".amazonaws.com/" not in request.url:
            sign(self, operation_name, request, *options, **more)
            return
        request.headers["Authorization"] = _SIGNATURE
        if isinstance(request.data, AwsChunkedWrapper):
            request.headers["X-Amz-Content-SHA256"] = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"

    read_other: Callable[[Any], datetime] = lru_cache(maxsize=1000)(botocore.utils.parse_timestamp)

    def read_moment(value: Any) -> datetime:
        # The general parser of dates takes a tenth of the time of a call.
        if isinstance(value, str) and _ISO_MOMENT.fullmatch(value):
            return datetime.fromisoformat(value)
        return read_other(value)

    yield patch.object(RequestSigner, "sign", sign_urls_only)
    # moto writes moments by the second one.
    yield patch.object(botocore.parsers, "DEFAULT_TIMESTAMP_PARSER", read_moment)
    yield patch.object(botocore.utils, "parse_timestamp", read_moment)


def _patches_of_moto() -> Iterator[Any]:
    import moto.core.responses
    from moto.core.botocore_stubber import BotocoreStubber
    from moto.core.serialize import AttributePicker
    from moto.s3.responses import S3Response

    by_subdomain = S3Response.subdomain_based_buckets
    process: Callable[..., Any] = BotocoreStubber.process_request
    pick: Callable[..., Any] = AttributePicker.__call__

    names: dict[tuple[Any, ...], list[str]] = {}

    @cache
    def host_has_bucket(host: str) -> bool:
        return by_subdomain(SimpleNamespace(headers={"host": host}))

    def process_known_host(self: Any, request: Any) -> Any:
        parts = urlsplit(request.url)
        url = f"{parts.scheme}://{parts.netloc}{parts.path}"
        handlers = _handlers(parts.netloc)
        for pattern, handler in handlers:
            if pattern.match(url):
                return _handle(handler, request)
        return process(self, request)

    def pick_from_dict(self: Any, context: Any) -> Any:
        found, shape = context.obj, context.shape
        if type(found) is not dict or self.response_transformers or shape is None:
            return pick(self, context)
        parent = getattr(shape, "parent", None)
        place = type(self), context.key, shape.name, parent and parent.name, shape.serialization.get("name")
        if place not in names:
            names[place] = list(self.get_possible_keys(context))
        return next((found[name] for name in names[place] if name in found), None)

    def request_id(headers: dict[str, Any] | None = None) -> str:
        if headers is not None:
            headers["x-amzn-requestid"] = _REQUEST_ID
        return _REQUEST_ID

    yield patch.object(BotocoreStubber, "process_request", process_known_host)
    yield patch.object(AttributePicker, "__call__", pick_from_dict)
    yield patch.object(
        S3Response, "subdomain_based_buckets", staticmethod(lambda request: host_has_bucket(request.headers["host"]))
    )
    # moto would choose 52 letters at random.
    yield patch.object(moto.core.responses, "gen_amzn_requestid_long", request_id)


def _handle(handler: Callable[..., Any], request: Any) -> Any:
    from moto.core.request import normalize_request
    from werkzeug.exceptions import HTTPException

    normalized = normalize_request(request)
    try:
        return handler(normalized, normalized.raw_url, normalized.headers)
    except HTTPException as error:
        return error.code, error.get_headers(), error.get_body()


@cache
def _handlers(host: str) -> list[tuple[re.Pattern[str], Callable[..., Any]]]:
    """The URLs of the service that has this host; moto would try the patterns of all its services at every call."""
    from moto import backend_index
    from moto.backends import get_backend
    from moto.core.base_backend import BackendDict
    from moto.core.models import DEFAULT_ACCOUNT_ID

    for service, pattern in backend_index.backend_url_patterns:
        if pattern.match(f"https://{host}/"):
            backends: Any = get_backend(service)  # type: ignore[call-overload]
            if not isinstance(backends, BackendDict):
                return []
            regions = backends[DEFAULT_ACCOUNT_ID]
            backend = regions["us-east-1"] if "us-east-1" in regions else regions["aws"]
            return [(re.compile(url), handler) for url, handler in backend.urls.items()]
    return []
