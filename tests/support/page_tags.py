"""Tags of a page, for tests of what a browser would see."""

from __future__ import annotations

from html.parser import HTMLParser


class Tags(HTMLParser):
    """Every tag and attribute of a page, as a browser sees them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def sources(self) -> list[str]:
        return [str(attrs["src"]) for tag, attrs in self.found if tag == "img"]

    def links(self) -> list[str]:
        return [str(attrs["href"]) for tag, attrs in self.found if tag == "a" and "href" in attrs]
