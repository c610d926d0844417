"""What comes in: numbers that are none, and scales that weights do not expect."""

from __future__ import annotations

import torch
from torch import Tensor

from layerscope.engine.diagnosis import Finding
from layerscope.engine.probe.kinds import kind_of
from layerscope.engine.probe.outputs import tensors
from layerscope.engine.probe.preflight.checks.base import check
from layerscope.engine.probe.preflight.subject import Subject
from layerscope.engine.probe.task import LARGE_INPUT, SMALL_INPUT
from layerscope.engine.statistics import statistics
from layerscope.engine.statistics.many import plain

__all__ = ["bad_data", "input_scale"]

UNEVEN = 1000.0
"""Between the largest and the smallest std of a feature: one step size cannot serve both."""


@check(
    formula="NaN or ±Inf in the batch or in a parameter before any step",
    source="IEEE 754",
    explains=("nonfinite", "output_scale", "input_scale", "no_gradient"),
)
def bad_data(subject: Subject) -> Finding | None:
    """Values that are not finite before anything is computed."""
    batch = subject.look.batch
    for name, value in (("x", batch.x), ("y", batch.y)):
        for place, tensor in enumerate(tensors(value)):
            bad = _bad(tensor)
            if bad:
                entry = tuple(int(i) for i in torch.nonzero(~torch.isfinite(tensor))[0])
                which = "" if isinstance(value, Tensor) else f", tensor {place}"
                return subject.finding(
                    "nonfinite", "error", (), f"The batch's {name} holds {bad}",
                    f"{bad} among {tensor.numel()} entries of {name}{which}, the first at "
                    f"{list(entry)}: the data is at fault, not the network.",
                    {"entry": list(entry), "tensor": name}, {"nonfinite_entries": 0},
                    direction="forward",
                )  # fmt: skip
    ill = [n for n, s in subject.look.values.items() if s.finite < s.count]
    if not ill:
        return None
    return subject.finding(
        "nonfinite", "error", subject.modules_of(ill),
        f"{ill[0]} holds NaN or Inf before the first step",
        f"{len(ill)} of {len(subject.look.values)} parameters are not finite as they are: "
        f"{', '.join(ill[:5])}.",
        {"parameters": ill[:10]}, {"nonfinite_entries": 0}, direction="forward",
    )  # fmt: skip


def _bad(tensor: Tensor) -> str:
    if not tensor.is_floating_point():
        return ""
    s = statistics(plain(tensor))
    parts = [f"{n} {what}" for n, what in ((s.nan, "NaN"), (s.posinf + s.neginf, "Inf")) if n]
    return " and ".join(parts)


@check(
    formula=f"rms of what the first layer gets above {LARGE_INPUT:g} or below {SMALL_INPUT:g}, or "
    f"features whose std differ {UNEVEN:g}-fold; not where that layer is a norm",
    source="LeCun et al. 1998 (Efficient BackProp), section 4.3",
    explains=("saturation", "output_scale", "dead_units", "mean_shift"),
)
def input_scale(subject: Subject) -> Finding | None:
    """Inputs far from unit scale."""
    call = next((c for c in subject.look.calls if c.record.facts.role is not None
                 or c.record.parameters), None)  # fmt: skip
    x = None if call is None else subject.look.first_input
    if call is None or x is None or kind_of(call.module).role == "norm":
        return None
    s = statistics(plain(x))
    if s.rms is None or s.finite < s.count or not s.rms:
        return None
    ratio = _unevenness(x)
    name = call.record.facts.name
    evidence = {"rms": s.rms, "mean": s.mean, "std": s.std, "min": s.min, "max": s.max,
                "feature_std_ratio": ratio}  # fmt: skip
    if not (s.rms > LARGE_INPUT or s.rms < SMALL_INPUT or ratio > UNEVEN):
        return None
    if ratio > UNEVEN:
        title = f"Features of the input differ {ratio:.2g}-fold in scale"
        told = "The largest decides the output, the others are hardly seen."
    else:
        word = "large" if s.rms > LARGE_INPUT else "small"
        title = f"The input is {word}: its rms is {s.rms:.3g}"
        told = "Initial weights are made for inputs of mean 0 and std 1."
    return subject.finding(
        "input_scale", "warning", (name,), title,
        f"What goes into {name} lies in {s.min:.3g} to {s.max:.3g}, mean {s.mean:.3g}, std "
        f"{s.std or 0:.3g}. {told}",
        evidence, {"rms": [SMALL_INPUT, LARGE_INPUT], "feature_std_ratio": UNEVEN},
        direction="forward",
    )  # fmt: skip


def _unevenness(x: Tensor) -> float:
    """The largest std of a feature over the smallest that is not zero; 1 of images and series."""
    if x.dim() != 2 or x.shape[0] < 2:
        return 1.0
    std = x.detach().double().std(0)
    std = std[std > 0]
    return float(std.max() / std.min()) if len(std) else 1.0
