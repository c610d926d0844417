"""The one Jinja environment, and where templates and static files are found."""

from __future__ import annotations

import math
from contextvars import ContextVar
from functools import lru_cache

import jinja2
from starlette.templating import Jinja2Templates

from layerscope.app.assets import Assets, resources
from layerscope.app.bundling import modules
from layerscope.app.encoding import json_text

__all__ = ["asset_url", "assets", "load_templates", "module_urls", "root_path", "templates"]

FROZEN = not (resources() / "pyproject.toml").is_file()  # an installed package
LOOK_SECONDS = math.inf if FROZEN else 0.5
"""How long a developer's change of a static file may go unseen: a page asks for a dozen of them."""

assets = Assets(resources() / "static", look_seconds=LOOK_SECONDS)
"""The static files; ``assets.url("js/lab.js")`` is ``asset_url(…)`` in a template."""

templates = Jinja2Templates(
    env=jinja2.Environment(
        loader=jinja2.FileSystemLoader(resources() / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        auto_reload=not FROZEN,
        trim_blocks=True,
        lstrip_blocks=True,
    )
)
"""``templates.TemplateResponse(request, "pages/lab.html", {...})``; an unknown name is an error."""

root_path: ContextVar[str] = ContextVar("root_path", default="")
"""The path below which a proxy serves us; set for each request by ``layerscope.app.proxies``."""


def load_templates(environment: jinja2.Environment, folder: str = "") -> None:
    """Compile every template below ``folder`` now."""
    for name in environment.list_templates():
        if name.startswith(folder):
            environment.get_template(name)


def asset_url(path: str) -> str:
    """The address of a static file, as a page names it."""
    return root_path.get() + assets.url(path)


def module_urls(path: str) -> list[str]:
    """The addresses of a module and of whatever it imports, it first: a browser that is told of
    them all asks for all at once, and not for each as the one before has come."""
    return [asset_url(each) for each in _modules(path, assets.digest("js"))]


@lru_cache(maxsize=64)
def _modules(path: str, _digest: str) -> tuple[str, ...]:
    """Of the files of one digest."""
    own = modules(path.removeprefix("js/"), assets.root / "js")
    return tuple(f"js/{each}" for each in reversed(own))


templates.env.globals["asset_url"] = asset_url
templates.env.globals["module_urls"] = module_urls
# Quick, and null for what is not finite, which is no JSON.
templates.env.policies["json.dumps_function"] = lambda value, **_: json_text(value)
