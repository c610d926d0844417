"""Other diagnostics of PyTorch trainings, each attached as its own documentation says.

Nobody needs them: one that is not importable is told to be "not installed". What counts as an alarm
is what a peer reports above a note, by its own levels. ``kinds`` says which of its words mean which
of our rules, and is generous: a word that could mean several means all of them.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module, metadata, util
from typing import Any

from torch import Tensor, nn

from benchmarks.trainings.case import Training
from benchmarks.trainings.running import accused, looped, train
from layerscope.engine.diagnosis import RULES
from layerscope.engine.probe.rules import TRAINING_RULES

__all__ = ["PEERS", "Peer"]

NONFINITE = ("nonfinite", "learning_rate_high", "exploding_activation")
VANISHING = ("vanishing_gradient", "vanishing_activation")
EXPLODING = ("exploding_gradient", "exploding_activation", "learning_rate_high")
DEAD = ("dead_units",)
TOO_FAST = ("learning_rate_high", "exploding_activation", "exploding_gradient")
TOO_SLOW = ("learning_rate_low", "frozen")


@dataclass(frozen=True)
class Peer:
    """A diagnostic: the ``package`` that pip installs, the ``module`` that is imported, and
    ``watch(module, training)``, which trains and returns its alarms in its own words.
    ``release``: the version that is measured.

    ``kinds``: parts of those words in lower case, and the rules that mean the same.
    """

    package: str
    module: str
    watch: Callable[[Any, Training], list[str]]
    kinds: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    release: str = ""

    @property
    def installed(self) -> bool:
        return util.find_spec(self.module) is not None

    @property
    def version(self) -> str:
        return metadata.version(self.package)

    def trained(self, training: Training) -> list[str]:
        """Trains, watched by this: its alarms, each once."""
        return sorted(set(self.watch(import_module(self.module), training)))

    def rules(self, said: list[str]) -> set[str]:
        """Our names for what was said."""
        words = [each.lower() for each in said]
        return {
            rule
            for part, rules in self.kinds.items()
            if any(part in each for each in words)
            for rule in rules
        }


class _Whole(nn.Module):
    """A training's forward pass as a module, for who wants to call the model."""

    def __init__(self, training: Training) -> None:
        super().__init__()
        self.model, self.whole = training.model, training.forward or training.model.__call__

    def forward(self, x: Tensor) -> Tensor:
        return self.whole(x)


def _layerscope(_: Any, training: Training) -> list[str]:
    return accused(train(training))


def _torchmortem(module: Any, training: Training) -> list[str]:
    """Its README's loop, with the most detail it offers."""
    with module.Autopsy(
        training.model, optimizer=training.optimizers[0], sampling="thorough"
    ) as autopsy:
        looped(training, stepped=lambda loss: autopsy.step(loss=loss.item()))
    note = module.Severity.INFO
    return [found.title for found in autopsy.get_report().findings if found.severity > note]


def _torchdiag(module: Any, training: Training) -> list[str]:
    """Its README's five commands but the report on memory: two before, one after every backward
    pass, the dead neurons before and after. What it flags it prints below "ISSUES FOUND"."""
    model, text = _Whole(training), io.StringIO()
    batch = slice(training.batch)
    with contextlib.redirect_stdout(text):
        module.summary(model)
        module.check_dead_neurons(model, training.x)
        module.verify_step(
            model, training.optimizers[0], training.loss, training.x[batch], training.y[batch]
        )
        looped(training, went_back=lambda: module.check_gradients(model))
        module.check_dead_neurons(model, training.x)
    return [line.strip() for line in text.getvalue().splitlines() if line.startswith("  •")]


UNRELATED = ("TA000", "TA200", "TA201", "TA202", "TA203")


def _torch_audit(module: Any, training: Training) -> list[str]:
    """Its README's zero-touch mode in every step. Its own crashes and its hints on speed are not
    counted: they say nothing of whether the training is sound."""
    auditor = module.autopatch(
        training.model, optimizer=training.optimizers[0], every_n_steps=1,
        run_static=True, run_init=True,
    )  # fmt: skip
    try:
        looped(training)
        result = auditor.finish()
    finally:
        auditor.unpatch()
    return [
        f"{found.rule_id} {result.rules[found.rule_id].title}"
        for found in result.findings
        if found.severity.value != "INFO" and found.rule_id not in UNRELATED
    ]


def _neural_observatory(module: Any, training: Training) -> list[str]:
    """Its README's loop, by its default configuration."""
    observatory = module.Observatory(training.model)
    observatory.watch()
    try:
        looped(training, begun=lambda number: observatory.step(step=number, epoch=0))
    finally:
        observatory.stop()
    return [
        f"{each.analyzer_name}: {warning}"
        for each in observatory.report().warnings()
        for warning in each.warnings or [each.status.value]
    ]


PEERS = (
    Peer("layerscope", "layerscope", _layerscope, {r: (r,) for r in (*RULES, *TRAINING_RULES)}),
    Peer("torchmortem", "torchmortem", _torchmortem, {
        "vanishing gradients": VANISHING, "gradient stalling": (*VANISHING, *DEAD, "frozen"),
        "exploding gradients": EXPLODING, "training divergence": (*TOO_FAST, "nonfinite"),
        "loss plateau": (*TOO_SLOW, "constant_output"), "weight norm explosion": TOO_FAST,
        "stagnant weight norms": (*TOO_SLOW, "precision_loss"),
        "update ratio too low": (*TOO_SLOW, "precision_loss"), "update ratio too high": TOO_FAST,
        "dead units": DEAD, "saturation": ("saturation",), "rank collapse": ("rank_collapse",),
    }, "0.1.1"),
    Peer("torchdiag", "torchdiag", _torchdiag, {
        "vanishing": VANISHING, "exploding": EXPLODING, "neurons dead": DEAD,
        "not finite": NONFINITE, "disconnected": ("frozen",), "none gradients": ("frozen",),
        "frozen": ("frozen",), "no parameters changed": (*TOO_SLOW, "precision_loss"),
    }, "0.1.0"),
    Peer("torch-audit", "torch_audit", _torch_audit, {
        "ta100": NONFINITE, "ta102": EXPLODING, "ta104": ("frozen",), "ta105": DEAD,
        "ta405": DEAD, "ta301": ("input_scale",), "ta302": ("input_scale", "constant_output"),
        "ta500": ("frozen",),
    }, "0.3.0"),
    Peer("neural-observatory", "neural_observatory", _neural_observatory, {
        "vanishing gradients": VANISHING, "exploding gradients": EXPLODING,
        "gradient norm collapsed": VANISHING, "nan ": NONFINITE, "inf ": NONFINITE,
        "neurons are dead": DEAD, "neurons appear dead": DEAD, "high sparsity": DEAD,
        "high saturation": ("saturation",), "activation norm spike": TOO_FAST,
        "gradient norm spike": TOO_FAST, "parameter drift": TOO_FAST,
        "step-to-step parameter change": TOO_FAST, "weight collapse": VANISHING,
    }, "0.5.1"),
)  # fmt: skip
