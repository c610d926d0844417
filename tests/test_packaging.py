"""The wheel: carries everything, and runs far away from the checkout."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
import select
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import httpx
import pytest

from tests.kernels import carry_kernels

pytestmark = pytest.mark.slow

TOP = Path(__file__).resolve().parents[1]
SOURCES = ("LICENSE", "README.md", "app", "engine", "layerscope", "package-lock.json",
           "package.json", "pyproject.toml", "setup.py", "static",
           "templates", "tools")  # fmt: skip


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The sources, without anything that was made in the checkout."""
    target = tmp_path_factory.mktemp("checkout")
    for name in SOURCES:
        source = TOP / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, target / name, ignore=ignored)
        else:
            shutil.copy(source, target / name)
    return target


def build(checkout, target, path=os.environ["PATH"]):
    command = [
        "-m",
        "pip",
        "wheel",
        ".",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        target,
    ]
    return subprocess.run(
        [sys.executable, *command],
        cwd=checkout,
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": path, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )


@pytest.fixture(scope="module")
def wheel(copy, tmp_path_factory):
    target = tmp_path_factory.mktemp("wheel")
    done = build(copy, target)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = target.glob("*.whl")
    return found


def test_it_carries_templates_and_assets(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for folder in ("templates", "static"):
        for file in (TOP / folder).rglob("*"):
            if file.is_file():
                assert f"layerscope/{file.relative_to(TOP).as_posix()}" in names
    assert "layerscope/static/vendor/plotly-cartesian.min.js.br" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [n for n in names if n.startswith(("tests/", "benchmarks/", "tools/"))]


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The wheel unpacked, as ``pip install`` leaves it."""
    target = tmp_path_factory.mktemp("installed")
    command = ["-m", "pip", "install", "--quiet", "--no-deps", "--target", target, wheel]
    subprocess.run([sys.executable, *command], check=True, capture_output=True)
    carry_kernels(TOP, target / "layerscope")
    return target


def test_one_name_goes_into_site_packages(installed):
    names = {p.name for p in installed.iterdir() if not p.name.endswith(".dist-info")}
    assert names == {"layerscope", "bin"}


HOSTILE = ("engine", "app", "statistics", "static", "templates", "registry", "layers", "data")


def test_a_users_own_engine_beside_the_script_harms_nobody(installed, interpreter, tmp_path):
    for name in HOSTILE:
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('ran {name}.py')")
    (tmp_path / "train.py").write_text(
        "import layerscope, torch\n"
        "import layerscope.app.main\n"
        "print(layerscope.__file__)\n"
        "print(layerscope.statistics(torch.tensor([1.0, 3.0])).mean)\n"
        "events = [e.event for e in layerscope.run(layerscope.Experiment(depth=1, width=3))]\n"
        "print(events[0], 'summary' in events)\n"
    )
    done = interpreter.run(
        tmp_path / "train.py", cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(installed)}
    )
    assert done.returncode == 0, done.stderr
    where, mean, events = done.stdout.splitlines()
    assert where.startswith(str(installed))
    assert (mean, events) == ("2.0", "start True")


def test_it_serves_from_another_directory(installed, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    ours = os.pathsep.join((str(installed), sysconfig.get_path("purelib")))
    process = subprocess.Popen(
        [sys.executable, installed / "bin" / "layerscope", "serve", "--port", "0"],
        cwd=elsewhere,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": ours, "LAYERSCOPE_WARM_UP": "false",
             },
    )  # fmt: skip
    try:
        url, lines = None, []
        while url is None:
            assert select.select([process.stderr], [], [], 120)[0], lines
            lines.append(process.stderr.readline().decode())
            assert lines[-1], lines
            url = re.search(r"http://127\.0\.0\.1:\d+", lines[-1])
        with httpx.Client(base_url=url[0], timeout=200) as client:
            assert client.get("/healthz").json()["version"] == project()["version"]
            page = client.get("/")
            assert page.status_code == 200
            assets = re.findall(r'"(/static/[0-9a-f]{12}/[^"]+)"', page.text)
            assert any(asset.endswith("plotly-cartesian.min.js") for asset in assets)
            for asset in assets:
                answer = client.get(asset)
                assert answer.status_code == 200, asset
                assert "immutable" in answer.headers["cache-control"], asset
            assert client.get("/docs").status_code == 200
    finally:
        process.terminate()
        process.wait(30)
        process.stderr.close()
    assert list(elsewhere.iterdir()) == [], "nothing is written where it was started"


def test_without_vendor_files_and_without_npm_the_build_says_what_to_do(copy, tmp_path):
    shutil.copytree(copy, tmp_path / "bare", ignore=shutil.ignore_patterns("vendor"))
    empty = tmp_path / "empty"
    empty.mkdir()
    done = build(tmp_path / "bare", tmp_path / "wheels", path=str(empty))
    assert done.returncode != 0
    assert "npm was not found" in done.stdout + done.stderr


def test_without_vendor_files_npm_is_asked(copy, tmp_path):
    shutil.copytree(copy, tmp_path / "bare", ignore=shutil.ignore_patterns("vendor"))
    tools = tmp_path / "bin"
    tools.mkdir()
    npm = tools / "npm"
    npm.write_text(
        "#!/bin/sh\n"
        'echo "$@" >> npm-calls\n'
        "mkdir -p static/vendor && echo made > static/vendor/plotly-cartesian.min.js\n"
    )
    npm.chmod(0o755)
    done = build(tmp_path / "bare", tmp_path / "wheels", path=f"{tools}:/usr/bin:/bin")
    assert done.returncode == 0, done.stdout + done.stderr
    calls = (tmp_path / "bare" / "npm-calls").read_text().splitlines()
    assert calls == ["ci --ignore-scripts --no-audit --no-fund", "run assets"]
    (wheel,) = (tmp_path / "wheels").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read("layerscope/static/vendor/plotly-cartesian.min.js") == b"made\n"


def project():
    return tomllib.loads((TOP / "pyproject.toml").read_text())["project"]


def requirements():
    groups = tomllib.loads((TOP / "pyproject.toml").read_text())["dependency-groups"]
    return [*project()["dependencies"], *groups["dev"]]


def test_every_requirement_is_locked():
    locked = {
        re.sub(r"[-_.]+", "-", line.split("==")[0]).lower()
        for line in (TOP / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    for requirement in requirements():
        name = re.match(r"[A-Za-z0-9._-]+", requirement)[0]
        assert re.sub(r"[-_.]+", "-", name).lower() in locked, requirement
    assert "+cpu" not in (TOP / "constraints.txt").read_text()


BROUGHT = {"starlette": "fastapi", "anyio": "fastapi", "pydantic_core": "pydantic",
           "click": "typer", "markupsafe": "jinja2", "llvmlite": "numba",
           "typing_extensions": "pydantic"}  # fmt: skip
"""Names that the requirement beside them re-exports, or exists to serve."""


def required_names():
    """What is imported, by the requirement that brings it."""
    providers = importlib.metadata.packages_distributions()
    for room in ("app", "engine", "layerscope"):
        for file in (TOP / room).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                names = []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    names = [node.module]
                for name in {n.partition(".")[0] for n in names} - sys.stdlib_module_names:
                    if name != "layerscope":
                        name = BROUGHT.get(name, name)
                        yield file, {normal(d) for d in providers.get(name, [name])}


def normal(name):
    return re.sub(r"[-_.]+", "-", re.match(r"[A-Za-z0-9._-]+", name)[0]).lower()


def test_everything_imported_is_required():
    """An import of the app that no requirement brings by its own name would break one day."""
    found = project()
    extras = found["optional-dependencies"]
    # The extras that are imported by name, where somebody asked for them.
    required = {normal(r) for r in [*found["dependencies"], *extras["dask"], *extras["parquet"]]}
    for file, names in required_names():
        assert names & required, f"{file.relative_to(TOP)} imports {names}"


def test_everything_required_is_imported():
    imported = set().union(*(names for _, names in required_names()))
    assert {normal(r) for r in project()["dependencies"]} <= imported
