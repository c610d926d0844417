"""The precision lens: what each number format would lose, and what real runs lost."""

from __future__ import annotations

from dataclasses import dataclass

from layerscope.app.figures.axes import percent
from layerscope.app.figures.precision import ExponentPicture, exponent_picture
from layerscope.app.figures.text import number, raised
from layerscope.app.pages.why.frame import View
from layerscope.engine.analyses import precision as lens
from layerscope.engine.analyses.precision import FORMATS, KINDS, TOLERATED, PrecisionReport

__all__ = ["VIEW", "Cell", "FormatRow", "PrecisionView", "RunRow", "ScaleRow"]

MOST = f"{100 * TOLERATED:g} %"
TITLES: dict[lens.Kind, str] = {
    "activation": "Activations", "gradient": "Gradients",
    "weight": "Weights", "weight_gradient": "Weight gradients",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cell:
    """One kind of tensor in one format: shares as a bar (per cent of its width) and in words."""

    over: float
    under: float
    subnormal: float
    text: str
    severity: str


@dataclass(frozen=True, slots=True)
class FormatRow:
    """A format and its cells, in the order of the kinds."""

    name: str
    range: str
    own: bool
    """Whether it is the experiment's own format."""
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class ScaleRow:
    """The loss scale of a format."""

    name: str
    least: str
    most: str
    advice: str
    severity: str


@dataclass(frozen=True, slots=True)
class RunRow:
    """A real run: what the lens says against what came out."""

    dtype: str
    loss: str
    broken: str
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PrecisionView:
    """What the template draws."""

    verdict: str
    titles: tuple[str, ...]
    pictures: tuple[ExponentPicture, ...]
    formats: tuple[FormatRow, ...]
    scales: tuple[ScaleRow, ...]
    own_scale: str
    """What the experiment multiplies its gradients with; empty where with 1."""
    runs: tuple[RunRow, ...]
    not_run: tuple[tuple[str, str], ...]
    tolerated: str
    loss: str


def _view(found: PrecisionReport) -> PrecisionView:
    return PrecisionView(
        verdict=_verdict(found),
        titles=tuple(TITLES.values()),
        pictures=tuple(exponent_picture(kind, TITLES[kind], found.of(kind)) for kind in KINDS),
        formats=tuple(_format(found, name) for name in FORMATS),
        scales=tuple(_scale(s) for s in found.scales.values()),
        own_scale="" if (own := found.experiment.backward_scale) == 1 else number(own),
        runs=tuple(_run(found, r) for r in found.runs),
        not_run=tuple(found.not_run.items()),
        tolerated=MOST,
        loss=number(found.loss),
    )


def _verdict(found: PrecisionReport) -> str:
    worst = {name: max(_lost(found.total(kind, name)) for kind in KINDS) for name in FORMATS}
    lossy = [name for name, lost in worst.items() if lost > TOLERATED]
    lossless = [name for name in FORMATS if name not in lossy]
    if not lossy:
        return f"Everything fits: no format loses more than {MOST} of any kind of tensor."
    if not lossless:
        return f"No format holds it: each loses more than {MOST} of some kind of tensor."
    holds = f"{', '.join(lossless)} hold{'s' if len(lossless) == 1 else ''} it"
    return f"{holds}; {', '.join(lossy)} would lose more than {MOST}."


def _lost(fit: lens.Fit) -> float:
    return fit.share(fit.lost) or 0.0


def _format(found: PrecisionReport, name: str) -> FormatRow:
    f = FORMATS[name]
    span = f"2{raised(f.least_exponent)} … 2{raised(f.max_exponent + 1)}"
    cells = tuple(_cell(found.total(kind, name)) for kind in KINDS)
    return FormatRow(name, span, name == found.experiment.dtype, cells)


def _cell(fit: lens.Fit) -> Cell:
    shares = [fit.share(n) or 0.0 for n in (fit.overflow, fit.underflow, fit.subnormal)]
    names = ("over", "under", "sub")
    words = [f"{percent(s)} {n}" for s, n in zip(shares, names, strict=True) if s]
    text = " · ".join(words) or ("fits" if fit.counted else "no number left")
    severity = "error" if _lost(fit) > TOLERATED else "warning" if any(shares) else "ok"
    over, under, subnormal = (round(100 * s, 2) for s in shares)
    return Cell(over, under, subnormal, text, severity if fit.counted else "error")


def _scale(s: lens.LossScale) -> ScaleRow:
    def power(exponent: int | None) -> str:
        return "–" if exponent is None else f"2{raised(exponent)}"

    if s.advised is not None:
        advice = "none needed" if s.advised == 0 else f"× {power(s.advised)}"
        severity = "ok" if s.advised == 0 else "warning"
    elif s.most is None:
        advice, severity = "nothing to scale: not finite, or all zero", "error"
    else:
        advice, severity = "no one scale: the gradients span more than the format", "error"
    return ScaleRow(s.format, power(s.least), power(s.most), advice, severity)


def _run(found: PrecisionReport, run: lens.FormatRun) -> RunRow:
    against = found.against(run)
    broken = "stays finite"
    if run.broken:
        what = TITLES[run.broken.kind].lower()
        broken = f"not finite from {run.broken.name} ({what})"
    cells = []
    for kind in KINDS:
        a = against[kind]
        parts = [
            f"{word} {percent(a[seen])} → {percent(a[real])}"
            for word, seen, real in (
                ("over", "overflow_lens", "nonfinite_run"),
                ("under", "underflow_lens", "zeros_run"),
            )
            if a[seen] or a[real]
        ]
        cells.append(" · ".join(parts) or "nothing lost")
    loss = number(run.loss) if abs(run.loss) < float("inf") else str(run.loss)
    return RunRow(run.dtype, loss, broken, tuple(cells))


VIEW = View(
    "precision",
    "Precision",
    "Where every tensor's numbers lie on the scale of powers of two, and what each number format "
    "would lose of them.",
    ("dtype", "init_scale", "activation", "init", "depth", "width", "norm", "residual"),
    _view,
    ("Precision", "What each number format would lose of this network"),
    onward=("Conclusion", "conclusion"),
)
