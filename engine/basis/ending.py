"""How a run ends, whoever keeps it or follows it."""

from __future__ import annotations

from typing import Literal, get_args

__all__ = ["STATES", "State", "state_after"]

State = Literal["finished", "stopped", "failed"]
STATES: tuple[State, ...] = get_args(State)


def state_after(error: BaseException | None) -> State:
    """How a run has ended whose block was left by ``error``; None where it came to its end.

    >>> [state_after(error) for error in (None, KeyboardInterrupt(), MemoryError())]
    ['finished', 'stopped', 'failed']
    """
    if error is None:
        return "finished"
    return "stopped" if isinstance(error, KeyboardInterrupt | SystemExit) else "failed"
