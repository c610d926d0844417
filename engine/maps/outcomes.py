"""What a cell of a map may tell: one function each, which reads it off an experiment.

What the Lab tells too is the Lab's own number: computed by the same code, of the same records.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from layerscope.engine.analyses.correlations import STARTS, correlations, correlations_cost
from layerscope.engine.analyses.spectrum import block_matrices
from layerscope.engine.basis.cancellation import ShouldStop, never
from layerscope.engine.basis.registry import Registry
from layerscope.engine.diagnosis import SEVERITIES, Evidence
from layerscope.engine.diagnosis.run import Summary, run, run_cost
from layerscope.engine.execution.cost import Cost, cost
from layerscope.engine.execution.network import Network
from layerscope.engine.execution.passes import LossStep, passes
from layerscope.engine.execution.prices import prices
from layerscope.engine.execution.recording import record_all
from layerscope.engine.execution.records import Record
from layerscope.engine.experiment import Experiment
from layerscope.engine.layers import chosen_norm
from layerscope.engine.layers.losses import LOSSES
from layerscope.engine.maps.training import Trained, train
from layerscope.engine.theory.spectrum import spectrum_through_depth
from layerscope.engine.training import Training, step_cost

__all__ = [
    "OUTCOMES", "START", "Outcome", "Reading", "Subject", "accuracy", "condition", "correlation",
    "dead_share", "finding", "first_nonfinite", "gradient_ratio", "last_std", "loss", "outcome",
    "total_cost", "trained_loss",
]  # fmt: skip

START = 0.6
"""Correlation of the two inputs, one of those that the correlations page starts from."""
DECOMPOSITION = 60  # times n³ a block: one factor of the stabilised product, and the values


@dataclass(frozen=True, slots=True)
class Reading:
    """A number, or in ``text`` why there is none: ``nan``, ``inf``, ``-inf``, a sentence. With a
    number, ``text`` says what else there is to say of it."""

    number: float | None
    text: str = ""

    @classmethod
    def of(cls, value: float | None, text: str = "") -> Reading:
        """The reading of any float.

        >>> Reading.of(0.5), Reading.of(float("-inf")).text
        (Reading(number=0.5, text=''), '-inf')
        """
        if value is None:
            return cls(None, text or "none")
        return cls(value, text) if math.isfinite(value) else cls(None, str(value))

    @property
    def value(self) -> float:
        """The number; an infinity where it is one, NaN where there is none."""
        if self.number is not None:
            return self.number
        return float(self.text) if self.text in ("inf", "-inf") else math.nan


class Subject:
    """An experiment that an outcome is read off: whatever it asks for is computed once."""

    def __init__(
        self, experiment: Experiment, training: Training | None, should_stop: ShouldStop = never
    ) -> None:
        self.experiment, self.training, self.should_stop = experiment, training, should_stop

    @cached_property
    def loss(self) -> float:
        """The loss, by the forward pass alone."""
        for step in passes(Network(self.experiment), self.should_stop):
            if isinstance(step, LossStep):
                return float(step.loss)
        raise AssertionError("a pass has a loss")

    @cached_property
    def evidence(self) -> Evidence:
        """Both passes, recorded."""
        network = Network(self.experiment)
        records, loss = record_all(network, self.should_stop)
        return Evidence(records, loss.value, starts=network.starts)

    @cached_property
    def summary(self) -> Summary:
        """What a run of the experiment ends with, without fixes."""
        events = run(self.experiment, fixes=False, should_stop=self.should_stop)
        return next(event for event in events if isinstance(event, Summary))

    @cached_property
    def trained(self) -> Trained:
        """After the training, which `Outcome.trains` says is there."""
        return train(
            self.experiment, self.training or Training(), should_stop=self.should_stop
        )  # fmt: skip


Read = Callable[[Subject], Reading]


def _any_experiment(_: Experiment) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """``read`` is the outcome of a subject, ``cost`` what that takes.

    ``log``: best looked at in powers of ten, around ``centre`` where there is one; ``levels`` names
    the whole numbers from 0 on that it can be; ``trains``: it is read after a training;
    ``objection`` says why an experiment can't have it, or nothing.
    """

    name: str
    title: str
    formula: str
    source: str
    help: str
    read: Read = field(repr=False)
    cost: Callable[[Experiment], Cost] = field(default=cost, repr=False)
    log: bool = False
    centre: float | None = None
    bounds: tuple[float, float] | None = None
    levels: tuple[str, ...] = ()
    trains: bool = False
    objection: Callable[[Experiment], str] = field(default=_any_experiment, repr=False)


OUTCOMES: Registry[Outcome] = Registry("outcome")


def outcome(
    *,
    title: str,
    formula: str,
    source: str,
    help: str,  # noqa: A002  the registry's own word
    cost: Callable[[Experiment], Cost] = cost,
    log: bool = False,
    centre: float | None = None,
    bounds: tuple[float, float] | None = None,
    levels: tuple[str, ...] = (),
    trains: bool = False,
    objection: Callable[[Experiment], str] = _any_experiment,
) -> Callable[[Read], Read]:
    """Register the decorated function, which stays a function, under its name."""

    def register(read: Read) -> Read:
        OUTCOMES.register(
            Outcome(read.__name__, title, formula, source, help, read, cost, log, centre, bounds,
                    levels, trains, objection)
        )  # fmt: skip
        return read

    return register


def total_cost(
    experiment: Experiment, chosen: Outcome, training: Training | None = None
) -> Cost:  # fmt: skip
    """What one cell and seed takes: where it is trained first, every step and then the outcome."""
    once = chosen.cost(experiment)
    if not chosen.trains:
        return once
    how = training or Training()
    step = step_cost(experiment, how)
    return Cost(how.steps * step.flops, step.bytes).then(once)


@outcome(
    title="Loss",
    formula="L(output, target)",
    source="the experiment's own result",
    help="The loss before any training.",
    log=True,
)
def loss(subject: Subject) -> Reading:
    """The result's loss."""
    return Reading.of(subject.loss)


def _of_block(record: Record | None, which: str) -> float | None:
    found = None if record is None else getattr(record, which)
    return None if found is None else found.std


@outcome(
    title="Last std",
    formula="std of the last hidden block's output",
    source="the notes: does the signal arrive?",
    help="1 where depth leaves the signal as it is, near 0 where it vanishes.",
    log=True,
    centre=1.0,
)
def last_std(subject: Subject) -> Reading:
    """Of the last block's activation, where every entry of it is finite."""
    last = subject.evidence.block_outputs[-1]
    if last.activation.finite < last.activation.count:
        return Reading(None, _worst(last))
    return Reading.of(last.activation.std)


def _worst(record: Record) -> str:
    return "nan" if record.activation.nan else "inf"


@outcome(
    title="Gradient ratio",
    formula="std ∂L/∂y₁ / std ∂L/∂y_d, y the blocks' outputs",
    source="Glorot & Bengio 2010",
    help="First over last block: 1 where every block learns alike, near 0 where the gradient "
    "vanishes on its way back.",
    log=True,
    centre=1.0,
)
def gradient_ratio(subject: Subject) -> Reading:
    """Of the gradients' std at the first and at the last hidden block's output."""
    outputs = subject.evidence.block_outputs
    for record in (outputs[-1], outputs[0]):
        gradient = record.gradient
        if gradient is None or gradient.finite < gradient.count:
            return Reading(None, "nan" if gradient is None or gradient.nan else "inf")
    first, last = (_of_block(r, "gradient") for r in (outputs[0], outputs[-1]))
    if first is None or not last:
        return Reading(None, "the last block's gradient is zero")
    return Reading.of(first / last)


@outcome(
    title="Dead share",
    formula="units that are zero for every sample / units, over the hidden blocks",
    source="Lu et al. 2019, dying ReLU",
    help="Dead units get no gradient, and stay as they are.",
    bounds=(0.0, 1.0),
)
def dead_share(subject: Subject) -> Reading:
    """Of all units of the hidden blocks' outputs, or of their activations where a linear map comes
    behind those."""
    looked = [r.units for r in subject.evidence.unit_outputs if r.units is not None]
    every = sum(each.width for each in looked)
    return Reading.of(sum(each.dead for each in looked) / every if every else None)


@outcome(
    title="First non-finite block",
    formula="least block with a NaN or an infinity in its output",
    source="the notes: randn, fifty times",
    help="How far the signal comes; no number where it comes through.",
)
def first_nonfinite(subject: Subject) -> Reading:
    """The block, from 1; the output layer counts as one more."""
    evidence = subject.evidence
    for record in evidence.records:
        if record.activation.finite < record.activation.count:
            return Reading(float(evidence.block(record)), _worst(record))
    return Reading(None, "none")


@outcome(
    title="Largest finding",
    formula="the most severe of the diagnosis' findings",
    source="the rules of the diagnosis",
    help="What is wrong before training begins, if anything.",
    cost=run_cost,
    levels=("nothing", *SEVERITIES),
)
def finding(subject: Subject) -> Reading:
    """0 for none, 1 for a note, 2 for a warning, 3 for an error; its rule as text."""
    found = subject.summary.findings
    if not found:
        return Reading(0.0)
    worst = max(found, key=lambda f: SEVERITIES.index(f.severity))
    return Reading(1.0 + SEVERITIES.index(worst.severity), worst.rule)


def _spectrum_cost(experiment: Experiment) -> Cost:
    n = max(experiment.width, experiment.n_inputs)
    once = cost(experiment.model_copy(update={"dtype": "float64"}))
    work = DECOMPOSITION * experiment.depth * n**3 * prices().product["float64"]
    return Cost(once.flops + int(work), once.bytes + 8 * (experiment.depth + 2) * n**2)


def _samples_apart(experiment: Experiment) -> str:
    norm = chosen_norm(experiment.norm)
    if norm is not None and norm.couples_samples:
        return f"{experiment.norm} norm ties the samples of a batch together"
    return ""


@outcome(
    title="Condition",
    formula="log₁₀ of largest over smallest singular value of ∂(last block)/∂(input)",
    source="Saxe et al. 2014; Pennington, Schoenholz & Ganguli 2017",
    help="How unevenly the network stretches directions, at one sample.",
    cost=_spectrum_cost,
    objection=_samples_apart,
)
def condition(subject: Subject) -> Reading:
    """Of the experiment's own weights, in float64, as on the spectrum's page."""
    update = {"dtype": "float64"}
    matrices = block_matrices(subject.experiment.model_copy(update=update), subject.should_stop)
    if not all(bool(matrix.isfinite().all()) for matrix in matrices):
        return Reading(None, "nan")
    if not all(bool(matrix.any()) for matrix in matrices):
        return Reading(None, "inf")
    depth = len(matrices)
    (found,) = spectrum_through_depth(matrices, [None] * depth, [depth])
    return Reading.of(math.inf if found.log10_condition is None else found.log10_condition)


def _two_inputs(experiment: Experiment) -> str:
    if experiment.n_inputs < 2:
        return "with one input feature two inputs are parallel or opposite"
    return _samples_apart(experiment)


@outcome(
    title="Correlation of two inputs",
    formula=f"cosine of the last block's pre-activations, {START:g} at the input",
    source="Poole et al. 2016; Schoenholz et al. 2017",
    help="1 where all inputs come to look alike, and nothing can be told apart.",
    cost=correlations_cost,
    bounds=(0.0, 1.0),
    objection=_two_inputs,
)
def correlation(subject: Subject) -> Reading:
    """Mean over the pairs of the correlations' page that start from the same cosine."""
    found = correlations(subject.experiment, should_stop=subject.should_stop)
    path = found.paths[STARTS.index(START)]
    return Reading.of(path.mean[-1], "nan")


def _diverged(trained: Trained) -> Reading | None:
    if math.isfinite(trained.loss):
        return None
    return Reading(None, f"{trained.loss}: the loss after {trained.steps} steps")


@outcome(
    title="Loss after training",
    formula="L after so many steps",
    source="the engine's own training",
    help="Where the optimiser gets to; no number where the loss became NaN or infinite.",
    log=True,
    trains=True,
)
def trained_loss(subject: Subject) -> Reading:
    """On the batch that was trained on."""
    return _diverged(subject.trained) or Reading.of(subject.trained.loss)


def _classes(experiment: Experiment) -> str:
    if LOSSES[experiment.loss].classifies:
        return ""
    losses = ", ".join(name for name, loss in LOSSES.items() if loss.classifies)
    return f"{experiment.loss} has no classes; expected data with classes and one of: {losses}"


@outcome(
    title="Accuracy after training",
    formula="share of the batch put into the right class after so many steps",
    source="Schoenholz et al. 2017, figure 5",
    help="On the batch that was trained on, as in the paper: can the network be trained at all?",
    bounds=(0.0, 1.0),
    trains=True,
    objection=_classes,
)
def accuracy(subject: Subject) -> Reading:
    """Of the batch that was trained on."""
    return _diverged(subject.trained) or Reading.of(subject.trained.accuracy)
