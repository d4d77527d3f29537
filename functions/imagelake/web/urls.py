"""URLs, each of which may be hostile: one pattern accepts plain ones, and we request exactly the parsed one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import parse_qs, quote, urlencode, urljoin

import idna

from imagelake.run.errors import BadInputError
from imagelake.web.errors import UrlRefusedError

_LONGEST = 65536
_PORTS = {"http": 80, "https": 443}
# ASCII only: otherwise a long s would match an s.
_URL = re.compile(
    r"(?ai:(?P<scheme>https?)://(?:\[(?P<literal>[0-9a-f:.]+)\]|(?P<name>[^/?#@:\[\]]{1,253}))(?::(?P<port>[0-9]{0,5}))?)"
    r"(?P<path>/[^?#]*)?(?:\?(?P<query>[^#]*))?(?:#(?P<fragment>.*))?"
)
_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
_NUMBERS = re.compile(r"[0-9.]+")
_SCHEME = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*)?:")
# Control characters, which some parsers drop and some take for the end, the backslash, which some read as a slash, and
# halves of characters. All others beyond ASCII are sent percent-encoded, as browsers do, also spaces and joiners:
# https://url.spec.whatwg.org/#path-percent-encode-set
_REFUSED = re.compile("[\0-\x1f\x7f-\x9f\\\\\ud800-\udfff]")
# Characters that we send percent-encoded as UTF-8. The percent sign is not one, so a signed URL is sent unchanged.
_NOT_IN_PATH = re.compile(r'[^!-~]|["#<>?`{}]')
_NOT_IN_QUERY = re.compile(r'[^!-~]|["#<>]')
_NOT_IN_FRAGMENT = re.compile(r'[^!-~]|["<>`]')


@dataclass(frozen=True, slots=True)
class Url:
    """An http or https URL in the form that we request: ASCII, the host in lower case, without user name."""

    scheme: str
    host: str
    port: int
    path: str
    query: str | None
    fragment: str | None

    @classmethod
    def parse(cls, text: str) -> Url:
        """Parse ``text``; raises ``UrlRefusedError`` unless it is a plain http or https URL."""
        _check(text)
        match = _URL.fullmatch(text) if len(text) <= _LONGEST else None
        if match is None:
            raise refusal("the URL is not a plain one of http or https, without user name and password")
        scheme, literal, name, port, path, query, fragment = match.groups()
        scheme = scheme.lower()
        number = int(port) if port else _PORTS[scheme]
        if number > 65535:
            raise refusal("the URL has no valid port")
        return cls(
            scheme,
            _host(literal, name),
            number,
            _quote(_without_dots(path or ""), _NOT_IN_PATH),
            None if query is None else _quote(query, _NOT_IN_QUERY),
            None if fragment is None else _quote(fragment, _NOT_IN_FRAGMENT),
        )

    def __str__(self) -> str:
        query = "" if self.query is None else f"?{self.query}"
        fragment = "" if self.fragment is None else f"#{self.fragment}"
        return f"{self.scheme}://{self.authority}{self.path}{query}{fragment}"

    @property
    def origin(self) -> str:
        """The scheme, host and port, such as ``https://a.example``, without the scheme's default port."""
        return f"{self.scheme}://{self.authority}"

    @property
    def authority(self) -> str:
        """The value of the Host header: the host, and the port unless it is the scheme's default."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def target(self) -> str:
        """The target in the request line: the path and the query."""
        return (self.path or "/") if self.query is None else f"{self.path or '/'}?{self.query}"

    def join(self, reference: str) -> Url:
        """Return the URL that a redirect from here to ``reference`` leads to; raises ``UrlRefusedError``."""
        _check(reference)
        if _SCHEME.match(reference):  # urljoin would read "http:a" as relative
            return Url.parse(reference)
        if reference.startswith("//"):
            return Url.parse(f"{self.scheme}:{reference}")
        return Url.parse(urljoin(str(self), reference.replace(" ", "%20")))

    def with_params(self, params: Mapping[str, str]) -> Url:
        """Return the URL with ``params``, which replace those of the same names; encodes the whole query anew."""
        merged = {**parse_qs(self.query or "", keep_blank_values=True), **params}
        return replace(self, query=urlencode(merged, doseq=True) if merged else None)

    def is_under(self, hosts: frozenset[str]) -> bool:
        """Return whether the host is one of ``hosts`` or a subdomain of one."""
        labels = self.host.split(".")
        return any(".".join(labels[start:]) in hosts for start in range(len(labels)))


def origin(url: str) -> str:
    """Return the origin of ``url`` in lower case, with IDNA and without a default port; raises ``UrlRefusedError``."""
    return Url.parse(url).origin


def parse_origins(texts: Iterable[str]) -> frozenset[str]:
    """Return origins as ``origin`` writes them; raises ``BadInputError`` for a text that is not an origin."""
    return frozenset(map(_parse_origin, texts))


def _parse_origin(text: str) -> str:
    try:
        url = Url.parse(text)
    except UrlRefusedError as error:
        raise BadInputError(f"trusted origin {text!r} is not a URL") from error
    if url.path not in ("", "/") or url.query or url.fragment:
        raise BadInputError(f"trusted origin {text!r} is not of the form http://host:port")
    return url.origin


def refusal(reason: str) -> UrlRefusedError:
    """Return the error of a URL that is refused; to be raised."""
    return UrlRefusedError(f"refused before connecting: {reason}")


def _check(text: str) -> None:
    if _REFUSED.search(text):
        raise refusal("the URL holds a control character or a backslash")


def _host(literal: str | None, name: str) -> str:
    try:
        if literal is not None:
            IPv6Address(literal)
            return literal.lower()
        host = name.lower() if name.isascii() else idna.encode(name.lower()).decode("ascii")
        if _NUMBERS.fullmatch(host):
            IPv4Address(host)  # some resolvers read "127.1" and "0177.0.0.1" as addresses
        if _HOST_NAME.fullmatch(host):
            return host
    except ValueError:
        pass
    raise refusal("the URL has no valid host")


def _without_dots(path: str) -> str:
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            if kept != [""]:
                kept.pop()
        elif segment != ".":
            kept.append(segment)
    return "/".join(kept)


def _quote(text: str, unsafe: re.Pattern[str]) -> str:
    return unsafe.sub(lambda match: quote(match[0], safe=""), text)
