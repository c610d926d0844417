"""What the checks look at, and how they say what they found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import nn
from torch.optim import Optimizer

from layerscope.engine.diagnosis import Evidence, Finding
from layerscope.engine.diagnosis.finding import Direction, Severity
from layerscope.engine.execution.records import Record
from layerscope.engine.probe.facts import leaves, own_parameters
from layerscope.engine.probe.preflight.look import Look
from layerscope.engine.probe.preflight.reference import Reference

__all__ = ["Subject"]


@dataclass(frozen=True)
class Subject:
    """One look at a model, with what is known beside it. ``opened`` is another look, after weights
    that were zero by design had moved a step."""

    look: Look
    reference: Reference | None
    optimizer: Optimizer | None
    opened: Look | None = None

    @property
    def model(self) -> nn.Module:
        return self.look.model

    @cached_property
    def evidence(self) -> Evidence:
        """For the rules on records; without a baseline, since a check here judges the loss."""
        look = self.look
        return Evidence(look.records, look.loss, None, loss_cause=look.loss_cause, by_name=True)

    @cached_property
    def owners(self) -> dict[str, str]:
        """The module whose own each parameter is, by the parameter's name."""
        known = {id(p): n for n, p in self.model.named_parameters()}
        found: dict[str, str] = {}
        for module_name, module in leaves(self.model):
            for _, parameter in own_parameters(module):
                name = known.get(id(parameter))
                if name is not None:
                    found.setdefault(name, module_name)
        return found

    @cached_property
    def in_order(self) -> list[str]:
        """Modules with parameters, those called first, in the order of their calls."""
        called = dict.fromkeys(r.facts.name for r in self.look.records)
        own = dict.fromkeys(self.owners.values())
        return [n for n in called if n in own] + [n for n in own if n not in called]

    def modules_of(self, parameters: Iterator[str] | Sequence[str]) -> tuple[str, ...]:
        """The modules of some parameters, in forward order."""
        wanted = {self.owners.get(p, p.rpartition(".")[0]) for p in parameters}
        return tuple(n for n in self.in_order if n in wanted) or tuple(sorted(wanted))

    def finding(
        self,
        rule: str,
        severity: Severity,
        modules: Sequence[str],
        title: str,
        explanation: str,
        evidence: dict[str, Any] | None = None,
        threshold: dict[str, Any] | None = None,
        *,
        direction: Direction = "both",
        code: str | None = None,
    ) -> Finding:
        """A finding of preflight's own; ``code`` are lines that help, not yet run."""
        records: list[Record] = [r for r in self.look.records if r.facts.name in modules]
        places = [r.facts.index for r in records] or [0]
        blocks = [self.evidence.block(r) for r in records] or [0]
        return Finding(
            rule=rule, severity=severity, title=title, explanation=explanation,
            direction=direction, modules=tuple(modules), layers=(min(places), max(places)),
            blocks=(min(blocks), max(blocks)), evidence=evidence or {},
            threshold=threshold or {}, fix=None if code is None else {"code": code},
        )  # fmt: skip
