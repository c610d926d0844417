"""The blocks of docs/callbacks.md, each where its library is installed."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[4] / "docs" / "callbacks.md"
LIBRARIES = ("lightning", "transformers", "fastai", "accelerate", "tensorboard")
BLOCKS = re.findall(r"^```py\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def test_every_library_has_a_block():
    assert len(BLOCKS) == len(LIBRARIES)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("library", "block"), list(zip(LIBRARIES, BLOCKS, strict=True)), ids=LIBRARIES
)
def test_a_block_prints_what_it_says(library, block, capsys):
    assert re.search(rf"^(import|from) {library}\b", block, re.MULTILINE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the libraries' own
        pytest.importorskip(library, reason=f"{library} is not installed", exc_type=ImportError)
        exec(compile(block, PAGE.name, "exec"), {"__name__": "__main__"})  # noqa: S102
    said = re.findall(r"# (\d+)\n", block)
    assert capsys.readouterr().out.split()[-1] == said[-1]
