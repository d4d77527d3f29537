"""Masking: credentials in URLs become ``REDACTED`` in everything that people read and in everything that is kept."""

from __future__ import annotations

import re
from typing import Any
from unicodedata import normalize
from urllib.parse import unquote

REDACTED = "REDACTED"
_ENTITIES = {
    "&": "amp", "<": "lt", ">": "gt", '"': "quot", "@": "commat", ":": "colon", "/": "sol", "?": "quest",
}  # fmt: skip


def spellings(character: str) -> str:
    """Return a pattern for the ways to write a character in a URL, in JSON or in HTML, escaped up to three times.

    Every repetition is bounded: otherwise a post of backslashes alone would take minutes.
    """
    code = ord(character)
    ways = [
        re.escape(character) + ("{1,32}" if character == "\\" else ""),
        rf"%(?:25){{0,2}}(?i:{code:02x})",
        rf"\\{{1,7}}u00(?i:{code:02x})",
        rf"&#(?:0{{0,4}}{code}|[xX]0{{0,4}}(?i:{code:x}));",
    ]
    if character in '/"':
        ways.append(rf"\\{{1,7}}{re.escape(character)}")
    if character in _ENTITIES:
        ways.append(f"&{_ENTITIES[character]};")
    if character == " ":
        ways.append(r"\+")
    elif not character.isalnum():
        # The form of full width, which some programs read as the character itself.
        ways.append(chr(code + 0xFEE0))
    return f"(?:{'|'.join(ways)})"


_AT, _COLON = spellings("@"), spellings(":")
# Browsers read a backslash as a slash.
_SLASH = rf"(?:{spellings('/')}|\\(?!u00))"
_END = rf"{_SLASH}|{spellings('?')}"
# Characters of a user name and a password; a number sign is one only in a character reference of HTML.
_PLAIN = r"""[^\s"'<>/\\%&?#／？]*"""
_INFO = rf"{_PLAIN}(?:(?!{_END})(?:&\#|[\\%&]){_PLAIN}){{0,256}}"
# The part of any URL up to its @, however its characters are escaped. It has no slash inside, so a hostile page is read
# in linear time.
_USER = re.compile(rf"(?<![/\\])(?=[:%&\\/／：])(?:({_COLON})|(?<!:))({_SLASH}{{2,}}+)({_INFO})({_AT})")
_HAS_AT = re.compile(_AT)
_HAS_COLON = re.compile(rf"(?!{_COLON}).*?{_COLON}.", re.DOTALL)
# Before a URL, read backwards: its scheme, and perhaps the network of a feed's name.
_SCHEME = re.compile(r"([a-z0-9+.-]{0,32})(?::([a-z0-9_]{0,31}[a-z])(?![a-z0-9_]))?", re.IGNORECASE | re.ASCII)
# Passwords with an unescaped slash: user:pa/ss@host, user:1/ss@host, user/ss@host. A port is not a password, and the
# name of a host has a dot.
_USER_WITH_SLASH = re.compile(
    r"""(:[/\\]{2,8}+)(?!\[|localhost[:/])(?:[^/?#\s"'<>\\:@]{1,256}:(?![0-9]{0,5}[/?#@])"""
    r"""(?:[^\s"'<>\\:]|:(?!/)){0,512}|"""
    r"""[^/?#\s"'<>\\:@.]{1,256}(?::[0-9]{0,5})?[/?#][^/?\s"'<>\\]{0,511}[^/?\s"'<>\\])@(?=[\w-]+[.:]|\[)"""
)
# Browsers also read https:/user:password@host and https:user:password@host.
_USER_WITHOUT_SLASHES = re.compile(
    r"""(\bhttps?:(?:\\{0,7}/)?)(?![/\\%&])[^\s"'<>/\\?#@]{1,256}+@(?=[\w-]+[.:/]|\[)""", re.IGNORECASE
)
# Separators in front of a parameter and the equals sign behind its name, plain, of full width, or escaped in JSON or in
# another URL. References of HTML end with a semicolon, which is a separator. An escaped equals sign separates, too:
# behind it is the text of an escaped parameter.
_ESCAPED = r"(?:%(?:25){0,3}|\\u00)(?:3[bdf]|2[36])"
_NAME = re.compile(
    rf"""(?:[?&;#？＆；＃]|{_ESCAPED})((?:[^\s"'<>\\/=＝?&;#？＆；＃%]|%(?!(?:25){{0,3}}(?:3[bdf]|2[36])))++)"""
    r"""(?=(=|＝|(?:%(?:25){0,3}|\\{1,7}u00)3d|&(?:\#61|\#x3d|equals);))""",
    re.IGNORECASE,
)
# A quote inside a word is part of a value. So is a semicolon, unless a space or another parameter follows.
_VALUE = re.compile(r"""(?:[^&\s"'<>\\#;]|'(?=\w)|;(?!\s|$|[^\s"'<>\\/=?&;#]++=))++""")
# A parameter is a credential if its name has one of these parts, or one of these words.
_SECRET_PARTS = re.compile(
    "token|secret|passw|passphrase|pwd|signature|credential|proof|bearer|(?:api|access|auth|private|user)key"
)
_SECRET_WORDS = frozenset({"auth", "authorization", "hmac", "jwt", "key", "pass", "pw", "session", "sid", "sig"})
# These are one only as the whole name: an OAuth code and a CloudFront policy, but not a country code.
_SECRET_NAMES = frozenset({"code", "policy"})
_WORD = re.compile("[A-Z]?[a-z]+|[A-Z]+")
# A whole URL: its scheme with slashes, the rest, and in the rest the end of the host.
_URL = re.compile(r"\s*((?:[a-z][a-z0-9+.-]*:)*[/\\]{2,8})(.*)", re.IGNORECASE | re.DOTALL)
_HOST_END = re.compile(rf"{_END}|(?<!&)#")
_PORT = re.compile(r"[0-9]{0,5}")
# In a feed's definition a password can have any character, because nothing follows the URL. A port is not a password.
_USER_OF_RSS = re.compile(r"^(rss:(?:[a-z]+:)?(?://|\\\\)?)[^/?#]*@", re.IGNORECASE)
_USER_OF_FEED = re.compile(r"(//|\\\\)(?!\[)[^/?#@:]{0,256}:(?![0-9]{1,5}(?:[/?#@]|$))[^@]*@")
_USER_OF_ACCOUNT = re.compile(r"^[^/?#@:]{0,256}:(?![0-9]{1,5}@|//)[^@]*@")
_HOST = re.compile(r"(?:localhost|[\w-]+(?:\.[\w-]+)+\.?|\[[0-9a-fA-F:.]+\])(?::[0-9]{0,5})?")
_HOST_START = re.compile(r"[\w-]+[.:]|\[")
_WORD_END = re.compile(r"[\w:]")
_ACCOUNT = re.compile(r"[^#@/\s\"'\\]++(?![#@/])")
# A user name and password before a host name, in a feed's short form: mastodon:user:password@server.example#cats
_USER_OF_SERVER = re.compile(r"([a-z][a-z0-9_]*:)[^@\s/:]+:(?![0-9]{1,5}@|//)\S*@")


def mask(text: str) -> str:
    """Replace user names, passwords and tokens in the URLs of a message by ``REDACTED``."""
    text = mask_users(text)
    parts, done, place = [], 0, 0
    while found := _NAME.search(text, place):
        place = found.end()
        value = _VALUE.match(text, found.end(2)) if _is_secret(found[1]) else None
        if value:
            parts += [text[done : value.start()], REDACTED]
            done = place = value.end()
    return "".join(parts) + text[done:]


def mask_users(text: str) -> str:
    """Replace only user names and passwords in URLs, which no request of ours may have anyway."""
    if not _HAS_AT.search(text):
        return text
    text = _USER_WITHOUT_SLASHES.sub(rf"\1{REDACTED}@", _USER.sub(_masked_user, text))
    return _USER_WITH_SLASH.sub(rf"\1{REDACTED}@", text)


def mask_users_in_bytes(data: bytes) -> bytes:
    """Do the same in a page or a record of any encoding; JSON stays JSON."""
    # Pages of UTF-16 begin with its mark. In all other encodings, the characters around what we replace are ASCII.
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    try:
        text = data.decode(encoding, "surrogateescape")
    except UnicodeDecodeError:
        encoding, text = "latin-1", data.decode("latin-1")
    masked = mask_users(text)
    return data if masked == text else masked.encode(encoding, "surrogateescape")


def mask_url(url: str) -> str:
    """Replace the user name and the password in a whole URL, which can have any character."""
    match = _URL.fullmatch(url)
    signs = list(_HAS_AT.finditer(match[2])) if match else []
    if match is None or not signs:
        return url
    rest = match[2]
    end = found.start() if (found := _HOST_END.search(rest)) else len(rest)
    in_host = [sign.start() for sign in signs if sign.start() < end]
    if in_host:
        return f"{match[1]}{REDACTED}{rest[in_host[-1] :]}"
    return match[1] + _USER_WITH_SLASH.sub(rf"\1{REDACTED}@", f"://{rest}")[3:]


def mask_feed(config: Any) -> Any:
    """Replace user names and passwords in a feed's definition; such a feed is refused later, without showing them."""
    if isinstance(config, str):
        for pattern in (_USER_OF_RSS, _USER_OF_FEED, _USER_OF_SERVER):
            config = pattern.sub(rf"\1{REDACTED}@", config)
        if config.lstrip()[:4].lower() == "rss:":
            network, _, url = config.partition(":")
            config = f"{network}:{mask_url(url)}"
        return mask_users(config)
    if isinstance(config, dict):
        return {mask(name): _mask_field(name, value) for name, value in config.items()}
    return [mask_feed(value) for value in config] if isinstance(config, list) else config


def _mask_field(name: str, value: Any) -> Any:
    if _is_secret(name):
        return REDACTED
    if not isinstance(value, str):
        return mask_feed(value)
    masked: str = mask_url(mask_feed(value))
    if name == "server" and "@" in masked and "://" not in masked:
        return f"{REDACTED}@{masked.rpartition('@')[2]}"
    return _USER_OF_ACCOUNT.sub(f"{REDACTED}@", masked)


def _is_secret(name: str) -> bool:
    """Return whether a parameter or a field is named like a credential."""
    name = normalize("NFKC", unquote(unquote(unquote(name))))
    letters = re.sub("[^a-z]", "", name.lower())
    return (
        letters in _SECRET_NAMES
        or bool(_SECRET_PARTS.search(letters))
        or not _SECRET_WORDS.isdisjoint(map(str.lower, _WORD.findall(name)))
    )


def _masked_user(match: re.Match[str]) -> str:
    colon, slashes, user, at = match.groups()
    if not user:
        return match[0]
    start = match.start()
    # Without a scheme, two slashes also begin a comment.
    if not colon and (_WORD_END.match(match.string, start - 1) or not _HOST_START.match(match.string, match.end())):
        return match[0]
    before = _SCHEME.match(match.string[max(0, start - 66) : start][::-1]) if colon else None
    scheme, network = before.groups("") if before else ("", "")
    # In other URLs than those of http, and in those without a scheme, a name alone is no secret.
    if scheme.lower() not in ("ptth", "sptth") and not _HAS_COLON.match(user):
        return match[0]
    # Networks with many servers have feeds such as mastodon:https://server.example@alice: this @ follows a server.
    if network and network.lower() != "ssr" and _ACCOUNT.match(match.string, match.end()):
        hidden, _, server = user.rpartition("@")
        if _HOST.fullmatch(server):
            return f"{colon}{slashes}{REDACTED}@{server}{at}" if hidden else match[0]
    return f"{colon or ''}{slashes}{REDACTED}{at}"
