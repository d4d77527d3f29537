"""Signatures in URLs: query parameters that change with every signing, so they do not identify a file.

Some names are used for nothing else. Others, such as ``token`` or ``sig``, can also name a file, so the caller must
keep two files apart if only these differ. Names that say nothing alone count only beside a signature.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import unquote_plus

# AWS, Google Cloud, Alibaba Cloud, Tencent Cloud, CloudFront, Akamai, Meta and TikTok:
# https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
# https://cloud.google.com/storage/docs/authentication/signatures
# https://www.alibabacloud.com/help/en/oss/developer-reference/ddd-signatures-to-urls
# https://www.tencentcloud.com/document/product/436/7778
# https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-creating-signed-url-canned-policy.html
# https://techdocs.akamai.com/property-mgr/docs/auth-token-2-0-ver
_CERTAIN = re.compile(
    r"x-(?:amz|goog)-.+|awsaccesskeyid|googleaccessid|ossaccesskeyid|key-pair-id"
    r"|x-oss-(?:signature.*|credential|date|expires|security-token|additional-headers)"
    r"|q-(?:sign-.+|ak|key-time|header-list|url-param-list|signature)|x-cos-security-token"
    r"|hdn(?:ts|ea|tl)|__token__|__gda__|x-signature|x-expires|ssig|access_token|refresh_token|appsecret_proof"
)
_LIKELY = re.compile(r"signature|sig|sign|token|jwt|hmac|auth|auth_key|authorization|verify|security-token|oh|oe")
_TIME = re.compile(r"expires?|expiry|expiration|expires_?(?:at|in)|exp|validfrom|validto")
# Parameters that belong to a signature: of CloudFront, Azure, Meta and Bunny, and the times of others.
# https://learn.microsoft.com/en-us/rest/api/storageservices/create-service-sas
_BESIDE = re.compile(
    r"policy|hash-algorithm|s[eptvrsi]|srt|spr|sip|sdd|ses|ske|sks|skt|skv|skoid|sktid|saoid|suoid|scid"
    r"|_nc_.+|ccb|edm|efg|token_path|nonce|ts|timestamp"
)
# Names that are a signature only together: of Discord, LinkedIn, nginx and imgix.
_TOGETHER = (("ex", "is", "hm"), ("e", "v", "t"), ("expires", "md5"), ("expires", "s"), ("e", "st"))
# Names that leave no doubt together: of Azure and Meta.
_CERTAIN_TOGETHER = (("sig", "sv"), ("oh", "oe"))


def without_signature(url: str) -> str:
    """Return the URL without the parameters of a signature; all other parts stay as they are written."""
    return _bare(url, _with_bare_value)


def is_signed(text: str) -> bool:
    """Tell if a text is a URL with a signature beyond doubt."""
    if not text.startswith(("http://", "https://")):
        return False
    names = {_name(part) for part in _split(text)[1]}
    if _has(_CERTAIN, names) or any(names.issuperset(group) for group in _CERTAIN_TOGETHER):
        return True
    return _has(_LIKELY, names) and _has(_TIME, names)


def _bare(url: str, value_of: Callable[[str], str] = str) -> str:
    head, parts, fragment = _split(url)
    names = {_name(part) for part in parts}
    signed = _has(_CERTAIN, names) or _has(_LIKELY, names)
    patterns = [_CERTAIN, _LIKELY, _TIME, *([_BESIDE] if signed else [])]
    dropped = {name for name in names if _has_any(patterns, name)}
    dropped |= {name for group in _TOGETHER if names.issuperset(group) for name in group}
    kept = [value_of(part) for part in parts if _name(part) not in dropped]
    if kept == parts:
        return url
    return head + ("?" + "&".join(kept) if kept else "") + fragment


def _split(url: str) -> tuple[str, list[str], str]:
    """Return the URL up to its query, the parts of the query, and the fragment with its sign."""
    text, sign, fragment = url.partition("#")
    head, mark, query = text.partition("?")
    return head, query.split("&") if mark else [], sign + fragment


def _name(part: str) -> str:
    # Some feeds escape the sign & twice.
    return unquote_plus(part.partition("=")[0]).removeprefix("amp;").lower()


def _has(pattern: re.Pattern[str], names: set[str]) -> bool:
    return any(map(pattern.fullmatch, names))


def _has_any(patterns: list[re.Pattern[str]], name: str) -> bool:
    return any(pattern.fullmatch(name) for pattern in patterns)


def _with_bare_value(part: str) -> str:
    """Remove the signature of the URL in a value, which is the file's own URL if a proxy serves it."""
    name, _, value = part.partition("=")
    # Bytes that are not UTF-8 stay different.
    inner = unquote_plus(value, errors="backslashreplace")
    if not inner.startswith(("http://", "https://")):
        return part
    bare = _bare(inner)
    return part if bare == inner else f"{name}={bare}"
