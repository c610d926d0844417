"""The route of static files; ``layerscope.app.assets`` says what they are."""

from __future__ import annotations

import anyio.to_thread
from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from layerscope.app.assets import DIGEST, accepted_encoding, matches
from layerscope.app.templating import assets

__all__ = ["router"]

router = APIRouter(include_in_schema=False)


@router.get("/static/{path:path}", name="static")
async def static(request: Request, path: str) -> Response:
    """One static file; kept for a year under its content's digest, asked for again otherwise."""
    digest, _, rest = path.partition("/")
    hashed = DIGEST.fullmatch(digest) is not None
    if hashed:
        path = rest
    encoding = accepted_encoding(request.headers.get("accept-encoding", ""))
    # Reading and compressing a file would hold up every other request on the event loop.
    asset = await anyio.to_thread.run_sync(assets.read, path, encoding)
    if asset is None:
        raise HTTPException(404)
    kept = hashed and await anyio.to_thread.run_sync(assets.is_current, digest, path)
    headers = {
        "Cache-Control": "public, max-age=31536000, immutable" if kept else "no-cache",
        "ETag": asset.etag,
        "Vary": "Accept-Encoding",
    }
    if matches(request.headers.get("if-none-match"), asset.etag):
        return Response(status_code=304, headers=headers)
    if asset.encoding:
        headers["Content-Encoding"] = asset.encoding
    return Response(asset.body, headers=headers, media_type=asset.media_type)
