"""The bits of two hundred specifications: written before a change, compared after it.

``python -m tools.specification_digests write FILE`` and ``… compare FILE``. A digest is over every
activation, every gradient and the loss. Bits depend on the processor and on torch's build, so a
file is worth something on the machine on which it was written, and says which that was.
"""

from __future__ import annotations

import hashlib
import json
import platform
import random
import sys
from pathlib import Path

import torch
from torch import Tensor

from layerscope.engine.execution.network import Network
from layerscope.engine.execution.passes import BackwardStep, ForwardStep, passes
from layerscope.engine.experiment.data import DATASETS
from layerscope.engine.experiment.specification import DTYPES, Experiment
from layerscope.engine.layers import ACTIVATIONS
from layerscope.engine.layers.initialization import INITS
from layerscope.engine.layers.losses import LOSSES

SPECIFICATIONS = 200


def specifications() -> list[Experiment]:
    """The same two hundred every time: every option of every registry, in odd sizes."""
    chosen = random.Random(1)  # noqa: S311 - nothing is secret here
    found = []
    inits, activations = list(INITS), list(ACTIVATIONS)
    for i in range(SPECIFICATIONS):
        data = chosen.choice(list(DATASETS)) if i % 4 == 0 else "gaussian"
        width = chosen.choice((1, 2, 7, 16, 33, 64, 100))
        found.append(
            Experiment(
                depth=chosen.choice((1, 2, 3, 8, 25, 50)),
                width=width,
                batch=chosen.choice((1, 2, 5, 30, 64, 200)),
                inputs=chosen.choice((None, None, 1, 10, 77)) if data == "gaussian" else None,
                activation=activations[i % len(activations)],
                init=inits[(i * 7) % len(inits)],
                init_scale=chosen.choice((1.0, 1.0, 0.01, 0.1, 1.3, 2.0, 0.0, 30.0)),
                bias_std=chosen.choice((0.0, 0.0, 0.2236, 1.5)),
                norm=chosen.choice(("none", *Experiment.options("norm"))),
                residual=chosen.random() < 0.25,
                data=data,
                loss=list(LOSSES)[i % len(LOSSES)],
                dtype=chosen.choice(("float32", "float32", *DTYPES)),
                seed=chosen.choice((0, 1, 2**40 + 7)),
            )
        )
    return found


def digest(experiment: Experiment) -> str:
    """SHA-256 over the bits of every tensor that the two passes make."""
    total = hashlib.sha256()

    def add(tensor: Tensor) -> None:
        total.update(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())

    for step in passes(Network(experiment)):
        if isinstance(step, ForwardStep):
            add(step.output)
        elif isinstance(step, BackwardStep):
            add(step.gradient)
            for name in sorted(step.layer.gradients):
                add(step.layer.gradients[name])
        else:
            add(step.loss.reshape(1))
    return total.hexdigest()


def machine() -> str:
    """What the bits depend on."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [x for x in info.read_text(encoding="utf-8").splitlines() if "model name" in x]
        model = names[0].partition(":")[2].strip() if names else model
    return f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, {model}"


def main(arguments: list[str]) -> int:
    """``write`` or ``compare``; returns 1 where a specification's bits are not what they were."""
    torch.set_num_threads(1)
    mode, file = arguments
    found = {json.dumps(e.to_query(), sort_keys=True): digest(e) for e in specifications()}
    path = Path(file)
    if mode == "write":
        path.write_text(json.dumps({"machine": machine(), "digests": found}, indent=1) + "\n")
        print(f"{len(found)} digests written; {machine()}")
        return 0
    known = json.loads(path.read_text())
    if known["machine"] != machine():
        print(f"written on {known['machine']}; this is {machine()}: bits cannot be compared")
        return 2
    changed = [q for q, bits in known["digests"].items() if found.get(q) != bits]
    for query in changed:
        print("changed:", query)
    print(f"{len(known['digests']) - len(changed)} of {len(known['digests'])} as they were")
    return 1 if changed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
