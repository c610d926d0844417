"""An application asked without a socket, for tests of what it answers to which header."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
from fastapi import FastAPI

__all__ = ["AppClient"]


class AppClient:
    """Asks ``app`` from ``address``; keeps cookies, follows nothing, raises what escapes."""

    def __init__(
        self, app: FastAPI, base_url: str = "http://localhost:8000", address: str = "127.0.0.1"
    ) -> None:
        self.app = app
        self.cookies = httpx.Cookies()
        self._base_url = base_url
        self._address = address

    def request(self, method: str, url: str | httpx.URL, **given: Any) -> httpx.Response:
        """One request in a loop of its own."""
        return asyncio.run(self._request(method, url, **given))

    async def _request(self, method: str, url: str | httpx.URL, **given: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, client=(self._address, 1))
        async with httpx.AsyncClient(
            transport=transport, base_url=self._base_url, cookies=self.cookies
        ) as client:
            answer = await client.request(method, url, **given)
            self.cookies = client.cookies
        return answer

    def get(self, url: str | httpx.URL, **given: Any) -> httpx.Response:
        """A ``GET``."""
        return self.request("GET", url, **given)

    def head(self, url: str, **given: Any) -> httpx.Response:
        """A ``HEAD``."""
        return self.request("HEAD", url, **given)

    def post(self, url: str, **given: Any) -> httpx.Response:
        """A ``POST``."""
        return self.request("POST", url, **given)

    def options(self, url: str, **given: Any) -> httpx.Response:
        """An ``OPTIONS``."""
        return self.request("OPTIONS", url, **given)
