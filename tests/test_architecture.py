"""Promises about the code itself."""

import ast
import importlib
import importlib.metadata
import inspect
import json
import pkgutil
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest
import typer
from fastapi import APIRouter

import layerscope.app
import layerscope.engine

TOP = Path(__file__).resolve().parents[1]


def modules(package):
    return [m.name for m in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]


def normal(requirement):
    """The distribution that a requirement names, as the index spells it."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement)[0]
    return re.sub(r"[-_.]+", "-", name).lower()


def engine_requirements(*more):
    """Of the engine alone, and of these extras."""
    extras = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    return {normal(r) for extra in ("engine", *more) for r in extras[extra]}


def closure(distributions):
    """These distributions and all that they require."""
    found, waiting = set(), set(distributions)
    while waiting:
        name = waiting.pop()
        try:
            requires = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # for another platform
        found.add(name)
        waiting |= {normal(r) for r in requires if "extra ==" not in r} - found
    return found


def importable(distributions):
    """Top-level names that these distributions install."""
    providers = importlib.metadata.packages_distributions()
    return {name for name, by in providers.items() if {normal(b) for b in by} & set(distributions)}


def imported(file):
    """Top-level names, not of the standard library, that a file imports."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module]
        else:
            continue
        tops = {name.partition(".")[0] for name in names}
        yield from tops - {"layerscope"} - sys.stdlib_module_names


def run(code, *arguments):
    """What ``code`` prints in an interpreter of its own."""
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_name_alone_loads_nothing_heavy():
    loaded = set(run("import layerscope, sys\nprint(*sys.modules)").split())
    assert "layerscope" in loaded
    heavy = {"torch", "numpy", "numba", "scipy", "pydantic", "fastapi", "starlette", "uvicorn"}
    assert not loaded & heavy
    assert not {name for name in loaded if name.startswith(("layerscope.engine", "layerscope.app"))}


ENGINE_ALONE = """
import importlib, json, sys
absent = set(json.loads(sys.argv[1]))

class TrainingMachine:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {name!r} on a training machine", name=name)

sys.meta_path.insert(0, TrainingMachine())
for name in json.loads(sys.argv[2]):
    importlib.import_module(name)
import layerscope
events = [type(e).__name__ for e in layerscope.run(layerscope.Experiment(depth=2, width=8))]
print(events[0], "Summary" in events)
"""


@pytest.mark.slow
def test_the_engine_runs_where_nothing_else_is_installed():
    """Every module of the engine and an experiment, with only its own requirements importable."""
    absent = importlib.metadata.packages_distributions().keys() - {"layerscope"}
    absent -= importable(closure(engine_requirements()))
    absent |= {"jinja2"}  # torch requires it, for templates that nothing of ours has
    assert {"fastapi", "starlette", "uvicorn", "brotli", "plotly", "typer", "pytest"} <= absent
    out = run(ENGINE_ALONE, json.dumps(sorted(absent)), json.dumps(modules(layerscope.engine)))
    assert out.split() == ["Start", "True"]


def test_the_engine_imports_its_own_requirements_by_name():
    """What another package happens to bring would be gone one day."""
    provided = importable(engine_requirements("dask", "parquet")) | {
        "pydantic_core"
    }  # pydantic pins it exactly
    for file in (TOP / "engine").rglob("*.py"):
        for name in imported(file):
            assert name in provided, f"{file.relative_to(TOP)} imports {name}"


def test_the_engines_requirements_are_some_of_the_whole_and_documented():
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    alone = project["optional-dependencies"]["engine"]
    assert set(alone) < set(project["dependencies"])
    command = "pip install " + " ".join(f'"{r}"' for r in alone)
    assert command in (TOP / "docs" / "install.md").read_text().splitlines()


@cache
def all_modules():
    names = ["layerscope.engine", "layerscope.app", *modules(layerscope.engine)]
    return [n for n in [*names, *modules(layerscope.app)] if not n.endswith("__main__")]


def registered(module):
    """Functions that somebody else calls: routes and commands."""
    for value in vars(module).values():
        if isinstance(value, APIRouter):
            yield from (getattr(route, "endpoint", None) for route in value.routes)
        elif isinstance(value, typer.Typer):
            yield from (command.callback for command in value.registered_commands)
            yield value.registered_callback and value.registered_callback.callback


@pytest.mark.parametrize("name", all_modules())
def test_exports_are_complete(name):
    module = importlib.import_module(name)
    assert module.__doc__, f"{name} says not what it is"
    exported = list(getattr(module, "__all__", []))
    for each in exported:
        assert hasattr(module, each), f"{name}.__all__ names {each}"
    called = list(registered(module))
    public = {
        each
        for each, value in vars(module).items()
        if not each.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == name
        and value not in called
    }
    assert public <= set(exported), f"{name}.__all__ lacks {sorted(public - set(exported))}"
    assert len(exported) == len(set(exported))


def imports_of_ours():
    """(file, module, name) of every ``from layerscope… import name``."""
    for room in ("layerscope", "engine", "app", "tests", "tools", "benchmarks", "examples"):
        for file in (TOP / room).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                module = getattr(node, "module", None) or ""
                if isinstance(node, ast.ImportFrom) and module.startswith("layerscope"):
                    for alias in node.names:
                        yield file.relative_to(TOP), module, alias.name


@pytest.mark.slow
def test_what_is_imported_is_exported():
    """A name without an underscore that another module uses is in ``__all__``."""
    missing = []
    for file, module, name in imports_of_ours():
        exported = getattr(importlib.import_module(module), "__all__", [])
        inside = f"{module}.{name}" in sys.modules or f"{module}.{name}" in all_modules()
        if not name.startswith("_") and name not in exported and not inside:
            missing.append(f"{module}.__all__ lacks {name} (imported by {file})")
    assert missing == []
