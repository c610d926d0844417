"""A form as a browser posts it."""

from __future__ import annotations

from urllib.parse import parse_qsl

from fastapi import Request

from layerscope.app.errors import refused

__all__ = ["posted"]

MOST_FIELDS = 100


async def posted(request: Request) -> list[tuple[str, str]]:
    """The fields of a form in the request's body, in order.

    Errors: ``Problem`` 422 for a body that is none, 413 for one over the limit.
    """
    try:
        body = (await request.body()).decode()
        return parse_qsl(body, keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        raise refused("body", f"expected a form of at most {MOST_FIELDS} fields") from None
