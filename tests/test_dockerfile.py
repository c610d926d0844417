"""The Dockerfile, checked without a Docker engine."""

from __future__ import annotations

import json
import re
import runpy
import shlex
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[1]
TEXT = (TOP / "Dockerfile").read_text()
MADE_BY_BUILD = {"static/vendor"}
"""Not in the build context: another stage makes it."""


def instructions():
    """(instruction, arguments) in order, continued lines joined, comments dropped."""
    lines = [line for line in TEXT.splitlines() if not re.match(r"\s*(#|$)", line)]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in joined.splitlines()]


def stages():
    """Each stage: name, base image, instructions."""
    found = []
    for name, arguments in instructions():
        if name == "FROM":
            base, _, stage = arguments.partition(" AS ")
            found.append((stage, base, []))
        elif found:
            found[-1][2].append((name, arguments))
    return found


def copies():
    """(stage index, --from, sources, target) of each COPY."""
    for index, (_, _, body) in enumerate(stages()):
        for name, arguments in body:
            if name == "COPY":
                words = shlex.split(arguments)
                origin = next((w.removeprefix("--from=") for w in words if "--from=" in w), None)
                paths = [w for w in words if not w.startswith("--")]
                yield index, origin, paths[:-1], paths[-1]


def in_context(path):
    """Whether .dockerignore lets ``path`` into the build context: the last pattern decides."""
    kept = True
    for line in (TOP / ".dockerignore").read_text().splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        keeps = pattern.startswith("!")
        pattern = pattern.removeprefix("!")
        parts = Path(path).parts
        heads = ["/".join(parts[: n + 1]) for n in range(len(parts))]
        if any(fnmatch(head, pattern) or fnmatch(f"./{head}", pattern) for head in heads):
            kept = keeps
    return kept


def test_several_stages_with_names_that_resolve():
    names = [name for name, _, _ in stages()]
    assert len(names) >= 3
    assert all(names)
    for index, origin, _, _ in copies():
        assert origin is None or origin in names[:index]


@pytest.mark.parametrize("base", [base for _, base, _ in stages()])
def test_base_images_are_official_and_have_a_version(base):
    assert re.fullmatch(r"(node|python):\d+(\.\d+)?-slim", base)


def test_everything_copied_exists_in_the_context():
    for _, origin, sources, _ in copies():
        for source in sources:
            if origin is None:
                assert (TOP / source).exists(), source
                assert in_context(source), f".dockerignore leaves {source} out"


def test_what_comes_from_a_stage_was_made_there():
    bodies = {name: body for name, _, body in stages()}
    for _, origin, sources, _ in copies():
        for source in sources if origin else ():
            made = "\n".join(arguments for _, arguments in bodies[origin])
            at = next(a for n, a in bodies[origin] if n == "WORKDIR")
            inner = source.removeprefix(f"{at}/")
            assert source in made or inner in MADE_BY_BUILD, source


def test_the_context_has_no_more_than_is_copied():
    copied = {Path(s).parts[0] for _, origin, sources, _ in copies() if not origin for s in sources}
    for name in (".venv", "node_modules", ".git", "tests", "benchmarks", "data", ".env"):
        assert not in_context(name)
    assert not in_context("static/vendor/htmx.min.js")
    assert not in_context("app/__pycache__")
    allowed = re.findall(r"^!(\S+)", (TOP / ".dockerignore").read_text(), re.MULTILINE)
    assert {Path(a).parts[0] for a in allowed} == copied


def test_the_wheel_gets_all_that_it_is_built_from():
    project = tomllib.loads((TOP / "pyproject.toml").read_text())
    setup = runpy.run_path(str(TOP / "setup.py"), run_name="setup")
    needed = {"setup.py", "pyproject.toml", "layerscope", *setup["ROOMS"], *setup["RESOURCES"]}
    needed |= {project["project"]["readme"], *project["project"]["license-files"]}
    copied = {s for index, o, sources, _ in copies() if not o and index == 1 for s in sources}
    assert needed <= copied


def test_it_does_not_run_as_root_and_knows_its_health():
    *_, (_, _, body) = stages()
    order = [name for name, _ in body]
    user = dict(body)["USER"]
    assert user not in ("root", "0")
    created = next(a for n, a in body if n == "RUN" and "useradd" in a)
    assert user in created
    assert order.index("USER") < order.index("CMD")
    assert "layerscope.app.healthcheck" in dict(body)["HEALTHCHECK"]
    assert (TOP / "app" / "healthcheck.py").exists()


def test_the_documented_commands_agree():
    """Read-only, without capabilities, published to this machine alone; so say all three."""
    readme, deploy = (TOP / "README.md").read_text(), (TOP / "docs" / "deploy.md").read_text()
    flags = "--read-only --cap-drop=ALL --security-opt=no-new-privileges"
    assert flags in TEXT
    assert flags in deploy
    for text in (TEXT, readme, deploy):
        assert "-p 127.0.0.1:8000:8000" in text
        assert "-p 8000:8000" not in text
    assert "VOLUME /data" in TEXT


def test_the_command_is_the_projects_program():
    *_, (_, _, body) = stages()
    command = json.loads(dict(body)["CMD"])
    scripts = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]["scripts"]
    assert command[0] in scripts
    assert command[1:] == ["serve", "--host", "0.0.0.0"]


def test_settings_in_it_exist():
    from layerscope.app.settings import Settings

    for name in re.findall(r"LAYERSCOPE_(\w+)", TEXT):
        assert name.lower() in Settings.model_fields


def test_no_host_is_written_into_it():
    assert "://" not in TEXT
    assert "TORCH_INDEX_URL" in TEXT
    for _, arguments in instructions():
        assert "latest" not in arguments
        assert "sudo" not in arguments


def test_downloads_are_locked():
    pip = [a for n, a in instructions() if n == "RUN" and "pip install" in a]
    assert pip
    for command in [c for a in pip for c in a.split("&&") if "pip install" in c]:
        by_hash = "--require-hashes --no-deps" in command
        torch = "--constraint constraints.txt" in command and command.split()[-1] == "torch"
        ours = "--no-deps /wheels/" in command
        assert by_hash or torch or ours, command
    npm = [a for n, a in instructions() if n == "RUN" and re.search(r"npm (ci|install)", a)]
    assert npm
    assert all("npm ci --ignore-scripts" in a for a in npm)
