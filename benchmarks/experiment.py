"""A whole experiment with full statistics against PyTorch's autograd with none.

Layerscope: forward, hand-written backward, and full statistics of every activation, gradient,
weight and weight gradient. PyTorch: ``nn.Sequential`` forward and ``loss.backward()``, nothing
else. Both on the same weights, drawn beforehand; interleaved, medians of one process.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch

from layerscope.engine.diagnosis.run import run
from layerscope.engine.execution.network import LayerInfo, Network
from layerscope.engine.execution.passes import ForwardStep, passes
from layerscope.engine.execution.recording import record_all
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.layers import ACTIVATIONS, Layer, Linear
from layerscope.engine.statistics import warm_up
from layerscope.engine.theory.experiments import predict_experiment


class Drawn(Network):
    """A network whose weights are drawn once, so that only the passes are timed."""

    def __init__(self, experiment: Experiment) -> None:
        super().__init__(experiment)
        x = torch.zeros(1, experiment.n_inputs)
        self.weights = {
            info.index: Network.build(self, info, x).parameters
            for info in self.infos
            if info.kind == "linear"
        }

    def build(self, info: LayerInfo, x: torch.Tensor) -> Layer:  # noqa: ARG002
        if info.kind == "linear":
            return Linear(**self.weights[info.index])
        return ACTIVATIONS[info.kind]()


def ours(network: Drawn) -> Callable[[], object]:
    """Both passes with every statistic that the product records."""

    def once() -> object:
        return record_all(network)

    return once


def bare(network: Drawn) -> Callable[[], object]:
    """Both passes by hand, without a statistic."""

    def once() -> object:
        for _ in passes(network):
            pass
        return None

    return once


def torch_autograd(network: Drawn) -> Callable[[], object]:
    """The same network as nn.Sequential, forward and backward, without a statistic."""
    modules: list[torch.nn.Module] = []
    for info in network.infos:
        if info.kind == "linear":
            weight, bias = network.weights[info.index].values()
            linear = torch.nn.Linear(*weight.shape)
            linear.weight.data, linear.bias.data = weight.t().contiguous(), bias.clone()
            modules.append(linear)
        else:
            modules.append(torch.nn.ReLU())
    model = torch.nn.Sequential(*modules)

    def once() -> object:
        model.zero_grad(set_to_none=True)
        loss = torch.nn.functional.mse_loss(model(network.x), network.target)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    return once


def drawn_and_recorded(experiment: Experiment) -> Callable[[], object]:
    """Drawing, both passes, statistics: the whole experiment without theory and diagnosis."""

    def once() -> object:
        return record_all(Network(experiment))

    return once


def whole(experiment: Experiment) -> Callable[[], object]:
    """What the server does: the same with theory, as if never asked before, and diagnosis."""

    def once() -> object:
        predict_experiment.cache_clear()
        return list(run(experiment))

    return once


def medians(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each, called in turn."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - began)
    return {name: float(np.median(values)) for name, values in times.items()}


def memory_of_a_deep_network() -> None:
    """What depth 1000 at width 100 holds at its peak, against what backward needs."""
    experiment = Experiment(depth=1000)
    needed = 0
    peak = live = 0
    sizes: list[int] = []
    for step in passes(Network(experiment)):
        if isinstance(step, ForwardStep):
            # backward needs each linear layer's input (= the ReLU's output) and its weight
            if step.info.kind == "linear":
                needed += step.x.nbytes + step.layer.parameters["weight"].nbytes
            sizes.append(needed)
    live = needed
    peak = max(peak, live)
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    for _ in run(experiment):
        pass
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(
        f"depth 1000, width 100: backward needs {needed / 2**20:.0f} MiB; "
        f"peak of the process {after / 2**20:.0f} MiB, {max(after - before, 0) / 2**20:.0f} MiB of "
        "it from running it a second time with all statistics"
    )


def main() -> None:
    """Print times and ratios for one and for all threads."""
    warm_up()
    experiment = Experiment()
    for threads in sorted({1, torch.get_num_threads()}):
        torch.set_num_threads(threads)
        network = Drawn(experiment)
        found = medians(
            {
                "torch": torch_autograd(network),
                "bare": bare(network),
                "ours": ours(network),
                "drawn": drawn_and_recorded(experiment),
                "whole": whole(experiment),
            },
            rounds=41,
        )
        print(f"default experiment, {threads} thread(s)")
        for name, seconds in found.items():
            print(f"  {name:6} {seconds * 1e3:8.2f} ms   {seconds / found['torch']:.2f} × torch")
        print(f"  theory and diagnosis: whole / drawn = {found['whole'] / found['drawn']:.2f}")
    memory_of_a_deep_network()


if __name__ == "__main__":
    main()
