"""How ``layerscope serve`` listens: the socket first, then one process or several behind it."""

from __future__ import annotations

import contextlib
import resource
import socket
from functools import partial

import uvicorn
from starlette.types import ASGIApp
from uvicorn.supervisors import Multiprocess

from layerscope.app.connections import protocol
from layerscope.app.logs import configure
from layerscope.app.settings import Settings
from layerscope.app.workers.forking import ForkServer

__all__ = ["CannotListen", "address", "configuration", "listen", "serve"]

MOST_FILES = 65536
START_SECONDS = 120
"""How long a web process may load before the one above it takes it for dead."""


class CannotListen(Exception):
    """The address can't be listened on; the message says which and why."""


def listen(settings: Settings) -> socket.socket:
    """The bound socket; before anything that takes time, so that a taken port is said at once.

    Errors: ``CannotListen``.
    """
    host = settings.host or "0.0.0.0"  # noqa: S104 - what an empty host has always meant
    place = f"{f'[{host}]' if ':' in host else host}:{settings.port}"
    try:
        family, kind, _, _, where = socket.getaddrinfo(
            host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind)
    except OSError as error:
        raise CannotListen(f"Cannot listen on {place}: {error.strerror}.") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
        listener.listen(2048)
        listener.set_inheritable(True)
    except OSError as error:
        listener.close()
        raise CannotListen(
            f"Cannot listen on {place}: {error.strerror}. Another program may use it; --port "
            "takes another port, 0 any free one."
        ) from None
    return listener


def address(listener: socket.socket) -> str:
    """Where a browser finds what listens there.

    >>> with socket.create_server(("127.0.0.1", 0)) as listener:
    ...     address(listener).rpartition(":")[0]
    'http://127.0.0.1'
    """
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared
        host = "127.0.0.1" if listener.family == socket.AF_INET else "::1"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def configuration(settings: Settings, fork_server: ForkServer | None = None) -> uvicorn.Config:
    """Uvicorn with our bounds on connections; every process makes its own application."""
    return uvicorn.Config(
        partial(_application, settings, fork_server),
        factory=True,
        http=protocol(settings),  # type: ignore[arg-type]
        ws="none",
        log_config=None,
        access_log=False,  # our own has more in it
        server_header=False,
        proxy_headers=False,  # layerscope.app.proxies
        timeout_graceful_shutdown=settings.shutdown_seconds,
        workers=settings.workers,
        timeout_worker_healthcheck=START_SECONDS,
    )


def serve(settings: Settings, listener: socket.socket) -> bool:
    """Serve until told to stop; whether it ever started."""
    _allow_files()
    if settings.workers > 1:
        Multiprocess(configuration(settings), [listener]).run()
        return True
    server = uvicorn.Server(configuration(settings, _fork_server(settings)))
    server.run(sockets=[listener])
    return server.started


def _application(settings: Settings, fork_server: ForkServer | None) -> ASGIApp:
    configure(settings.log_level, settings.log_format)
    from layerscope.app.main import create_app  # after the log is set up: it loads, and may warn

    return create_app(settings, fork_server)


def _fork_server(settings: Settings) -> ForkServer:
    """A fork of this process: everything that is loaded is in memory once."""
    configure(settings.log_level, settings.log_format)
    from layerscope.app.preload import prepare

    return ForkServer.fork(prepare if settings.warm_up else lambda: None)


def _allow_files() -> None:
    """As many open files as this user may have: each connection is one, and 1024 is usual."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if most == resource.RLIM_INFINITY else min(most, MOST_FILES)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
