"""Follow an experiment on a running server, layer by layer, over server-sent events.

make serve
python examples/follow_a_stream.py [http://127.0.0.1:8000]
"""

import json
import sys
from collections.abc import Iterator
from typing import Any

import httpx

SPECIFICATION = {"activation": "tanh", "init": "xavier_normal", "depth": 10}


def events(lines: Iterator[str]) -> Iterator[tuple[str, Any]]:
    """Name and data of each event of a stream."""
    name = ""
    for line in lines:
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, json.loads(value)


def main(server: str = "http://127.0.0.1:8000") -> None:
    """Print a line for each layer as it is computed, then what was found."""
    address = f"{server}/api/v1/experiment/stream"
    with httpx.stream("GET", address, params=SPECIFICATION, timeout=60) as response:
        response.raise_for_status()
        for name, data in events(response.iter_lines()):
            if name == "forward":
                for layer in data["layers"]:
                    print(f"{layer['name']:>10}  std {layer['activation']['std']:.3g}")
            elif name == "finding":
                print(f"{data['severity']}: {data['rule']}")
            elif name == "summary":
                print(f"loss {data['loss_text']}: {data['verdict']['title']}")


if __name__ == "__main__":
    main(*sys.argv[1:])
