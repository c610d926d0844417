"""Puts the application together: routes, middleware, and what happens at start and stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
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
from layerscope.app.api.health import Readiness
from layerscope.app.caching import version
from layerscope.app.compute import ClientGone, Compute
from layerscope.app.errors import install
from layerscope.app.logs import AccessLog
from layerscope.app.metrics import Measured, Metrics
from layerscope.app.proxies import Proxied
from layerscope.app.results import complete
from layerscope.app.security import BodyLimit, Security
from layerscope.app.sending import Sending, SendingLimit
from layerscope.app.settings import Settings
from layerscope.app.templating import assets
from layerscope.engine.analyses.phase_diagram import phase_diagram
from layerscope.engine.basis.cancellation import ShouldStop, never
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.foundations.calculus import derivative_of, differentiable
from layerscope.engine.foundations.ladder import ladder
from layerscope.engine.statistics import warm_up
from layerscope.engine.theory.experiments import predict_experiment

__all__ = ["VANISHING", "create_app", "import_everything", "run_everything_once"]

DESCRIPTION = """
Shows what happens inside a neural network: forward, backward, and why it goes wrong.

An **experiment** is a specification that determines every number that follows; it has the same
names in the query string, the JSON body, the form and on the command line. The same experiment
gives the same numbers, whether followed as a stream or asked for as a whole.

JSON holds no NaN and no Infinity: such a figure is `null`, and counted beside it.
"""

VANISHING = Experiment(depth=12, width=16, batch=16, activation="linear", init_scale=0.1)
log = structlog.stdlib.get_logger("layerscope")


def create_app(settings: Settings | None = None) -> FastAPI:
    """The whole application as an ASGI callable; by default with the environment's settings."""
    settings = settings or Settings()
    sending = Sending(settings.max_sending_bytes)
    compute = Compute(
        settings.max_concurrent,
        settings.max_waiting,
        settings.max_wait_seconds,
        settings.torch_threads,
    )
    metrics = Metrics(compute, sending)
    token = settings.token.get_secret_value() if settings.token else ""
    cross_origin = Middleware(
        CORSMiddleware,
        allow_origins=settings.allowed_origins,
        allow_methods=("GET", "POST"),
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
            Middleware(SameOrigin, allowed=settings.allowed_origins),
            *([Middleware(Token, token=token)] if token else []),
            Middleware(BodyLimit, most_bytes=settings.max_body_bytes),
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
    app.state.metrics = metrics
    app.state.readiness = Readiness()
    install(app)
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
    warming = asyncio.create_task(_warm_up(app))
    yield {"stop": app.state.compute.close}  # for layerscope.app.connections
    app.state.compute.close()
    await warming
    await asyncio.to_thread(app.state.compute.join)


async def _warm_up(app: FastAPI) -> None:
    """Everything once, so that no user waits for a compiler or for autograd's first call.

    What only some pages need comes after the server is ready.
    """
    readiness, wanted = app.state.readiness, app.state.settings.warm_up
    try:
        if wanted:
            await asyncio.to_thread(run_everything_once)
    except Exception:
        readiness.state = "failed"
        log.exception("warming up failed")
        return
    readiness.state = "ready"
    log.info("ready")
    try:
        if wanted:
            await asyncio.to_thread(import_everything, lambda: app.state.compute.closed)
    except Exception:
        log.exception("what some pages need could not be prepared")


def run_everything_once() -> None:
    """Compile every kernel, into the cache where there is one, and run a tiny experiment."""
    warm_up()
    for dtype in ("float32", "float64", "float16", "bfloat16"):
        tiny = Experiment(depth=2, width=8, batch=8, norm="layer", residual=True, dtype=dtype)
        complete(tiny, float("inf"), never)
    complete(VANISHING, float("inf"), never)  # has a finding, so that fixes are tried


def import_everything(should_stop: ShouldStop) -> None:
    """What imports or derives for a second when first asked: data sets, SymPy, torch's modules."""
    tiny = Experiment(depth=1, width=4, batch=4)
    first: list[Callable[[], object]] = [
        lambda: predict_experiment(Experiment()),
        lambda: predict_experiment(Experiment(data="digits", loss="cross_entropy")),
        lambda: phase_diagram(tiny),
        lambda: ladder(2, 2, 2),
        *(partial(derivative_of, name) for name in differentiable()),
    ]
    for each in first:
        if should_stop():
            return
        each()


async def _client_gone(_: Request, __: Exception) -> Response:
    return Response(status_code=499)  # for the log alone: nobody reads it
