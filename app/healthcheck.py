"""``python -m layerscope.app.healthcheck``: 0 when the server here can serve, else 1.

For a container's health check; loads nothing but the standard library, so that it takes
milliseconds.
"""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request

__all__ = ["healthy"]

TIMEOUT_SECONDS = 4


def healthy(port: int) -> bool:
    """Whether ``/healthz`` answers 200 on this machine's ``port``."""
    try:
        # A literal address: no resolver, no proxy of the environment.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{port}/healthz", timeout=TIMEOUT_SECONDS) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


if __name__ == "__main__":
    sys.exit(0 if healthy(int(os.environ.get("LAYERSCOPE_PORT", "8000"))) else 1)
