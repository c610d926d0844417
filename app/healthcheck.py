"""``python -m layerscope.app.healthcheck``: 0 when the server here can serve, else 1.

For a container's health check, whose first process is the server: it asks the port that this
process was told on its command line, else that of ``LAYERSCOPE_PORT``. Loads nothing but the
standard library, so that it takes milliseconds.
"""

from __future__ import annotations

import http.client
import os
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["address", "healthy", "main"]

TIMEOUT_SECONDS = 4
FIRST_PROCESS = Path("/proc/1/cmdline")


def address(arguments: Sequence[str], environment: Mapping[str, str]) -> str:
    """Where ``layerscope serve`` listens that was started with these.

    >>> address(["layerscope", "serve", "--host=::", "--port", "9000"], {"LAYERSCOPE_PORT": "1"})
    'http://[::1]:9000'
    """

    def told(name: str, default: str) -> str:
        found = environment.get(f"LAYERSCOPE_{name.upper()}", default)
        for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
            flag, _, value = argument.partition("=")
            if flag == f"--{name}":
                found = value or following
        return found

    host = told("host", "127.0.0.1").strip("[]")
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://{f'[{host}]' if ':' in host else host}:{told('port', '8000')}"


def healthy(server: str) -> bool:
    """Whether ``/healthz`` at the address of ``server`` answers 200."""
    try:
        # No proxy of the environment.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{server}/healthz", timeout=TIMEOUT_SECONDS) as answer:
            return bool(answer.status == 200)
    except (OSError, http.client.HTTPException):  # URLError is an OSError
        return False


def main() -> int:
    """The program."""
    try:
        arguments = FIRST_PROCESS.read_bytes().decode(errors="replace").split("\0")
    except OSError:
        arguments = []
    return 0 if healthy(address(arguments, os.environ)) else 1


if __name__ == "__main__":
    sys.exit(main())
