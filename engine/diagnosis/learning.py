"""Whether a network learns: some dozens of steps on its own batch, with SGD and with Adam."""

from __future__ import annotations

from itertools import islice

import torch

from layerscope.engine.basis.cancellation import ShouldStop, never
from layerscope.engine.execution.cost import cost, here, passes_flops
from layerscope.engine.execution.network import layout
from layerscope.engine.execution.optimizers import Adam, Optimizer, Sgd
from layerscope.engine.execution.prices import TYPICAL
from layerscope.engine.execution.steps import KeptNetwork, training
from layerscope.engine.experiment.specification import DTYPES, Experiment

__all__ = [
    "OPTIMIZERS", "TRIED_CHANGES", "Learned", "Learning", "few_samples", "learning_flops",
    "training_bytes",
]  # fmt: skip

STEPS = 30
TRIED_CHANGES = 4  # that removed the finding, at most of so many it is asked whether they learn
SAMPLES = 64  # of the batch: enough to tell, and a third of the default's cost
OPTIMIZERS: dict[str, type[Optimizer]] = {"SGD": Sgd, "Adam": Adam}
RATES = {"SGD": (0.01, 0.003, 0.03, 0.1), "Adam": (0.001, 0.01)}
"""Learning rates tried, the most usual first: a network learns if it does at one of them."""
LEARNED = 0.95  # of the loss of the best constant output, or of the first loss if that is less
DIVERGED = 10.0  # times the first loss: no use to go on
BUDGET_FLOPS = 240_000_000_000
"""For all trainings of one finding, some seconds on a core, at typical prices."""
LITTLE_BYTES = 64 * 2**20  # a training that needs no more may always be run
Learned = dict[tuple[Experiment, str], tuple[bool, int]]
"""Whether an experiment learned with an optimiser, and what finding out took."""
COPIES = 3  # of the weights that Adam's step holds beside them, in float32 or wider


def learning_flops(experiment: Experiment) -> int:
    """What finding out whether changes of ``experiment`` learn takes at most, on this machine; what
    is tried at all is known by typical prices."""
    runs = TRIED_CHANGES * sum(map(len, RATES.values())) * (STEPS + 1)
    small = few_samples(experiment, SAMPLES)
    return here(min(runs * passes_flops(small, TYPICAL), BUDGET_FLOPS), small)


def few_samples(experiment: Experiment, samples: int) -> Experiment:
    """The same of no more than so many samples: what a training on them costs."""
    return experiment.model_copy(update={"batch": min(samples, experiment.batch)})


def training_bytes(experiment: Experiment) -> int:
    """What a training of it holds, with Adam's copies of the weights."""
    weights = sum(i.n_in * i.shape[1] for i in layout(experiment) if i.role == "linear_map")
    entry = max(torch.float32.itemsize, DTYPES[experiment.dtype].itemsize)
    return cost(experiment).bytes + COPIES * entry * weights


class Learning:
    """Short trainings within one budget; what does not fit in it, and changes after the first
    ``TRIED_CHANGES``, count as not having learned. ``known`` are other budgets' trainings: one that
    fits in this one too is not made again."""

    def __init__(
        self, most_bytes: int = LITTLE_BYTES, should_stop: ShouldStop = never,
        known: Learned | None = None,
    ) -> None:  # fmt: skip
        self._most = max(most_bytes, LITTLE_BYTES)
        self._should_stop = should_stop
        self._known: Learned = {} if known is None else known
        self._spent = 0
        self._changes = 0

    def with_both(self, experiment: Experiment) -> bool:
        """Whether ``experiment`` learns with either optimiser.

        >>> Learning().with_both(Experiment(depth=2, width=16, batch=16))
        True
        """
        self._changes += 1
        if self._changes > TRIED_CHANGES:
            return False
        return all(self.by(experiment, name) for name in OPTIMIZERS)

    def by(self, experiment: Experiment, optimizer: str) -> bool:
        """Whether it does with this one, at any of the rates."""
        learned, taken = self._known.get((experiment, optimizer), (False, BUDGET_FLOPS))
        if self._spent + taken < BUDGET_FLOPS:
            self._spent += taken
            return learned
        before = self._spent
        learned = any(
            self._learns(experiment, OPTIMIZERS[optimizer](rate)) for rate in RATES[optimizer]
        )
        if self._spent + passes_flops(few_samples(experiment, SAMPLES), TYPICAL) <= BUDGET_FLOPS:
            self._known[experiment, optimizer] = learned, self._spent - before
        return learned

    def _learns(self, experiment: Experiment, optimizer: Optimizer) -> bool:
        small = few_samples(experiment, SAMPLES)
        if training_bytes(small) > self._most:
            return False
        step = passes_flops(small, TYPICAL)
        if self._spent + step > BUDGET_FLOPS:
            return False
        network = KeptNetwork(experiment, SAMPLES)
        baseline = network.loss.baseline(network.target)
        losses = training(network, optimizer, should_stop=self._should_stop)
        first = next(losses)
        self._spent += step
        goal = LEARNED * (min(first, baseline) or first)
        for loss in islice(losses, STEPS):
            self._spent += step
            if loss < goal:
                return True
            if self._spent > BUDGET_FLOPS or loss > DIVERGED * first:
                return False
        return False
