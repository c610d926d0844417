"""Each worked example of CONTRIBUTING.md, applied to a copy of the tree and looked for everywhere.

The diffs are applied in the order of the page, one on top of the other; then one process serves the
copy, and every test below asks it about one of them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.kernels import carry_kernels

pytestmark = pytest.mark.slow

TOP = Path(__file__).resolve().parents[1]
TEXT = (TOP / "CONTRIBUTING.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^### (.+?)\n.*?^```diff\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
"""Heading and diff of each."""
ROOMS = ("engine", "app", "layerscope", "templates", "static")

ASKED = {
    "/": "html",
    "/api/v1/registry": "json",
    "/api/v1/experiment?depth=3&width=8&batch=16&activation=arctan": "json",
    "/api/v1/experiment?depth=3&width=8&batch=16&norm=centre": "json",
    "/api/v1/experiment?depth=3&width=8&batch=16&init=fan_out_uniform": "json",
    "/api/v1/experiment?depth=3&width=8&batch=16&loss=log_cosh&check=true": "json",
    "/api/v1/experiment?depth=3&width=8&batch=16&data=signs&loss=cross_entropy": "json",
    "/api/v1/experiment?depth=3&width=3&batch=16": "json",
    "/api/v1/experiment?depth=3&width=8&batch=16&data_seed=1": "json",
    "/api/v1/experiment?depth=3&width=8&batch=16": "json",
    "/foundations/matmul": "html",
    "/why/diagnosis": "html",
    "/api/v1/why/input_sensitivity?depth=2&width=4&batch=8": "json",
    "/why/input_sensitivity?depth=2&width=4&batch=8": "html",
    "/variances": "html",
}
SERVE = """
import json, sys
from fastapi.testclient import TestClient
from layerscope.app.main import create_app
from layerscope.app.settings import Settings

answers = {}
with TestClient(create_app(Settings(warm_up=False)), base_url="http://localhost") as client:
    for path in json.loads(sys.argv[1]):
        answer = client.get(path)
        answers[path] = [answer.status_code, answer.text]
print(json.dumps(answers))
"""


@pytest.fixture(scope="session")
def changed(tmp_path_factory):
    """A copy of the tree after every diff, each applied without help and without fuzz."""
    copy = tmp_path_factory.mktemp("contributing")
    for room in ROOMS:
        shutil.copytree(TOP / room, copy / room, ignore=shutil.ignore_patterns("__pycache__"))
    for heading, diff in EXAMPLES:
        command = ["git", "apply", "--verbose", "-"]
        done = subprocess.run(command, cwd=copy, input=diff, capture_output=True, text=True)
        assert done.returncode == 0, f"{heading}: {done.stderr}"
    return copy


@pytest.fixture(scope="session")
def answers(changed, interpreter, tmp_path_factory):
    """What the changed tree answers: (status, text) by path."""
    site = tmp_path_factory.mktemp("site")
    shutil.copytree(changed / "layerscope", site / "layerscope")
    for room in set(ROOMS) - {"layerscope"}:
        (site / "layerscope" / room).symlink_to(changed / room)
    carry_kernels(TOP, changed)
    done = interpreter.run(
        "-c", SERVE, json.dumps(list(ASKED)),
        cwd=tmp_path_factory.mktemp("elsewhere"), env={**os.environ, "PYTHONPATH": str(site)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    for path, kind in ASKED.items():
        status, text = found[path]
        assert status == 200, f"{path}: {text[:500]}\n{done.stderr[-3000:]}"
        found[path] = json.loads(text) if kind == "json" else text
    return found


def registered(answers, noun):
    return {entry["name"] for entry in answers["/api/v1/registry"][noun]}


def result(answers, query):
    path = "/api/v1/experiment?depth=3&width=8&batch=16"
    return answers[f"{path}&{query}" if query else path]


def test_every_kind_has_an_example():
    assert [heading for heading, _ in EXAMPLES] == [
        "An activation", "A layer or a norm", "An init scheme", "A loss", "A dataset",
        "A matmul variant", "A rule", "An analysis", "A parameter of the experiment", "A page",
        "A chart",
    ]  # fmt: skip


@pytest.mark.parametrize("room", sorted(p.name for p in TOP.iterdir() if p.is_dir()))
def test_every_room_is_on_the_map(room):
    ignored = (TOP / ".gitignore").read_text().split()
    if room == ".git" or any(fnmatch(f"{room}/", p.removeprefix("/")) for p in ignored):
        return
    assert re.search(rf"^{re.escape(room)}/", TEXT, re.MULTILINE), room


@pytest.mark.parametrize("room", sorted(p.name for p in (TOP / "engine").iterdir() if p.is_dir()))
def test_every_room_of_the_engine_is_on_the_map(room):
    if room != "__pycache__":
        assert re.search(rf"^  .*\b{room}/", TEXT, re.MULTILINE), room


def test_they_keep_the_style(changed):
    shutil.copy(TOP / "pyproject.toml", changed)
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run([sys.executable, "-m", "ruff", *command, "engine", "app"],
                              cwd=changed, capture_output=True, text=True)  # fmt: skip
        assert done.returncode == 0, done.stdout


def test_an_activation(answers):
    assert "arctan" in registered(answers, "activation")
    found = result(answers, "activation=arctan")
    assert [layer["kind"] for layer in found["layers"]].count("arctan") == 3
    assert '"arctan"' in answers["/"]


def test_a_norm(answers):
    assert "centre" in registered(answers, "norm")
    found = result(answers, "norm=centre")
    assert found["theory"]["available"] is False
    assert [layer["kind"] for layer in found["layers"]].count("centre_norm") == 3


def test_an_init_scheme(answers):
    assert "fan_out_uniform" in registered(answers, "init")
    assert result(answers, "init=fan_out_uniform")["theory"]["available"] is True


def test_a_loss(answers):
    assert "log_cosh" in registered(answers, "loss")
    found = result(answers, "loss=log_cosh&check=true")
    assert 0 < found["loss"] < 10
    assert found["check"]["autograd_max_relative_error"] < 1e-5


def test_a_dataset(answers):
    assert "signs" in registered(answers, "data")
    found = result(answers, "data=signs&loss=cross_entropy")
    assert found["experiment"]["data"] == "signs"
    assert found["layers"][-1]["shape"] == [16, 2]


def test_a_matmul_variant(answers):
    assert "inner" in registered(answers, "matmul")
    assert "inner products" in answers["/foundations/matmul"]


def test_a_rule(answers):
    assert "bottleneck" in registered(answers, "rule")
    found = answers["/api/v1/experiment?depth=3&width=3&batch=16"]["findings"]
    assert "bottleneck" in [f["rule"] for f in found]
    assert "bottleneck" in answers["/why/diagnosis"]


def test_an_analysis(answers):
    asked = "why/input_sensitivity?depth=2&width=4&batch=8"
    assert len(answers[f"/api/v1/{asked}"]["rms"]) == 4
    assert "Which units of the first layer the loss hears." in answers[f"/{asked}"]


def test_a_parameter(answers):
    assert 'name="data_seed"' in answers["/"]
    plain, changed = result(answers, ""), result(answers, "data_seed=1")
    weights = [r["layers"][0]["parameters"]["weight"]["value"] for r in (plain, changed)]
    assert weights[0] == weights[1]
    assert plain["layers"][0]["activation"] != changed["layers"][0]["activation"]


def test_a_page(answers):
    assert 'href="/variances"' in answers["/"]
    assert "kaiming_uniform" in answers["/variances"]


def test_a_chart(answers):
    assert answers["/variances"].count("<rect ") == answers["/variances"].count('scope="row"')
