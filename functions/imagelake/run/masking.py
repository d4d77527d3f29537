"""Masking: credentials in URLs become ``REDACTED`` in everything that people read and in everything that is kept."""

from __future__ import annotations

import re
from typing import Any

REDACTED = "REDACTED"
# A URL's user name and password, up to the last @ before its path; before it, perhaps the network of a feed's name.
# Bounded, so that a hostile page is read in linear time.
_USER = re.compile(
    r"""(?:\b([a-z][a-z0-9_]{0,31}):)?(https?:(?:\\?/){2}|https?(?::|%3[aA])(?:%2[fF]){2})"""
    r"""((?:(?!https?[:%])[^/?#\s"'<>\\]){1,512})(@|%40)""",
    re.IGNORECASE | re.ASCII,
)
# A password with an unescaped slash, such as in user:pa/ss@host. A port is not a password.
_USER_WITH_SLASH = re.compile(r"""(://)(?!\[)[^/?#\s"'<>\\:@]{1,256}:(?![0-9]{0,5}[/?#@])[^\s"'<>\\]{0,512}@""")
# Query parameters that are named like a credential. A value holds no backslash, so JSON stays JSON.
_PARAMETER = re.compile(
    r"""([?&;]|\\u0026|%3[fF]|%26)("""
    r"""(?:[\w.-]{0,40}(?:token|secret|passw(?:or)?d|pwd|api[_-]?key|signature|credential|proof)|auth|key|sig|jwt|sid)"""
    r"""(?:=|%3[dD]))[^&\s"'<>\\#;]{1,8192}""",
    re.IGNORECASE,
)
# In a feed's definition a password can have any character, because nothing follows the URL. A port is not a password.
_USER_OF_RSS = re.compile(r"^(rss:(?:[a-z]+:)?(?://|\\\\)?)[^/?#]*@", re.IGNORECASE)
_USER_OF_FEED = re.compile(r"(//|\\\\)(?!\[)[^/?#@:]{0,256}:(?![0-9]{1,5}(?:[/?#@]|$))[^@]*@")
_USER_OF_ACCOUNT = re.compile(r"^[^/?#@:]{0,256}:(?![0-9]{1,5}@|//)[^@]*@")
_HOST = re.compile(r"(?:[\w.-]+|\[[0-9a-fA-F:.]+\])(?::[0-9]{0,5})?")
_ACCOUNT = re.compile(r"[^#@/\s\"'\\]++(?![#@/])")
# A user name and password before a host name, in a feed's short form: mastodon:user:password@server.example#cats
_USER_OF_SERVER = re.compile(r"([a-z][a-z0-9_]*:)[^@\s/:]+:(?![0-9]{1,5}@|//)\S*@")


def mask(text: str) -> str:
    """Replace user names, passwords and tokens in the URLs of a message by ``REDACTED``."""
    text = mask_users(text)
    text = _USER_WITH_SLASH.sub(rf"\1{REDACTED}@", text)
    return _PARAMETER.sub(rf"\1\2{REDACTED}", text)


def mask_users(text: str) -> str:
    """Replace only user names and passwords in URLs, which no request of ours may have anyway."""
    if "@" not in text and "%40" not in text:
        return text
    return _USER.sub(_masked_user, text)


def mask_users_in_bytes(data: bytes) -> bytes:
    """Do the same in a page or a record of any encoding; JSON stays JSON."""
    if b"@" not in data and b"%40" not in data:
        return data
    # Each byte is one character of Latin-1, and the pattern matches only ASCII around what it replaces.
    return mask_users(data.decode("latin-1")).encode("latin-1")


def mask_feed(config: Any) -> Any:
    """Replace user names and passwords in a feed's definition; such a feed is refused later, without showing them."""
    if isinstance(config, str):
        for pattern in (_USER_OF_RSS, _USER_OF_FEED, _USER_OF_SERVER):
            config = pattern.sub(rf"\1{REDACTED}@", config)
        return mask_users(config)
    if isinstance(config, dict):
        masked = {name: mask_feed(value) for name, value in config.items()}
        account = masked.get("account")
        if isinstance(account, str):
            masked["account"] = _USER_OF_ACCOUNT.sub(f"{REDACTED}@", account)
        server = masked.get("server")
        if isinstance(server, str) and "@" in server and "://" not in server:
            masked["server"] = f"{REDACTED}@{server.rpartition('@')[2]}"
        return masked
    return [mask_feed(value) for value in config] if isinstance(config, list) else config


def _masked_user(match: re.Match[str]) -> str:
    network, scheme, user, at = match.groups()
    before = f"{network}:{scheme}" if network else scheme
    # Networks with many servers have feeds such as mastodon:https://server.example@alice: this @ follows a server.
    if network and network != "rss" and _ACCOUNT.match(match.string, match.end()):
        hidden, _, server = user.rpartition("@")
        if _HOST.fullmatch(server):
            return f"{before}{REDACTED}@{server}{at}" if hidden else match[0]
    return f"{before}{REDACTED}{at}"
