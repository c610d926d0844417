"""Rung 6: ``nn.Sequential`` of torch's own layers; the model is a list again."""

# ruff: noqa: D101  as short as in the notes; what each does stands beside it on the page

from __future__ import annotations

from torch import Tensor, nn

from layerscope.engine.foundations.ladder.base import Rung
from layerscope.engine.foundations.ladder.module import ModuleAttempt, mse

__all__ = ["SEQUENTIAL", "Model"]


class Model(nn.Module):
    def __init__(self, n_in: int, nh: int, n_out: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_in, nh), nn.ReLU(), nn.Linear(nh, n_out))
        self.loss = mse

    def forward(self, x: Tensor, targ: Tensor) -> Tensor:
        return self.loss(self.layers(x), targ)


SEQUENTIAL = Rung(
    name="sequential",
    title="nn.Sequential",
    gain="Nothing of the network is ours any more but its shape.",
    cost="nn.Linear draws weights its own way, too small for depth: initialise them yourself.",
    shown=(Model,),
    start=lambda problem: ModuleAttempt(problem, Model),
)
