"""How a page is written: the shared frame around a template, and its data as one dataclass."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

from layerscope.app.errors import RETRY_SECONDS
from layerscope.app.slices import sliced
from layerscope.app.templating import root_path, templates

__all__ = [
    "FLUSH", "SEND", "Page", "address", "context", "environment", "flushed", "in_part", "render",
    "render_either", "render_shared", "shared", "stream",
]  # fmt: skip

FLUSH = "\0"
"""Where the page so far should reach the browser: a character that no page may contain."""
SEND = "\0\0"
"""Where it must, however little time has passed."""
FRAME_SECONDS = 0.016


@dataclass(frozen=True)
class Page:
    """A page in the navigation, under the heading ``section``; ``of_experiment``: its address takes
    an experiment, which links to it carry on (``static/js/carry.js``)."""

    path: str
    title: str
    section: str
    router: APIRouter
    of_experiment: bool = False


@dataclass(frozen=True, slots=True)
class _Link:
    path: str
    title: str
    of_experiment: bool = False


environment = templates.env.overlay(enable_async=True)
"""The same templates, written while they wait: an async iterator in a ``for`` is followed."""


def address(request: Request, name: str, query: str = "", **parts: str) -> str:
    """The path of the route called ``name``, with a query; ``parts`` are the path's parameters."""
    known: dict[str, str] = request.app.state.addresses
    found = None if parts else known.get(name)
    if found is None:
        found = str(request.app.url_path_for(name, **parts))
        if not parts:
            known[name] = found  # a page names a dozen, and looking for one takes a millisecond
    path = root_path.get() + found
    return f"{path}?{query}" if query else path


def context(request: Request, page: object) -> dict[str, Any]:
    """What every template receives: ``page`` and what the frame needs."""
    root = root_path.get()
    path = request.url.path.removeprefix(root)
    navigation: list[Page] = request.app.state.navigation
    section = next((p.section for p in navigation if f"{path}/".startswith(f"{p.path}/")), "")
    first: dict[str, Page] = {}
    for each in navigation:
        first.setdefault(each.section, each)
    inside = [
        _Link(root + p.path, p.title, p.of_experiment) for p in navigation if p.section == section
    ]
    return {
        "page": page,
        "address": partial(address, request),
        "nav": [_Link(root + p.path, title, p.of_experiment) for title, p in first.items()],
        "here": {"path": root + path, "section": section, "pages": inside},
        "csp_nonce": request.state.csp_nonce,
    }


async def render(request: Request, template: str, page: object, status: int = 200) -> HTMLResponse:
    """The page at once, for pages that have nothing to wait for."""
    pieces = sliced(environment.get_template(template).generate_async(context(request, page)))
    html = "".join([piece async for piece in pieces])
    headers = {"Cache-Control": "private, no-cache"}
    if status == 503:
        headers["Retry-After"] = str(RETRY_SECONDS)
    return HTMLResponse(html, status_code=status, headers=headers)


def in_part(request: Request) -> bool:
    """Whether htmx asks, which puts a part into a page that is there."""
    return request.headers.get("hx-request") == "true"


def shared(request: Request) -> dict[str, str]:
    """Headers of an address at which htmx gets a part of what a browser gets: whoever goes back,
    and a cache, must find neither in the other's place."""
    kept = "no-store" if in_part(request) else "private, no-cache"
    return {"Cache-Control": kept, "Vary": "HX-Request"}


async def render_either(
    request: Request, whole: str, part: str, page: object, status: int = 200
) -> HTMLResponse:
    """The page by its template ``whole``, to htmx by ``part``."""
    return await render_shared(request, part if in_part(request) else whole, page, status)


async def render_shared(
    request: Request, template: str, page: object, status: int = 200
) -> HTMLResponse:
    """The page by ``template``, of an address at which htmx gets another than a browser."""
    answer = await render(request, template, page, status)
    answer.headers.update(shared(request))
    return answer


def stream(request: Request, template: str, page: object) -> AsyncIterator[str]:
    """The page in pieces, as its parts become known."""
    return sliced(environment.get_template(template).generate_async(context(request, page)))


async def flushed(pieces: AsyncIterator[str]) -> AsyncIterator[bytes]:
    """A template's pieces, sent wherever it says ``SEND``, and once a frame where ``FLUSH``."""
    gathered: list[str] = []
    loop = asyncio.get_running_loop()
    last = 0.0
    async for piece in pieces:
        if piece not in (FLUSH, SEND):
            gathered.append(piece)
        elif gathered and (piece == SEND or loop.time() - last > FRAME_SECONDS):
            last = loop.time()
            yield "".join(gathered).encode()
            gathered.clear()
    yield "".join(gathered).encode()
