"""What a proxy in front says of the client, and the path below which it puts us."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from layerscope.app.compute import asking
from layerscope.app.templating import root_path

__all__ = ["Network", "Proxied"]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Proxied:
    """Takes ``X-Forwarded-For`` and ``-Proto`` from trusted proxies only, and adds the root path.

    Args:
        trusted: networks of the proxies; headers from any other client are ignored.
        prefix: ``/layerscope`` where the proxy serves us below that path, whether or not it
            strips it; every address that a page emits carries it.
    """

    def __init__(self, app: ASGIApp, trusted: Sequence[Network] = (), prefix: str = "") -> None:
        self.app = app
        self.trusted = tuple(trusted)
        self.prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = self._seen(scope)
            asking.set((scope.get("client") or ("",))[0])
        await self.app(scope, receive, send)

    def _seen(self, scope: Scope) -> Scope:
        root_path.set(self.prefix)
        path: str = scope["path"]
        if self.prefix and not path.startswith(f"{self.prefix}/"):
            raw = scope.get("raw_path") or path.encode()
            scope = {
                **scope, "path": self.prefix + path, "raw_path": self.prefix.encode() + raw
            }  # fmt: skip
        scope = {**scope, "root_path": self.prefix}
        client = scope.get("client")
        if client is None or not self._trusts(_address(client[0])):
            return scope
        headers = Headers(scope=scope)
        chain = [_address(each) for each in ",".join(headers.getlist("x-forwarded-for")).split(",")]
        behind: Address | None = None
        for each in reversed(chain):  # every proxy appends: the last are the most trustworthy
            if each is None:
                break
            behind = each
            if not self._trusts(each):
                break
        if behind is not None:
            scope["client"] = (str(behind), 0)
        if (scheme := headers.get("x-forwarded-proto", "").strip().lower()) in ("http", "https"):
            scope["scheme"] = scheme
        return scope

    def _trusts(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self.trusted)


def _address(text: str) -> Address | None:
    """An address, perhaps with brackets and a port; None for everything else."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
