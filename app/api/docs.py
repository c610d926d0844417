"""The documentation of the API: Swagger UI from our own address, and what each problem means."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

from layerscope.app.errors import KINDS
from layerscope.app.templating import root_path, templates

__all__ = ["router"]

router = APIRouter(include_in_schema=False)


@router.get("/docs", name="docs", response_class=HTMLResponse)
async def docs(request: Request) -> HTMLResponse:
    """The API, to be read and tried."""
    context = {"openapi_url": root_path.get() + request.app.openapi_url, "kinds": KINDS}
    return templates.TemplateResponse(request, "pages/docs.html", context)
