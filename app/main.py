"""Puts the application together: routes, middleware, and what happens at start and stop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import structlog
from fastapi import FastAPI, Request
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Route

from layerscope.app import api, pages
from layerscope.app.access import SameOrigin, Token
from layerscope.app.api.exports import Exports
from layerscope.app.api.health import Readiness
from layerscope.app.caching import version
from layerscope.app.charting import Charting
from layerscope.app.compute import ClientGone, Compute
from layerscope.app.errors import Problem, install
from layerscope.app.logs import AccessLog, in_background
from layerscope.app.metrics import Measured, Metrics
from layerscope.app.pages.lab.links import sketches
from layerscope.app.pages.missing import missing
from layerscope.app.pages.render import environment
from layerscope.app.proxies import Proxied
from layerscope.app.security import BodyLimit, Security
from layerscope.app.sending import Sending, SendingLimit
from layerscope.app.settings import Settings
from layerscope.app.templating import assets, load_templates
from layerscope.app.trainings import Trainings
from layerscope.app.workers.forking import ForkServer
from layerscope.app.workers.pool import WorkerLost, Workers
from layerscope.engine.store import Store, StoreError

__all__ = ["create_app"]

DESCRIPTION = """
Shows what happens inside a neural network: forward, backward, and why it goes wrong.

An **experiment** is a specification that determines every number that follows; it has the same
names in the query string, the JSON body, the form and on the command line. The same experiment
gives the same numbers, whether followed as a stream or asked for as a whole.

JSON holds no NaN and no Infinity: such a figure is `null`, and counted beside it.
"""

TIDY_SECONDS = 600.0
"""Between one look for deleted runs to remove and the next."""

log = structlog.stdlib.get_logger("layerscope")


def create_app(settings: Settings | None = None, fork_server: ForkServer | None = None) -> FastAPI:
    """The whole application as an ASGI callable.

    Args:
        settings: by default those of the environment.
        fork_server: makes the workers; by default one for all applications of this process.
    """
    settings = settings or Settings()
    sending = Sending(settings.max_sending_bytes)
    compute = Compute(
        Workers(fork_server),
        settings.max_concurrent,
        settings.max_waiting,
        settings.max_wait_seconds,
        seconds=settings.max_seconds,
        memory_bytes=settings.ceiling_bytes,
        torch_threads=settings.torch_threads,
    )
    metrics = Metrics(compute, sending)
    token = settings.token.get_secret_value() if settings.token else ""
    cross_origin = Middleware(
        CORSMiddleware,
        allow_origins=settings.allowed_origins,
        allow_methods=("GET", "POST", "PATCH", "DELETE"),
        allow_headers=("Authorization", "Content-Type"),
    )
    app = FastAPI(
        title="Layerscope",
        summary="A deep network's signal and gradient, layer by layer",
        description=DESCRIPTION,
        version=version(),
        license_info={"name": "MIT", "identifier": "MIT"},
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
        redirect_slashes=False,
        lifespan=_lifespan,
        middleware=[
            Middleware(Proxied, trusted=settings.trusted_proxies, prefix=settings.root_path),
            Middleware(AccessLog),
            Middleware(Security, settings=settings),
            Middleware(Measured, metrics=metrics),
            *([cross_origin] if settings.allowed_origins else []),
            Middleware(
                SameOrigin, allowed=settings.allowed_origins, framed=bool(settings.frame_origins)
            ),
            *([Middleware(Token, token=token)] if token else []),
            Middleware(
                BodyLimit,
                most_bytes=settings.max_body_bytes,
                others={api.ENTRIES: settings.max_batch_bytes},
            ),
            Middleware(SendingLimit, sending=sending),
            Middleware(
                GZipMiddleware,
                minimum_size=1024,
                compresslevel=4,  # half the time of 9 for a few per cent more bytes
                # Weights and activations are close to noise: no algorithm shrinks them.
                exclude_content_types=(*DEFAULT_EXCLUDED_CONTENT_TYPES, "application/octet-stream"),
            ),
        ],
    )
    app.state.settings = settings
    app.state.sending = sending
    app.state.compute = compute
    app.state.exports = Exports(settings.max_exports)
    app.state.store = Store(settings.store_url)
    app.state.trainings = Trainings(settings, app.state.store, fork_server)
    app.state.charting = Charting(settings)
    app.state.metrics = metrics
    app.state.readiness = Readiness()
    app.state.addresses = {}  # layerscope.app.pages.render
    install(app)
    app.add_exception_handler(404, missing)
    app.add_exception_handler(ClientGone, _client_gone)
    app.add_exception_handler(ClientDisconnect, _client_gone)
    app.router.routes.append(Route("/static/{path:path}", assets, methods=["GET"], name="static"))
    app.include_router(api.make_router())
    app.state.navigation = pages.pages()
    for page in app.state.navigation:
        app.include_router(page.router)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    computing = (app.state.compute, app.state.trainings)

    def stop() -> None:
        for each in computing:
            each.close()

    with in_background():
        async with AsyncExitStack() as closing:  # from below, whatever goes wrong in one of them
            closing.push_async_callback(_joined, asyncio.create_task(_warm_up(app)))
            closing.callback(app.state.store.close)
            for each in reversed(computing):
                closing.push_async_callback(each.join)
            closing.push_async_callback(asyncio.to_thread, app.state.charting.close)
            resuming = asyncio.create_task(asyncio.to_thread(app.state.charting.resume))
            closing.push_async_callback(_joined, resuming)
            stopping = asyncio.Event()
            closing.push_async_callback(_joined, asyncio.create_task(_tidy(app, stopping)))
            closing.callback(stopping.set)
            closing.callback(stop)
            yield {"stop": stop}  # for layerscope.app.connections


async def _tidy(app: FastAPI, stopping: asyncio.Event) -> None:
    """Remove deleted runs that can't be brought back any more: at start, and now and then."""
    seconds = app.state.settings.undo_hours * 3600
    while not stopping.is_set():
        try:
            if removed := await asyncio.to_thread(app.state.trainings.purge, seconds):
                log.info("deleted runs were removed", runs=removed)
        except StoreError as error:
            log.warning("deleted runs could not be removed", why=str(error))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), TIDY_SECONDS)


async def _joined(task: asyncio.Task[None]) -> None:
    await task


async def _warm_up(app: FastAPI) -> None:
    """Have workers wait, so that no user waits for a compiler or for autograd's first call."""
    compute: Compute = app.state.compute
    try:
        if app.state.settings.warm_up:
            loading = asyncio.to_thread(_load, app)
            await asyncio.gather(compute.workers.prepare(compute.concurrent), loading)
            await sketches(compute)
    except (WorkerLost, Problem):
        if not compute.closed:
            app.state.readiness.state = "failed"
            log.exception("warming up failed")
        return
    app.state.readiness.state = "ready"
    log.info("ready")


def _load(app: FastAPI) -> None:
    """What the first who asks for it would otherwise wait for, and with him the loop."""
    load_templates(environment)
    app.openapi()


async def _client_gone(_: Request, __: Exception) -> Response:
    return Response(status_code=499)  # for the log alone: nobody reads it
