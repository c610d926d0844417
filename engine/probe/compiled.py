"""Models that torch.compile has wrapped: what of them can be seen."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable

from torch import nn

__all__ = ["compiled_modules", "quiet_about_global_hooks"]


def compiled_modules(model: nn.Module) -> list[str]:
    """The names of the compiled parts; the model itself goes by its class.

    >>> compiled_modules(nn.Linear(1, 1))
    []
    """
    dynamo = sys.modules.get("torch._dynamo.eval_frame")  # where nobody compiles, not loaded
    wrapper = getattr(dynamo, "OptimizedModule", ())
    return [
        name or type(getattr(module, "_orig_mod", module)).__name__
        for name, module in model.named_modules()
        if isinstance(module, wrapper) or module._compiled_call_impl is not None
    ]


def quiet_about_global_hooks() -> Callable[[], None]:
    """Leaves out PyTorch's warning that a compiled module calls global hooks once more: ours look
    at the ids of modules, and a wrapper's is none of them. Returns what undoes it."""
    before = list(warnings.filters)
    warnings.filterwarnings("ignore", message=r"Using `torch\.compile\(module\)` when there are")
    ours = [entry for entry in warnings.filters if entry not in before]

    def undo() -> None:
        for entry in ours:
            if entry in warnings.filters:
                warnings.filters.remove(entry)  # type: ignore[attr-defined]

    return undo
