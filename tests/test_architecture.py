"""Promises about the code itself."""

import importlib
import pkgutil
import subprocess
import sys

import pytest

import layerscope.app
import layerscope.engine


def modules(package):
    return [m.name for m in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]


def test_the_engine_loads_no_web():
    names = list(modules(layerscope.engine))
    code = (
        f"import importlib, sys\nfor n in {names!r}: importlib.import_module(n)\n"
        "web = {'fastapi', 'starlette', 'uvicorn', 'jinja2', 'plotly', 'typer', 'layerscope.app'}\n"
        "print(sorted(web & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    # torch.fx brings jinja2 only when asked for templates; nothing of ours may
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("name", [*modules(layerscope.engine), *modules(layerscope.app)])
def test_exports_are_complete(name):
    if name.endswith("__main__"):
        pytest.skip("a script, not a module to import from")
    module = importlib.import_module(name)
    assert module.__doc__, f"{name} says not what it is"
    for exported in getattr(module, "__all__", []):
        assert hasattr(module, exported), f"{name}.__all__ names {exported}"
