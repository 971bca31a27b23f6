"""Reads an HTML page as a browser would, for tests of what its elements are."""

from __future__ import annotations

from html.parser import HTMLParser

#: An element's name and its attributes.
Element = tuple[str, dict[str, str | None]]


class Page(HTMLParser):
    """The elements of a page in order, its texts, and what tests ask of it."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self.texts: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._silent += tag in ("style", "script")

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in ("style", "script")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.texts)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of all elements of this name."""
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def headings(self) -> list[int]:
        return [int(name[1]) for name, _ in self.elements if name in ("h1", "h2", "h3", "h4", "h5", "h6")]

    @property
    def ids(self) -> list[str]:
        return [found for _, attributes in self.elements if (found := attributes.get("id"))]

    @property
    def targets(self) -> list[str]:
        return [attributes.get("href") or "" for attributes in self.of("a")]

    @property
    def tables(self) -> int:
        return len(self.of("table"))

    @property
    def captions(self) -> int:
        return len(self.of("caption"))

    @property
    def heads_without_scope(self) -> int:
        return sum("scope" not in attributes for attributes in self.of("th"))


def read_page(text: str) -> Page:
    page = Page()
    page.feed(text)
    page.close()
    return page
