"""Look for bytes that make the code for texts raise, or that it reads differently twice; ``make fuzz`` runs this.

    python tests/fuzz/fuzz_text.py [SECONDS] [FOLDER]

FOLDER and the way to repeat a crash are as in ``fuzz_process.py``.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

import atheris

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "functions"))

from tests.fuzz.fuzzer import fuzz  # noqa: E402 - must come after the paths

with atheris.instrument_imports(include=["imagelake.sources", "imagelake.web", "justhtml"]):
    from imagelake.sources.dates import moment
    from imagelake.sources.hashtags import hashtags, is_hashtag
    from imagelake.sources.plain_text import plain_text
    from imagelake.sources.xml_text import xml_text
    from imagelake.web.errors import UrlRefusedError
    from imagelake.web.urls import Url

_SEEDS = {
    "html": "First.<p title='x>y'>Second &amp;lt; <!-- x --><ul><li hidden>1<li>2</ul><br><script>a<b</script>",
    "tags": "#हिन्दी ＃猫 #cafe\u0301 https://example.org/page#photos &#39; #1a_b\u200cc",
    "rfc822": "Wed, 30 Sep 2026 08:28:28 PM GMT+01:00 (CEST)",
    "iso": "2026-09-30T11:00:00.123 Europe/Berlin",
    "xml": '<?xml version="1.0" encoding="ks_c_5601-1987"?><rss>&eacute;</rss>',
    "url": "https://straße.example:443/a/../b?c#d",
}


def check(data: bytes) -> None:
    """Read the bytes as each kind of text."""
    label, _, body = data.partition(b"\n")
    text = xml_text(body or data, f"text/xml; charset={label.decode('latin-1')}")
    assert xml_text(b"\xef\xbb\xbf" + text.encode()) == text
    shown = plain_text(text)
    assert shown == shown.strip(), shown
    shown.encode()
    for tag in hashtags(text):
        assert hashtags(f"#{tag}") == [tag], tag
        assert is_hashtag(tag[:100]), tag
    with suppress(ValueError):
        read = moment(text)
        assert moment(read.isoformat()) == read
    with suppress(UrlRefusedError):
        url = Url.parse(text)
        assert Url.parse(str(url)) == url


if __name__ == "__main__":
    fuzz(check, {name: text.encode() for name, text in _SEEDS.items()}, name="fuzz-text", max_bytes=4096)
