"""The documentation of the API: Swagger UI from our own address, and what each problem means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

from layerscope.app.errors import KINDS
from layerscope.app.pages.render import Page, render
from layerscope.app.templating import root_path

__all__ = ["PAGE", "DocsPage"]

router = APIRouter(include_in_schema=False)
PAGE = Page("/docs", "API", "API", router)


@dataclass(frozen=True, slots=True)
class DocsPage:
    """What the template receives: the address of the description, and every problem's meaning."""

    openapi: str
    kinds: Mapping[str, str]


@router.get("/docs", name="docs", response_class=HTMLResponse)
async def docs(request: Request) -> HTMLResponse:
    """The API, to be read and tried."""
    page = DocsPage(root_path.get() + request.app.openapi_url, KINDS)
    return await render(request, "pages/docs.html", page)
