"""Figures and findings into what people already have open: TensorBoard, Weights & Biases."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from layerscope.engine.execution.records import Facts
from layerscope.engine.probe.series import SERIES
from layerscope.engine.probe.sinks import Nowhere
from layerscope.engine.probe.step import Outline

__all__ = ["ToTensorBoard", "ToWandb"]

USUAL = ("std", "gradient_std", "update_ratio", "dead_share", "nonfinite")


class _Forwarding(Nowhere):
    """Scalars by the name ``layerscope/QUANTITY/MODULE``; of each recorded step, by the probe's
    writing thread."""

    def __init__(self, quantities: Sequence[str] = USUAL) -> None:
        unknown = [name for name in quantities if name not in SERIES]
        if unknown:
            known = ", ".join(SERIES)
            raise ValueError(f"quantities: expected some of {known}; got {unknown[0]!r}")
        self._quantities = tuple(quantities)
        self._facts: Sequence[Facts] = ()
        self._number = 0

    def modules(self, facts: Sequence[Facts]) -> None:
        self._facts = facts

    def step(
        self, number: int, loss: float | None, payload: bytes, *, nonfinite: bool = False
    ) -> None:
        self._number = number
        self.scalars(number, dict(self._scalars(Outline.from_bytes(payload))))

    def _scalars(self, step: Outline) -> Iterator[tuple[str, float]]:
        if step.loss is not None:
            yield "layerscope/loss", step.loss
        for name in self._quantities:
            for facts in self._facts:
                value = SERIES[name](step, facts)
                if value is not None and math.isfinite(value):
                    yield f"layerscope/{name}/{facts.name or 'model'}", value

    def findings(self, findings: Sequence[Mapping[str, Any]]) -> None:
        self.said(self._number, [_told(finding) for finding in findings])

    def scalars(self, number: int, values: Mapping[str, float]) -> None:
        """Of one step."""
        raise NotImplementedError

    def said(self, number: int, findings: Sequence[str]) -> None:
        """All findings there are, a line each."""
        raise NotImplementedError


def _told(finding: Mapping[str, Any]) -> str:
    since = f" (since step {finding['since']})" if finding.get("since") else ""
    return f"**{finding['severity']}**: {finding['title']}{since}. {finding['explanation']}"


class ToTensorBoard(_Forwarding):
    """``watch(…, also=[ToTensorBoard(writer)])``: a ``SummaryWriter`` of the user's own.

    Args:
        writer: it stays open.
        quantities: names of the series of a run (``update_ratio``, …).
    """

    def __init__(self, writer: Any, quantities: Sequence[str] = USUAL) -> None:
        super().__init__(quantities)
        self._writer = writer

    def scalars(self, number: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, number)

    def said(self, number: int, findings: Sequence[str]) -> None:
        text = "\n\n".join(findings) or "nothing found"
        self._writer.add_text("layerscope/findings", text, number)


class ToWandb(_Forwarding):
    """``watch(…, also=[ToWandb(run)])``: a run of Weights & Biases.

    The figures have an axis of their own, ``layerscope/step``, the probe's step. They are given
    without a commit and leave with what the user logs next, so that the run's own step is not moved
    on: of several recorded steps between two logs of the user's the last one is kept. The findings
    stand in the run's summary, as ``layerscope/findings``; how the recording ended is logged, with
    whatever is still waiting, when the probe is closed, which has to be before ``run.finish``.

    Args:
        run: what ``wandb.init`` returned; it goes on.
        quantities: names of the series of a run (``update_ratio``, …).
    """

    def __init__(self, run: Any, quantities: Sequence[str] = USUAL) -> None:
        super().__init__(quantities)
        self._run = run
        run.define_metric("layerscope/step")
        run.define_metric("layerscope/*", step_metric="layerscope/step")

    def scalars(self, number: int, values: Mapping[str, float]) -> None:
        self._run.log({**values, "layerscope/step": number}, commit=False)

    def said(self, number: int, findings: Sequence[str]) -> None:
        self._run.summary["layerscope/findings"] = list(findings)

    def finish(self, state: Any) -> None:
        self._run.log({"layerscope/state": str(state)})
