"""``make lock``: all versions into constraints.txt, and with hashes into requirements.lock.

    python -m tools.lock UV TORCH_VERSION [--keep]

One resolution holds for every platform and Python, by markers. ``--keep`` changes no version that
stands in constraints.txt already: for a dependency that was added or taken away.

torch has its version alone. Its wheels differ by index (CPU, CUDA, ROCm) under one number, and a
hash would allow only one of them; what only its CUDA wheels need comes with those.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

__all__ = ["DEVELOPMENT", "blocks", "locked", "without_hashes"]

TOP = Path(__file__).parent.parent
TORCHS_OWN = re.compile(r"(torch|triton|cuda-.*|nvidia-.*)==")
DEVELOPMENT = "# For development alone."
HEAD = "# Every package but torch, with the hashes of all its files. Written by `make lock`."
CONSTRAINTS_HEAD = (
    "# Every package, direct or not, at the version the tests run with. Written by `make lock`."
)


def blocks(text: str) -> list[str]:
    r"""The requirements of a file, each with the lines of its hashes; without torch and its own.

    >>> blocks("# by a program\na==1 \\\n    --hash=sha256:0\ntorch==2\nb==2\n")
    ['a==1 \\\n    --hash=sha256:0', 'b==2']
    """
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    found = re.split(r"\n(?=\S)", lines.strip())
    return [block for block in found if block and not TORCHS_OWN.match(block)]


def locked(runtime: str, everything: str) -> str:
    """One file: what is needed to run, then what is added for development."""
    first = blocks(runtime)
    rest = [block for block in blocks(everything) if block not in first]
    return "\n".join([HEAD, *first, DEVELOPMENT, *rest, ""])


def without_hashes(text: str, torch: str) -> str:
    """The same as constraints, one version a line, torch's with them."""
    names = [re.split(r"[ ;\\]", block)[0] for block in blocks(text)]
    return "\n".join([CONSTRAINTS_HEAD, *sorted({*names, f"torch=={torch}"}), ""])


def _compile(uv: str, *more: str | Path) -> str:
    done = subprocess.run(  # noqa: S603 - given by the Makefile
        [
            uv, "pip", "compile", "pyproject.toml", "--universal", "--python-version", "3.11",
            "--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url",
            "--no-emit-find-links", "--quiet", *more,
        ],
        check=True, stdout=subprocess.PIPE, text=True, cwd=TOP,
    )  # fmt: skip
    return done.stdout


def main(given: Sequence[str] | None = None) -> None:
    """The program."""
    parser = argparse.ArgumentParser()
    parser.add_argument("uv")
    parser.add_argument("torch")
    parser.add_argument("--keep", action="store_true")
    asked = parser.parse_args(given)
    constraints, lock = TOP / "constraints.txt", TOP / "requirements.lock"
    with tempfile.TemporaryDirectory() as folder:
        known = Path(folder) / "constraints.txt"
        standing = constraints.read_text().splitlines() if asked.keep else []
        mine = [line for line in standing if not line.startswith("torch==")]
        known.write_text("\n".join([*mine, f"torch=={asked.torch}", ""]))
        everything = _compile(asked.uv, "--group", "dev", "--constraint", known)
        known.write_text(without_hashes(everything, asked.torch))
        runtime = _compile(asked.uv, "--constraint", known)
    constraints.write_text(without_hashes(everything, asked.torch))
    lock.write_text(locked(runtime, everything))


if __name__ == "__main__":
    main()
