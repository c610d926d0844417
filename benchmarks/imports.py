"""What ``import layerscope`` costs over a bare interpreter, and the engine and the whole beside it.

Run ``python -m benchmarks.imports``. Each turn starts every interpreter once, so that a machine's
mood falls on all of them. Exits with 1 when the one name costs more than 50 ms.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

TURNS = 7
TARGET = 50.0  # milliseconds over a bare interpreter
CODE = {
    "bare interpreter": "pass",
    "import layerscope": "import layerscope",
    "layerscope.statistics": "import layerscope; layerscope.statistics",
    "layerscope.Experiment": "import layerscope; layerscope.Experiment",
    "import torch": "import torch",
    "layerscope.app.main": "import layerscope.app.main",
}


def milliseconds(code: str) -> float:
    """From the start of an interpreter that runs ``code`` to its end."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return 1e3 * (time.perf_counter() - began)


def main() -> None:
    """Print medians, and each as a difference to and a multiple of the bare interpreter."""
    for code in CODE.values():
        milliseconds(code)  # compiles the bytecode
    turns = [{name: milliseconds(code) for name, code in CODE.items()} for _ in range(TURNS)]
    medians = {name: statistics.median(turn[name] for turn in turns) for name in CODE}
    bare = medians["bare interpreter"]
    print(f"{'':<24}{'median':>10}{'over bare':>12}{'ratio':>8}")
    for name, median in medians.items():
        print(f"{name:<24}{median:>7.0f} ms{median - bare:>9.0f} ms{median / bare:>8.1f}")
    if medians["import layerscope"] - bare > TARGET:
        raise SystemExit(f"import layerscope costs more than {TARGET:g} ms")


if __name__ == "__main__":
    main()
