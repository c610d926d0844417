"""Every program of examples/ runs, and prints what it promises."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
PRINTS = {
    "init_scales.py": [r"^ +0\.5 .* vanish", r"^ +1\.0 .* hold", r"^ +2\.0 "],
    "fifty_layers.py": [
        r"^randn × 1\.0 +overflows at layer 38$",
        r"^randn × 0\.01 +is zero from layer \d+$",
        r"^randn × 0\.1 +std [\d.]+ at layer 50$",
    ],
    "tensor_statistics.py": [
        r"^100000 entries: 1 NaN, 1 \+Inf, 1 zero; the others:$",
        r"^mean -?\d\S*, std 1e-05, from -4\.\S+e-05 to 4\.\S+e-05$",
        r"^float16: (99\.9|100\.0)% below its normal range, 0\.0% above$",
    ],
    "failing_training.py": [
        r"^error since step \d+: 6 parameters step by gradients that were used before$",
        r"^  optimizer\.zero_grad\(\)",
        r"^repaired:$",
        r"^  (8|9)\d% of the digits told right$",
    ],
    "follow_a_stream.py": [r"^ +linear1 +std ", r"^ +tanh10 +std ", r"^loss \d"],
}
"""Lines that each must print, in this order."""


def test_every_example_is_told_and_expected():
    programs = {path.name for path in EXAMPLES.glob("*.py")}
    assert programs == set(PRINTS)
    told = (EXAMPLES / "README.md").read_text()
    assert set(re.findall(r"\]\((\w+\.py)\)", told)) == programs


@pytest.mark.parametrize("name", PRINTS)
def test_it_runs(name, request, interpreter, tmp_path):
    needs_server = name == "follow_a_stream.py"
    arguments = [request.getfixturevalue("server").url] if needs_server else []
    done = interpreter.run(
        EXAMPLES / name, *arguments, cwd=tmp_path, env={**os.environ, "PYTHONWARNINGS": "error"}
    )
    assert done.returncode == 0, done.stderr
    lines = iter(done.stdout.splitlines())
    for pattern in PRINTS[name]:
        assert any(re.search(pattern, line) for line in lines), f"{pattern}\n{done.stdout}"
