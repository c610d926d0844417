"""What narrower number formats would lose of these very tensors."""

from __future__ import annotations

from typing import Any

from layerscope.engine.analyses.precision.formats import FORMATS, fit
from layerscope.engine.diagnosis import Finding
from layerscope.engine.diagnosis.finding import Severity
from layerscope.engine.probe.preflight.checks.base import check
from layerscope.engine.probe.preflight.subject import Subject
from layerscope.engine.statistics import Statistics

__all__ = ["format_limits", "format_rows"]

NARROW = ("float16", "bfloat16")
LOST = 0.2
"""Of the gradient entries of a module: a scaler for the loss is worth its line."""


def format_rows(subject: Subject) -> list[dict[str, Any]]:
    """By format and kind of tensor: the largest share that a module loses, and which it is."""
    rows = []
    for name in NARROW:
        for kind, tensors in _tensors(subject).items():
            found = [(fit(s.histogram, FORMATS[name]), module) for module, s in tensors]
            over = max(((f.share(f.overflow) or 0.0, m) for f, m in found), default=(0.0, ""))
            under = max(((f.share(f.underflow) or 0.0, m) for f, m in found), default=(0.0, ""))
            rows.append(
                {"format": name, "tensors": kind, "overflow": over[0], "underflow": under[0],
                 "overflow_module": over[1] if over[0] else None,
                 "underflow_module": under[1] if under[0] else None}
            )  # fmt: skip
    return rows


def _tensors(subject: Subject) -> dict[str, list[tuple[str, Statistics]]]:
    records = subject.look.records
    return {
        "activations": [(r.facts.name, r.activation) for r in records],
        "gradients": [(r.facts.name, r.gradient) for r in records if r.gradient is not None],
        "parameters": [(n.rpartition(".")[0], s) for n, s in subject.look.values.items()],
        "parameter gradients": [
            (n.rpartition(".")[0], g)
            for n, g in subject.look.gradients.items()
            if g is not None and "bias" not in n.rpartition(".")[2]  # before a norm it is noise
        ],
    }


@check(
    formula=f"float16 would overflow somewhere, or lose more than {LOST:.0%} of a module's "
    "gradient entries; a note, unless the model is in that format",
    source="Micikevicius et al. 2018, Mixed precision training",
)
def format_limits(subject: Subject) -> Finding | None:
    """What float16 would lose; bfloat16 has float32's range."""
    used = {r.facts.dtype for r in subject.look.records}
    rows = [r for r in format_rows(subject) if _loses(r)]
    if not rows or any(s.finite < s.count for s in subject.look.values.values()):
        return None
    severity: Severity = "warning" if any(r["format"] in used for r in rows) else "info"
    told = [
        f"{r['format']}: {r['overflow']:.0%} of the {r['tensors']} of {r['overflow_module']} "
        f"overflow"
        if r["overflow"]
        else f"{r['format']}: {r['underflow']:.0%} of the {r['tensors']} of "
        f"{r['underflow_module']} become zero"
        for r in rows
    ]
    scaled = all(not r["overflow"] for r in rows)
    modules = [r["overflow_module"] or r["underflow_module"] for r in rows]
    return subject.finding(
        "precision_loss", severity, tuple(dict.fromkeys(modules)),
        f"{rows[0]['format']} would lose part of this network",
        f"{'; '.join(told)}. " + (
            "A GradScaler lifts the gradients; bfloat16 holds them as they are."
            if scaled else "bfloat16 holds them."
        ),
        {"rows": rows}, {"share_lost": LOST, "share_overflowing": 0},
        code="scaler = torch.amp.GradScaler()" if scaled else None,
    )  # fmt: skip


def _loses(row: dict[str, Any]) -> bool:
    backward = "gradients" in row["tensors"]
    return row["overflow"] > 0 or (backward and row["underflow"] > LOST)
