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


_quiet = 0
"""How many ask for it."""
_MESSAGE = r"Using `torch\.compile\(module\)` when there are"


def quiet_about_global_hooks() -> Callable[[], None]:
    """Leaves out PyTorch's warning that a compiled module, whichever and whenever it is compiled,
    calls global hooks once more: ours look at the ids of modules, and a wrapper's is none of them.
    Returns what undoes it; the last one that does takes the filter away."""
    global _quiet
    if not _quiet:
        warnings.filterwarnings("ignore", message=_MESSAGE)
    _quiet += 1
    undone = False

    def undo() -> None:
        nonlocal undone
        global _quiet
        if undone:
            return
        undone = True
        _quiet -= 1
        if not _quiet:
            filters = warnings.filters
            for entry in [e for e in filters if e[1] is not None and e[1].pattern == _MESSAGE]:
                filters.remove(entry)  # type: ignore[attr-defined]

    return undo
