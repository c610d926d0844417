"""Draws that are remembered change no bit, and no more memory than they may."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
from torch import Tensor

from layerscope.engine.execution import network
from layerscope.engine.execution.draws import Draws
from layerscope.engine.execution.network import Network
from layerscope.engine.experiment.specification import Experiment

SMALL = {"depth": 3, "width": 6, "inputs": 5, "batch": 4}


@pytest.fixture
def draws(monkeypatch: pytest.MonkeyPatch) -> Draws:
    found = Draws()
    monkeypatch.setattr(network, "_draws", found)
    return found


def parameters(net: Network) -> list[Tensor]:
    """Of one more forward pass."""
    x, found = net.x, []
    for info in net.infos:
        layer = net.build(info, x)
        found += [p.clone() for p in layer.parameters.values()]
        x = layer.forward(x)
    return found


def same(a: list[Tensor], b: list[Tensor]) -> bool:
    return len(a) == len(b) and all(map(torch.equal, a, b))


@pytest.mark.parametrize(
    "change",
    [
        {}, {"bias_std": 0.3}, {"init": "pytorch_default"}, {"init": "lsuv"}, {"fan": "fan_out"},
        {"init": "identity"}, {"norm": "layer"}, {"dtype": "float16"}, {"bias_mean": 0.5},
    ],
)  # fmt: skip
def test_every_bit_is_as_drawn_anew(draws: Draws, change: dict[str, Any]) -> None:
    e = Experiment(**{**SMALL, **change})
    nets = Network(e), Network(e)
    anew = [parameters(nets[0]) for _ in range(2)]  # a second pass goes on drawing
    assert draws.of(nets[0]._key) is not None
    known = Network(e)
    assert known._known is not None
    assert all(same(a, parameters(known)) for a in anew)
    assert nets[1]._known is None
    assert all(same(a, parameters(nets[1])) for a in anew)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1}, {"init": "xavier_normal"}, {"width": 7}, {"depth": 4}, {"inputs": 6},
        {"bias_std": 0.1}, {"fan": "fan_out"},
    ],
)  # fmt: skip
def test_what_decides_draws_tells_networks_apart(draws: Draws, change: dict[str, Any]) -> None:
    parameters(Network(Experiment(**SMALL)))
    assert Network(Experiment(**{**SMALL, **change}))._known is None
    assert Network(Experiment(**SMALL, init_scale=3.0, activation="tanh"))._known is not None


@pytest.mark.parametrize("bias_std", [0.0, 0.3])
def test_a_layer_that_draws_too_gets_its_own(
    draws: Draws, bias_std: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    e = Experiment(**SMALL, bias_std=bias_std)
    shapes = [(5, 6), (6, 6), (3, 2), (6, 6), (6, 6), (6, 1)]

    def drawn(net: Network) -> list[Tensor]:
        return [t for shape in shapes for t in net._next(*shape) if t is not None]

    parameters(Network(e))
    known = Network(e)
    assert known._known is not None
    mixed = drawn(known)
    monkeypatch.setattr(network, "_draws", Draws(most_bytes=0))
    assert same(mixed, drawn(Network(e)))


def test_a_pass_that_ends_early_leaves_nothing(draws: Draws) -> None:
    net = Network(Experiment(**SMALL))
    net.build(net.infos[0], net.x)
    assert draws.of(net._key) is None


def test_the_oldest_are_forgotten_and_the_large_not_remembered() -> None:
    draws = Draws(most_bytes=1000)
    for name in "abc":
        draws.remember(name, [(torch.zeros(100), None)])
        assert draws.of("a") is not None or name == "c"
    assert draws.of("a") is not None  # asked for since: "b" was the oldest
    assert draws.of("b") is None
    assert draws.of("c") is not None
    draws.remember("large", [(torch.zeros(251), None)])
    assert draws.of("large") is None
    assert draws.of("c") is not None
    assert not draws.worth(1001)


def test_networks_too_large_to_be_remembered_keep_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "_draws", Draws(most_bytes=100))
    net = Network(Experiment(**SMALL))
    parameters(net)
    assert net._drawn == []


def test_threads_share_them(draws: Draws) -> None:
    e = Experiment(**SMALL)
    found: list[list[Tensor]] = []
    threads = [
        threading.Thread(target=lambda: found.append(parameters(Network(e)))) for _ in "abcd"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(same(found[0], each) for each in found)
