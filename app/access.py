"""Whose requests are answered: those of our own pages, of links, of programs, and with the token.

A page of another site may make a visitor's browser ask this server. Browsers say so
(``Sec-Fetch-Site``, ``Origin``); programs such as curl send neither.
"""

from __future__ import annotations

import hashlib
import hmac
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from layerscope.app.errors import Problem
from layerscope.app.security import PROBES, is_framed
from layerscope.app.templating import templates

__all__ = ["SameOrigin", "Token", "is_open"]

CHALLENGE = 'Bearer realm="layerscope"'


def is_open(scope: Scope) -> bool:
    """Whether this path tells nothing and costs nothing: health probes and static files."""
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    return path in PROBES or path.startswith("/static/")


class SameOrigin:
    """Refuses what another site's page asks for, unless it is one of ``allowed``.

    A link that a visitor follows is answered from anywhere; what a page fetches, posts, frames or
    embeds is not.

    Args:
        allowed: origins such as ``https://notes.example``; ``*`` for any.
        framed: whether other sites' pages may frame a run's; its policy says which.
    """

    def __init__(
        self, app: ASGIApp, allowed: tuple[str, ...] = (), *, framed: bool = False
    ) -> None:  # fmt: skip
        self.app = app
        self.framed = framed
        self.allowed = frozenset(origin.lower() for origin in allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or is_open(scope) or self._answered(scope):
            await self.app(scope, receive, send)
            return
        problem = Problem(
            403,
            "This request comes from a page of another site; LAYERSCOPE_ALLOWED_ORIGINS adds "
            "sites that may ask.",
            kind="origin",
            title="Another site's request",
        )
        await problem.response()(scope, receive, send)

    def _answered(self, scope: Scope) -> bool:
        headers = Headers(scope=scope)
        origin = headers.get("origin", "").lower()
        if origin and (origin in self.allowed or "*" in self.allowed):
            return True
        site = headers.get("sec-fetch-site")
        if site is None:  # an old browser, or a program
            return not origin or origin.partition("://")[2] == headers.get("host", "").lower()
        if site in ("same-origin", "none"):
            return True
        return (
            scope["method"] in ("GET", "HEAD")
            and headers.get("sec-fetch-mode") == "navigate"
            and self._shown(scope, headers.get("sec-fetch-dest", "document"))
        )

    def _shown(self, scope: Scope, where: str) -> bool:
        return where == "document" or (where == "iframe" and self.framed and is_framed(scope))


class Token:
    """Answers only who knows the token: as ``Authorization: Bearer``, or by a cookie.

    ``?token=…`` sets the cookie and leads to the same address without it, so that the token stays
    in no history and no log. The cookie's value is derived from the token, not the token.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app = app
        self._token = token.encode()
        self._proof = hmac.new(self._token, b"layerscope cookie", hashlib.sha256).hexdigest()
        # Cookies know no ports: servers side by side on one host need names of their own.
        self._cookie = "layerscope-" + hashlib.sha256(self._proof.encode()).hexdigest()[:8]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or is_open(scope) or self._known(Headers(scope=scope)):
            await self.app(scope, receive, send)
            return
        await self._answer(scope)(scope, receive, send)

    def _known(self, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._is_token(given.strip()):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(self._cookie)
        except CookieError:
            return False
        return cookie is not None and hmac.compare_digest(
            cookie.value.encode(), self._proof.encode()
        )

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self._token)

    def _answer(self, scope: Scope) -> Response:
        pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = [value for name, value in pairs if name == "token"]
        read = scope["method"] in ("GET", "HEAD")
        if read and len(given) == 1 and self._is_token(given[0]):
            rest = urlencode([pair for pair in pairs if pair[0] != "token"])
            # One slash: two would lead to another host.
            path = "/" + scope["raw_path"].decode("ascii", "replace").lstrip("/")
            response = RedirectResponse(f"{path}?{rest}" if rest else path, 303)
            response.headers["Cache-Control"] = "no-store"
            response.set_cookie(
                self._cookie,
                self._proof,
                path=scope.get("root_path") or "/",
                secure=scope["scheme"] == "https",
                httponly=True,
                samesite="lax",  # a link from elsewhere is followed with it
            )
            return response
        if read and "text/html" in Headers(scope=scope).get("accept", ""):
            page = templates.TemplateResponse(
                Request(scope), "pages/token.html", {"wrong": bool(given)}, 401
            )
            page.headers.update({"WWW-Authenticate": CHALLENGE, "Cache-Control": "no-store"})
            return page
        return Problem(
            401,
            "This server asks for its token, which it printed when it started: as "
            "`Authorization: Bearer …`, or once as `?token=…` in a browser.",
            kind="token",
            title="A token is needed",
            headers={"WWW-Authenticate": CHALLENGE},
        ).response()
