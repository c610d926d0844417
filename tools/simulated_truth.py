"""The truth on a specification, simulated without asking any rule: does it train, and does its
number format hold? `tools.make_corpus` says what follows from the two."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from layerscope.engine.execution.network import LayerInfo, Network
from layerscope.engine.execution.passes import BackwardStep, ForwardStep, passes
from layerscope.engine.experiment.specification import DTYPES, Experiment
from layerscope.engine.layers import ACTIVATIONS, NORMS

__all__ = [
    "AGREE", "Descent", "Trainable", "format_agreement", "known_gradients", "shares_reached",
]  # fmt: skip

STEPS = 300  # full-batch steps: enough for a 50 layer network to leave the constant predictor
PATIENCE = 150  # steps after which a learning rate is given up that has come to nothing,
STILL = 100  # and gained nothing since this one
GAINED = 0.97  # of the loss then, or of the constant predictor's: what is below it has gained
LAST = 5  # losses, of which the worst counts: what comes down for a step has not learned
AGREE = 0.7  # cosine of a weight gradient with float64's: within 45 degrees
MOVED = 8  # times inputs and parameters are moved by a rounding, to see what float64 knows
MOMENTUM = 0.9  # of SGD
BETAS, TINY = (0.9, 0.999), 1e-8  # of Adam, as PyTorch has them


class Descent(NamedTuple):
    """An optimiser, ``adam`` or ``sgd`` with momentum, at a learning rate."""

    optimiser: str
    rate: float


class Trainable:
    """The specification's network in autograd, several times side by side: ``flat`` (copies, n) are
    the parameters of each copy, free to be trained."""

    def __init__(self, experiment: Experiment, dtype: torch.dtype, copies: int = 1) -> None:
        network = Network(experiment)
        self.infos: list[LayerInfo] = network.infos
        self.loss = network.loss
        self.x = network.x.to(dtype)
        target = network.target
        self.target = target.to(dtype) if target.is_floating_point() else target
        own = [s.layer.parameters for s in passes(network) if isinstance(s, ForwardStep)]
        self.shapes = [{name: p.shape for name, p in each.items()} for each in own]
        flat = torch.cat([p.to(dtype).flatten() for each in own for p in each.values()])
        self.flat = flat.repeat(copies, 1).requires_grad_()

    def __call__(self) -> Tensor:
        """The loss of each copy, (copies,)."""
        outputs: list[Tensor] = []
        copies = len(self.flat)
        x = first = self.x.expand(copies, *self.x.shape)  # (copies, samples, features)
        for info, own in zip(self.infos, self.split(self.flat), strict=True):
            if info.kind == "linear":
                x = torch.baddbmm(own["bias"].unsqueeze(1), x, own["weight"])
            elif info.kind == "add":
                x = x + (first if info.source in (None, -1) else outputs[info.source])
            elif info.kind in NORMS:
                x = _normed(info.kind, x, own)
            else:
                x = ACTIVATIONS[info.kind].reference(x)
            outputs.append(x)
        return torch.stack([self.loss.reference(each, self.target) for each in x])

    def split(self, flat: Tensor) -> list[dict[str, Tensor]]:
        """By layer and name, what ``flat`` (copies, n) holds of each parameter."""
        sizes = [math.prod(shape) for each in self.shapes for shape in each.values()]
        pieces = iter(flat.split(sizes, dim=1))
        return [
            {name: next(pieces).unflatten(1, shape) for name, shape in each.items()}
            for each in self.shapes
        ]

    def constant_loss(self) -> float:
        """The loss of the best output that does not depend on the input."""
        if self.target.is_floating_point():
            return float((self.target - self.target.mean(0)).square().mean())
        share = torch.bincount(self.target).double() / len(self.target)
        return float(-(share * share.clamp_min(1e-12).log()).sum())


def _normed(kind: str, x: Tensor, own: Mapping[str, Tensor]) -> Tensor:
    """PyTorch's norm of every copy at once: copies are further samples to a norm over features, and
    further features to one over the batch."""
    norm, copies, width = NORMS[kind], len(x), x.shape[2]
    by_batch = norm.theory is not None and norm.theory.over == "batch"
    wide = x.transpose(0, 1).flatten(1) if by_batch else x.flatten(0, 1)
    neutral = {
        name: torch.full((wide.shape[1],), float(name == "weight"), dtype=x.dtype) for name in own
    }
    y = norm.reference(wide, neutral)
    y = y.unflatten(1, (copies, width)).transpose(0, 1) if by_batch else y.view(x.shape)
    y = y * own["weight"].unsqueeze(1)
    return y + own["bias"].unsqueeze(1) if "bias" in own else y


def shares_reached(experiment: Experiment, descents: Sequence[Descent]) -> list[float]:
    """The loss that each of the ``descents``, Adam's first, comes to, as a share of the constant
    predictor's; in float32 where the format is narrow. Infinite where one is not finite."""
    dtype = DTYPES["float64" if experiment.dtype == "float64" else "float32"]
    twin = experiment.model_copy(update={"dtype": str(dtype).removeprefix("torch.")})
    model = Trainable(twin, dtype, len(descents))
    baseline = model.constant_loss()
    shares = [math.inf] * len(descents)
    going = torch.arange(len(descents))  # places of those whose training goes on
    optimiser = _Optimiser(descents, model.flat)
    losses: list[Tensor] = []  # of all, by step; what has ended stays infinite
    for step in range(STEPS):
        now = model()
        every = torch.full((len(descents),), math.inf, dtype=dtype)
        every[going] = now.detach()
        losses.append(every)
        go_on = now.detach().isfinite()
        if step == PATIENCE:
            gained = GAINED * losses[STILL][going].clamp_min(baseline)
            given_up = go_on & (now.detach() > gained)
            for i in going[given_up].tolist():
                shares[i] = float(torch.stack(losses[-LAST:])[:, i].max()) / baseline
            go_on &= ~given_up
        (gradient,) = torch.autograd.grad(now.sum(), model.flat)
        optimiser.step(model.flat.detach(), gradient)
        if not bool(go_on.all()):
            going = going[go_on]
            if not len(going):
                return shares
            model.flat = model.flat.detach()[go_on].requires_grad_()
            optimiser.keep(go_on)
    for i in going.tolist():
        shares[i] = float(torch.stack(losses[-LAST:])[:, i].max()) / baseline
    return shares


class _Optimiser:
    """PyTorch's Adam and SGD with momentum, each copy's by its own rate; Adam's copies first."""

    def __init__(self, descents: Sequence[Descent], flat: Tensor) -> None:
        self._adam = sum(d.optimiser == "adam" for d in descents)
        self._rates = torch.tensor([[d.rate] for d in descents], dtype=flat.dtype)
        self._sum = torch.zeros_like(flat)  # Adam's running mean, SGD's running sum
        self._square = torch.zeros_like(flat[: self._adam])
        self._taken = 0

    def step(self, flat: Tensor, gradient: Tensor) -> None:
        self._taken += 1
        adam, (b1, b2), n = self._adam, BETAS, self._taken
        if adam:
            g, m, v = gradient[:adam], self._sum[:adam], self._square
            m.lerp_(g, 1 - b1)
            v.mul_(b2).addcmul_(g, g, value=1 - b2)
            size = torch.div(v, 1 - b2**n).sqrt_().add_(TINY)
            flat[:adam].sub_(torch.div(m, size, out=size).mul_(self._rates[:adam] / (1 - b1**n)))
        if adam < len(flat):
            b = self._sum[adam:].mul_(MOMENTUM).add_(gradient[adam:])
            flat[adam:].sub_(b * self._rates[adam:])

    def keep(self, which: Tensor) -> None:
        """Those copies alone."""
        self._square = self._square[which[: self._adam]]
        self._adam = len(self._square)
        self._rates, self._sum = self._rates[which], self._sum[which]


def known_gradients(experiment: Experiment) -> dict[int, Tensor | None]:
    """Autograd's weight gradients in float64, by layer; None where float64 does not know one.

    It knows what moves by less than its own length where inputs and parameters move by one
    rounding. Behind a norm of what is all alike, say, a gradient is zero but for rounding, and
    points elsewhere in every order of summation: no format can agree with it, or fail to.
    """
    model = Trainable(experiment, torch.float64)
    moves = torch.Generator().manual_seed(experiment.seed)
    first, *others = (_gradients(model, moves if i else None) for i in range(1 + MOVED))
    return {
        i: g if all(bool((g - o[i]).norm() <= g.norm()) for o in others) else None
        for i, g in first.items()
    }


def _gradients(model: Trainable, moves: torch.Generator | None) -> dict[int, Tensor]:
    """Of the weights, with inputs and parameters as they are or each moved up or down."""
    kept = model.x, model.flat
    if moves is not None:
        model.x = _moved(model.x, moves)
        model.flat = _moved(model.flat.detach(), moves).requires_grad_()
    (gradient,) = torch.autograd.grad(model().sum(), model.flat)
    model.x, model.flat = kept
    layers = zip(model.infos, model.split(gradient), strict=True)
    return {info.index: own["weight"][0] for info, own in layers if info.kind == "linear"}


def _moved(tensor: Tensor, moves: torch.Generator) -> Tensor:
    signs = torch.randint(0, 2, tensor.shape, generator=moves, dtype=tensor.dtype) * 2 - 1
    return tensor * (1 + torch.finfo(tensor.dtype).eps * signs)


def _cosine(one: Tensor, other: Tensor) -> float:
    """Of two gradients, in float64; 1 where both are zero, as a branch of zeros before the first
    step, 0 where one is."""
    one, other = one.double(), other.double()
    if not one.count_nonzero() and not other.count_nonzero():
        return 1.0
    one, other = one / one.abs().max(), other / other.abs().max()
    cosine = float((one * other).sum() / (one.norm() * other.norm()))
    return cosine if math.isfinite(cosine) else 0.0


def format_agreement(experiment: Experiment) -> float:
    """The worst cosine between a weight gradient in the own dtype and autograd's in float64, as far
    as float64 knows it; −1 where one is not finite."""
    known = known_gradients(experiment)
    worst = 1.0
    for step in passes(Network(experiment)):
        if isinstance(step, BackwardStep) and step.info.kind == "linear":
            ours, theirs = step.layer.gradients["weight"], known[step.info.index]
            if not bool(torch.isfinite(ours).all()):
                return -1.0
            if theirs is not None:
                worst = min(worst, _cosine(ours, theirs))
    return worst
