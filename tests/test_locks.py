"""The locks, what is told of holes in what they name, and the list of parts made of them."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from tools import audit, sbom
from tools.lock import DEVELOPMENT, blocks, locked, without_hashes

TOP = Path(__file__).resolve().parents[1]
LOCK = (TOP / "requirements.lock").read_text()
CONSTRAINTS = (TOP / "constraints.txt").read_text()
MAKEFILE = (TOP / "Makefile").read_text()


def names(text):
    return {re.split(r"==", block)[0] for block in blocks(text)}


def test_every_package_has_hashes_but_torch():
    found = blocks(LOCK)
    assert len(found) > 60
    for block in found:
        assert re.match(r"[a-z0-9-]+==[^\s;]+( ; [^\\]+)? \\\n", block), block
        assert len(re.findall(r"--hash=sha256:[0-9a-f]{64}\b", block)) == block.count("--hash")
        assert "--hash" in block
    assert not re.search(r"^(torch|nvidia|cuda|triton)", LOCK, re.MULTILINE)
    assert "://" not in LOCK


def test_both_locks_name_the_same_versions():
    torch = re.search(r"^TORCH_VERSION := (\S+)$", MAKEFILE, re.MULTILINE)[1]
    assert without_hashes(LOCK, torch) == CONSTRAINTS


def test_what_runs_stands_apart_from_what_develops():
    runtime, _, development = LOCK.partition(DEVELOPMENT)
    project = tomllib.loads((TOP / "pyproject.toml").read_text())
    needed = {re.match(r"[a-z0-9-]+", each)[0] for each in project["project"]["dependencies"]}
    assert needed - {"torch"} <= names(runtime)
    tools = {re.match(r"[a-z0-9-]+", each)[0] for each in project["dependency-groups"]["dev"]}
    assert tools - {"plotly", "setuptools"} <= names(development)
    assert not names(runtime) & names(development)


def test_a_lock_is_made_of_two_resolutions():
    a, b = "a==1 \\\n    --hash=sha256:0", "b==2 ; sys_platform == 'linux' \\\n    --hash=sha256:1"
    text = locked(f"{a}\ntorch==3\n", f"{a}\n{b}\nnvidia-nccl-cu13==1\n")
    assert blocks(text.partition(DEVELOPMENT)[0]) == [a]
    assert blocks(text) == [a, b]
    assert without_hashes(text, "3").splitlines()[1:] == ["a==1", "b==2", "torch==3"]


def test_the_list_of_parts_has_both_sides_and_no_tool():
    document = json.loads(sbom.bom())
    assert document["bomFormat"] == "CycloneDX"
    parts = {part["name"]: part for part in document["components"]}
    assert {"fastapi", "torch", "htmx.org", "plotly.js-cartesian-dist-min"} <= set(parts)
    assert not {"pytest", "ruff", "eslint", "typescript"} & set(parts)
    assert parts["htmx.org"]["purl"].startswith("pkg:npm/htmx.org@")
    assert all("hashes" in part for name, part in parts.items() if name != "torch")
    everything = document["dependencies"]
    assert max(len(each.get("dependsOn", ())) for each in everything) == len(parts)


def package(name, *holes, **more):
    known = [{"id": hole, "fix_versions": ["2.0"]} for hole in holes]
    return {"name": name, "version": "1.0", "vulns": known, **more}


@pytest.mark.parametrize(
    ("packages", "holes", "said"),
    [
        ([package("a"), package("b")], False, "2 packages checked, 0 known holes"),
        ([package("a", "PYSEC-1")], True, "a 1.0: PYSEC-1, mended in 2.0"),
        ([package("a"), {"name": "b", "skip_reason": "x"}], False, "1 not checked"),
        ([{"name": "b", "skip_reason": "x"}], False, "not checked: the index knows none of 1"),
    ],
)
def test_what_pip_audit_found_is_said(packages, holes, said):
    verdict = audit.pip_verdict(json.dumps({"dependencies": packages}), "")
    assert verdict[0] is holes
    assert said in verdict[1]


def npm(*severities):
    holes = {str(n): {"name": f"p{n}", "range": "<2", "severity": s}
             for n, s in enumerate(severities)}  # fmt: skip
    return json.dumps({"vulnerabilities": holes, "metadata": {"dependencies": {"total": 9}}})


@pytest.mark.parametrize(
    ("output", "holes", "said"),
    [
        (npm(), False, "9 packages checked, 0 known holes"),
        (npm("low"), False, "p0 <2: low"),
        (npm("low", "high"), True, "p1 <2: high"),
        ('{"message": "405 Method Not Allowed"}', False, "not checked: 405 Method Not Allowed"),
    ],
)
def test_what_npm_audit_found_is_said(output, holes, said):
    verdict = audit.npm_verdict(output, "")
    assert verdict[0] is holes
    assert said in verdict[1]


@pytest.mark.parametrize("verdict", [audit.pip_verdict, audit.npm_verdict])
def test_without_a_network_it_is_said_in_one_line_and_nothing_fails(verdict):
    holes, told = verdict("", "Traceback\n  more\nConnectionError: no route to host\n")
    assert not holes
    assert told.endswith("not checked: ConnectionError: no route to host")
    assert "\n" not in told
