"""What becomes of a recorded step: in the writing thread, behind the training."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace
from torch import Tensor

from layerscope.engine.diagnosis import RULES, Finding
from layerscope.engine.probe.first_bad import FirstBad
from layerscope.engine.probe.live import Live
from layerscope.engine.probe.ring import Ring
from layerscope.engine.probe.sinks import Sink
from layerscope.engine.probe.step import Quantity
from layerscope.engine.probe.verdicts import Verdicts
from layerscope.engine.probe.watched import Watched
from layerscope.engine.probe.writing import Recorded

__all__ = ["Delivery"]

ALL = frozenset(Quantity)
JUDGING = 0.05
"""Seconds that findings of a hundred modules' first steps cost (measured)."""
PASSING = frozenset({Quantity.INPUT, Quantity.ACTIVATION})
KEPT = PASSING | {Quantity.VALUE}
"""What must be finite under a gradient scaler too; gradients may overflow there."""
CLOSER = "report = layerscope.preflight(model, (x, y), loss_function)  # tries repairs on copies"


class Delivery:
    """Hands steps to memory, to whoever keeps the run, and to the rules.

    ``gradients_changed`` is called where a parameter's gradient was changed before it was read;
    ``scaled`` says whether a gradient scaler is there.
    """

    def __init__(
        self,
        watched: Watched,
        ring: Ring,
        sink: Sink,
        bad: FirstBad,
        gradients_changed: Callable[[], None],
        *,
        scaled: bool,
    ) -> None:
        self._watched = watched
        self._ring = ring
        self._sink = sink
        self._bad = bad
        self._gradients_changed = gradients_changed
        self._told_late = KEPT if scaled else ALL
        """What may be told late of tensors that nobody looks at as they are made."""
        self._sent: list[Any] = []
        self._verdicts = Verdicts(ring, has_optimizer=bool(watched.optimizers))
        self.judging = Live(self.findings, self._keep, expected=JUDGING)

    def findings(self) -> list[Finding]:
        """What is wrong so far."""
        return [_with_a_line(each) for each in self._verdicts.findings(self._bad.origin)]

    def keep_findings(self) -> None:
        """As they are now, with the run."""
        self._keep(self.findings())

    def _keep(self, findings: Sequence[Finding]) -> None:
        self._sink.findings([finding.to_dict() for finding in findings])

    def recorded(self, recorded: Recorded) -> None:
        """A step is complete."""
        facts = self._watched.facts()
        if facts != self._sent:
            self._sent = facts
            self._ring.modules(facts)
            self._sink.modules(facts)
        step = recorded.step
        if recorded.late_loss and step.loss is not None:
            self._ring.loss(step.number, step.loss)
        asked = self._told_late if recorded.from_afar else PASSING
        masks = recorded.masks()
        late = self._bad.in_figures(
            step.number,
            [k for k in recorded.nonfinite if k.quantity in asked and k not in masks],
            step.loss if recorded.late_loss else None,
            masked=bool(masks),
        )
        self._ring.add(step.number, recorded.payload, looked=step.looked)
        self._sink.step(
            step.number, step.loss, recorded.payload,
            nonfinite=bool(recorded.nonfinite) or not math.isfinite(step.loss or 0.0),
        )  # fmt: skip
        for key in recorded.dropped:
            key.at_once = True
            if key.quantity is Quantity.PARAMETER_GRADIENT:
                self._gradients_changed()
        self.judging.happened(urgent=step.origin is not None or late is not None)

    def late_loss(self, number: int, loss: Tensor) -> None:
        """Of a step that is not recorded, from an accelerator."""
        value = float(loss)
        self._ring.loss(number, value)
        if self._bad.in_figures(number, [], value, masked=False) is not None:
            self.judging.happened(urgent=True)


def _with_a_line(finding: Finding) -> Finding:
    """What one pass shows is looked at more closely where repairs can be tried on copies."""
    told = finding.rule in RULES and finding.severity != "info" and finding.fix is None
    return replace(finding, fix={"code": CLOSER}) if told else finding
