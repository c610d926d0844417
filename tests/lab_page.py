"""The Lab as HTML: asked for, and its elements."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import httpx

__all__ = ["Elements", "fetch"]


def fetch(server: Any, query: str = "") -> httpx.Response:
    answer: httpx.Response = server.client.get(f"/?{query}")
    return answer


class Elements(HTMLParser):
    """Every start tag with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
