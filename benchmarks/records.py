"""Records a second and bytes a record: the compact form beside orjson of ``to_dict``.

``python -m benchmarks.records`` runs one network of the Lab and writes and reads its records.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import orjson
import torch

from layerscope.engine.execution.network import Network
from layerscope.engine.execution.recording import record_all
from layerscope.engine.execution.records import Record
from layerscope.engine.experiment.specification import Experiment

ROUNDS = 20


def rate(call: Callable[[], Sequence[object]]) -> float:
    """Records a second, in the best of several rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.perf_counter()
        count = len(call())
        best = min(best, (time.perf_counter() - began) / count)
    return 1 / best


def main() -> None:
    """Print rates, sizes and their ratios."""
    torch.set_num_threads(1)
    records, _ = record_all(Network(Experiment()))
    binary = [r.to_bytes() for r in records]
    text = [orjson.dumps(r.to_dict()) for r in records]
    rates = {
        "to bytes": rate(lambda: [r.to_bytes() for r in records]),
        "from bytes": rate(lambda: [Record.from_bytes(b) for b in binary]),
        "to JSON": rate(lambda: [orjson.dumps(r.to_dict()) for r in records]),
        "from JSON": rate(lambda: [Record.from_dict(orjson.loads(t)) for t in text]),
    }
    for name, value in rates.items():
        print(f"{name:<11} {value:>9,.0f} records/s")
    sizes = sum(map(len, binary)) / len(binary), sum(map(len, text)) / len(text)
    print(
        f"bytes a record {sizes[0]:,.0f}, as JSON {sizes[1]:,.0f}: 1 to {sizes[1] / sizes[0]:.2f}"
    )
    print(f"writing is {rates['to bytes'] / rates['to JSON']:.1f} times as quick as JSON")
    print(f"reading is {rates['from bytes'] / rates['from JSON']:.1f} times as quick as JSON")


if __name__ == "__main__":
    main()
