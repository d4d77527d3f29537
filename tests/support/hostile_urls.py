"""URLs that nothing may connect to: private IP addresses in every spelling, and URLs that parsers read differently."""

from __future__ import annotations

# IP addresses as hosts, in the spellings that resolvers and URL parsers know.
LITERALS = [
    "0.0.0.0", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.1.2.3", "168.63.129.16",
    "169.254.169.254", "169.254.170.2",
    "172.16.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.1",
    "203.0.113.1", "224.0.0.1",
    "240.0.0.1", "255.255.255.255", "0x7f.1", "0x7f000001", "0x7f.0x0.0x0.0x1", "0X7F.1", "2130706433", "127.1",
    "127.0.1", "0177.0.0.1",
    "017700000001", "0251.0376.0251.0376", "0xa9fea9fe", "2852039166", "169.254.43518", "0", "0x0", "127.0.0.1.",
    "127.0.0.1..",
    "\uff11\uff12\uff17.0.0.1", "127\u30020\u30020\u30021", "127\uff0e0\uff0e0\uff0e1", "127\uff610\uff610\uff611",
    "\u2460\u2461\u2466.0.0.1",
    "localhost", "LOCALHOST", "localhost.", "loc\u00adalhost", "\u24db\u24de\u24d2alhost", "%6c%6f%63alhost",
    "127.0.0.1%00", "127.0.0.1%2f",
    "[::]", "[::1]", "[0:0:0:0:0:0:0:1]", "[::127.0.0.1]", "[::169.254.169.254]", "[::ffff:127.0.0.1]",
    "[::ffff:169.254.169.254]",
    "[::ffff:8.8.8.8]", "[::ffff:a9fe:a9fe]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b:1::a9fe:a9fe]", "[100::1]",
    "[2001::a9fe:a9fe]",
    "[2001:db8::1]", "[2002:a9fe:a9fe::1]", "[3fff::1]", "[5f00::1]", "[fc00::1]", "[fd00:ec2::254]", "[fe80::1]",
    "[fe80::1%25eth0]",
    "[fe80::1%eth0]", "[2a00::1%25lo]", "[2a00::5efe:7f00:1]", "[ff02::1]", "[fec0::1]", "[::1", "::1",
    "[127.0.0.1]", "[v1.x]", "[]", "",
]  # fmt: skip


URLS = [
    # schemes
    "ftp://example.com/a.jpg", "file:///etc/passwd", "gopher://example.com:70/_", "data:image/png;base64,AAAA",
    "javascript:alert(1)",
    "dict://example.com:11211/", "ws://example.com/", "unix:///var/run/docker.sock",
    "http+unix://%2Fvar%2Frun%2Fdocker.sock/", "jar:http://example.com/",
    "//example.com/a.jpg", "/a.jpg", "a.jpg", "example.com/a.jpg", "http:example.com", "http:/example.com",
    "http:///a.jpg", "http://", "", " ",
    " http://example.com/", "h\u0442tp://example.com/", "https:\u2215\u2215example.com/",
    # ports
    "http://example.com:8080/", "http://example.com:22/", "https://example.com:8443/", "http://example.com:0/",
    "http://example.com:65536/",
    "http://example.com:-1/", "http://example.com:99999999999/", "http://example.com:80:80/",
    "http://example.com:http/", "https://example.com:6379/",
    # user names and the confusion of parsers
    "http://user@example.com/", "http://user:word@example.com/", "http://@example.com/", "http://:@example.com/",
    "http://a@b", "http://a@b@example.com/",
    "http://example.com@169.254.169.254/", "http://169.254.169.254\\@example.com/",
    "http://example.com\\@169.254.169.254/", "http:\\\\example.com/",
    "http://example.com\\.evil.test/", "http://example.com%40evil.test/",
    "http://example.com&@evil.test#@169.254.169.254/",
    "http://foo@127.0.0.1:80@example.com/", "http://foo@127.0.0.1 @example.com/",
    "http://127.0.0.1:80\\@@example.com:80/", "http:// @example.com/",
    # control characters
    "http://example.com/\r\nHost: evil", "http://example.com\r\n/", "http://exam\nple.com/",
    "http://example.com/\x00", "http://example.com/\t",
    "http://example.com\x7f/", "http://example\u2028.com/", "http://exa mple.com/", "http://example.com/\ud800",
    # names that are none
    "http://example..com/", "http://.example.com/", "http://example.com./", "http://ex*mple.com/",
    "http://exa%6dple.com/", "http://example.com%20/",
    "http://exa'mple.com/", "http://example.com;evil/", "http://example.com,evil/", f"http://{'a' * 64}.com/",
    f"http://{'a.' * 127}com/",
    "http://\u202e/", "http://xn--\u00e4.com/", "http://$(id).com/", "http://\u2100.com/", "http://\ufdd0.com/",
]  # fmt: skip

# Targets of an attacker: the machine itself, the private network, the metadata services of the clouds.
V4 = ["127.0.0.1", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.100.100.200",
      "168.63.129.16", "192.0.0.192", "100.64.0.1", "198.18.0.1", "224.0.0.1", "255.255.255.255"]  # fmt: skip
# The forms in which IPv6 carries IPv4, each around the metadata service, loopback and a private IP address.
_FORMS = [
    "::{0}", "::ffff:{0}", "::ffff:0:{0}", "64:ff9b::{0}", "64:ff9b:1::{0}", "2002:{1}::1", "2001:0:{1}::1",
    "2001:0:4136:e378:8000:63bf:{2}", "2a00::5efe:{0}", "2a00::200:5efe:{0}", "fe80::5efe:{0}",
]  # fmt: skip


def _halves(address: str, flip: int) -> str:
    one, two, three, four = (int(part) ^ flip for part in address.split("."))
    return f"{one << 8 | two:x}:{three << 8 | four:x}"


V6 = [
    form.format(address, _halves(address, 0), _halves(address, 255))  # Teredo has the IP address of its client inverted
    for form in _FORMS
    for address in ("169.254.169.254", "127.0.0.1", "10.0.0.1")
] + ["::", "::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1", "5f00::1", "3fff::1", "2001:db8::1", "100::1"]
ADDRESSES = V4 + V6

# More spellings of the same targets.
HOSTS = [
    "0x7f.0.0.1", "0x7f.0x1", "0x7F000001", "0x0000007f.1", "00000177.1", "0177.1", "127.0x0.0.01", "127.000.000.001",
    "0300.0250.0.1", "0xc0a80001", "3232235521", "0x0a.1", "012.1", "10.1", "167772161", "192.168.1", "172.1048577",
    "0251.254.169.254", "0xa9.0xfe.0xa9.0xfe", "0xa9.254.43518", "025177524776", "169.16689662", "4294967295",
    "00000000000", "0.0", "127.0.0.1...", "127.1.", "0x7f.1.", "2130706433.", "%31%32%37.0.0.1", "127%2e0%2e0%2e1",
    "%30x7f.1", "127.0.0.1%23", "127.0.0.1%2523", "127.0.0.1%3f", "127.0.0.1%0d%0a", "127.0.0.1%09",
    "\uff10\uff580\uff577\uff46.1", "\uff12\uff11\uff13\uff10\uff17\uff10\uff16\uff14\uff13\uff13",
    "\u2474.0.0.1", "\U0001d7cf\U0001d7d0\U0001d7d5.0.0.1", "\u00b9\u00b2\u2077.0.0.1",
    "169\u3002254\u3002169\u3002254",
    "l\u2070calhost", "loca\u200blhost", "lo\u00adcalhost.", "LocalHost.", "%4cocalhost", "[::ffff:7f00:1%25]",
    "[::ffff:127.0.0.1%25eth0]", "[0000:0000:0000:0000:0000:ffff:a9fe:a9fe]", "[::FFFF:A9FE:A9FE]", "[::1%00]",
    "[::1].example.com", "[::1]example.com", "[[::1]]", "[::1", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1",
]  # fmt: skip
CONFUSED = [
    # one parser's host is another's user name, path or fragment
    "http://media.example#@127.0.0.1/", "http://media.example?@127.0.0.1/", "http://media.example;@127.0.0.1/",
    "http://127.0.0.1#@media.example/", "http://127.0.0.1?@media.example/", "http://127.0.0.1/@media.example/",
    "http://media.example%2f@127.0.0.1/", "http://media.example%5c@127.0.0.1/", "http://media.example:80@127.0.0.1/",
    "http://media.example\\\\127.0.0.1/", "http:/\\127.0.0.1/", "http:\\/127.0.0.1/", "/\\127.0.0.1/",
    "\\\\127.0.0.1\\share", "http:127.0.0.1/", "http:///127.0.0.1/", "http:////127.0.0.1/", "http;//127.0.0.1/",
    "http://127.0.0.1:80:443/", "http://127.0.0.1:+80/", "http://127.0.0.1:\uff18\uff10/", "http://127.0.0.1:080/",
    "http://127.0.0.1:80/", "https://127.0.0.1:443/", "http://127.0.0.1:443/", "http://media.example:80@/",
    # ports and schemes
    "http://media.example:21/", "http://media.example:25/", "http://media.example:6379/", "http://media.example:9200/",
    "http://media.example:2375/", "https://media.example:4430/", "http://media.example:80000/",
    "ldap://127.0.0.1/", "ssh://127.0.0.1/", "tftp://127.0.0.1/", "netdoc:///etc/passwd", "file://127.0.0.1/etc/passwd",
    "FILE:///etc/passwd", "view-source:http://127.0.0.1/", "blob:http://127.0.0.1/a", "about:blank", "s3://bucket/key",
    "httpx://media.example/", "http+unix://socket/", "http\u00ad://127.0.0.1/", "\x00http://127.0.0.1/",
    # one request that is two: line ends in every place
    "http://media.example/\r\n\r\nGET /latest HTTP/1.1\r\nHost: 169.254.169.254", "http://media.example/a\nX: y",
    "http://media.example\r\nX: y/", "http://media.example:80\r\nX: y/", "http://media.example/?a=\r\nX: y",
    "http://media.example/#\r\nX: y", "\r\nhttp://media.example/", "http://media.example/\u0085X: y",
    "http://media.example/\u2028X: y", "http\r\n://media.example/",
]  # fmt: skip
DIRECT = sorted(
    {f"http://{f'[{address}]' if ':' in address else address}/a.jpg" for address in ADDRESSES}
    | {f"{scheme}://{host}/a.jpg" for host in {*HOSTS, *LITERALS} for scheme in ("http", "https")}
    | {*CONFUSED, *URLS}
)
