"""Entity tags of deterministic answers: the same specification and version, the same tag."""

from __future__ import annotations

import hashlib
import importlib.metadata
from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from layerscope.engine.basis.build import engine_build, sources

__all__ = ["build", "cached", "etag", "matches", "unchanged", "version"]


@cache
def version() -> str:
    """The installed package's version; ``0`` in a checkout that was never installed."""
    try:
        return importlib.metadata.version("layerscope")
    except importlib.metadata.PackageNotFoundError:
        return "0"


@cache
def build() -> str:
    """A digest of everything a number depends on: the sources, their version and torch's.

    Over the sources themselves, because a checkout changes without its version.
    """
    own = sources(Path(__file__).resolve().parent)
    return hashlib.sha256(f"{version()} {engine_build()}".encode() + own).hexdigest()


def etag(*parts: object) -> str:
    """A weak entity tag over ``parts``: weak because timings differ where numbers do not.

    >>> etag("result", {"depth": "3"}) == etag("result", {"depth": "3"})
    True
    """
    digest = hashlib.sha256(repr((build(), parts)).encode()).hexdigest()[:24]
    return f'W/"{digest}"'


def cached(request: Request, tag: str) -> dict[str, str]:
    """The headers of an answer that may be reused for a while, then asked for by its tag."""
    seconds = request.app.state.settings.cache_seconds
    return {"ETag": tag, "Cache-Control": f"public, max-age={seconds}"}


def unchanged(request: Request, tag: str) -> Response | None:
    """The 304 for a client that already has this very answer, otherwise ``None``."""
    if not matches(request.headers.get("if-none-match"), tag):
        return None
    return Response(status_code=304, headers=cached(request, tag))


def matches(if_none_match: str | None, etag: str) -> bool:
    """Whether an ``If-None-Match`` header names ``etag``, by RFC 9110's weak comparison.

    >>> matches('"a", W/"b"', '"b"'), matches("*", '"b"'), matches(None, '"b"')
    (True, True, False)
    """
    if if_none_match is None:
        return False
    named = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in named or etag.removeprefix("W/") in named
