"""A training as a notebook shows it: what was found, and every module over the recorded steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from itertools import groupby

from layerscope.engine.diagnosis import Finding
from layerscope.engine.probe.facts import ModuleFacts
from layerscope.engine.probe.markup import STYLE, finding_markup, number_text
from layerscope.engine.probe.step import Quantity, Step
from layerscope.engine.statistics import Statistics

__all__ = ["MOST_COLUMNS", "MOST_ROWS", "NOT_FINITE", "training_markup"]

WIDTH, NAMES, LOSS, ROW = 720, 170, 70, 14
"""Of the picture, in pixels: whole, of the modules' names, of the loss' height, of a row's."""
MOST_ROWS, MOST_COLUMNS = 48, 90
"""More modules or steps share one; each then shows the worst of them."""
SPAN = 4.0
"""Powers of ten around 1 that the colours tell apart."""
SHADES = ((-1.0, (38, 40, 46)), (0.0, (239, 238, 233)), (1.0, (122, 15, 120)))
NOT_FINITE, NOTHING = "#b3123f", "#fff"


def training_markup(
    title: str,
    facts: Sequence[ModuleFacts],
    steps: Sequence[Step],
    losses: Sequence[tuple[int, float]],
    findings: Sequence[Finding],
    page: str | None = None,
) -> str:
    """An element that needs nothing beside itself: no script, no font, no address but that of the
    run's ``page``, if there is one, which is shown as it goes."""
    found = "".join(map(finding_markup, findings)) or "<p>No rule has found anything.</p>"
    shown = _picture(facts, steps, losses) + _table(facts, steps[-1]) if steps and facts else (
        "<p>No step has been recorded yet.</p>"
    )  # fmt: skip
    head = f"<style>{STYLE}</style><h2>{escape(title)}</h2>{_frame(page)}"
    return f'<div class="ls">{head}{found}{shown}</div>'


def _frame(page: str | None) -> str:
    """The live page, and where to find it should it not be allowed to be shown here."""
    if page is None:
        return ""
    address = escape(page)
    return (
        f'<figure><iframe src="{address}" title="The run as it goes" width="100%" height="640" '
        'loading="lazy" referrerpolicy="no-referrer"></iframe><figcaption>The run as it goes: '
        f'<a href="{address}">{address}</a>. It is shown here where that server\'s '
        "LAYERSCOPE_FRAME_ORIGINS names this page's origin; below is what was recorded until "
        "now.</figcaption></figure>"
    )


Seen = tuple[float | None, bool]
"""log10 of a std, and whether something was not finite."""


def _seen(s: Statistics | None) -> Seen:
    if s is None:
        return None, False
    return (math.log10(s.std) if s.std else None if s.std is None else -SPAN), s.finite < s.count


def _worst(cells: Sequence[Seen]) -> Seen:
    """What is not finite, else what is farthest from 1."""
    known = [c for c, _ in cells if c is not None]
    return max(known, key=abs, default=None), any(bad for _, bad in cells)


def _parts(count: int, most: int) -> list[range]:
    """So many places in groups of equal size, ``most`` at most."""
    size = max(1, math.ceil(count / most))
    return [range(i, min(count, i + size)) for i in range(0, count, size)]


def _picture(
    facts: Sequence[ModuleFacts], steps: Sequence[Step], losses: Sequence[tuple[int, float]]
) -> str:
    rows, columns = _parts(len(facts), MOST_ROWS), _parts(len(steps), MOST_COLUMNS)
    cells = [[_seen(s.of(f.index, Quantity.ACTIVATION)) for f in facts] for s in steps]
    wide = (WIDTH - NAMES) / len(columns)
    drawn = []
    for at, row in enumerate(rows):
        top, name = LOSS + at * ROW, facts[row[0]].name or "the model itself"
        if len(row) > 1:
            name = f"{name} and {len(row) - 1} more"
        drawn.append(
            f'<text x="{NAMES - 6}" y="{top + ROW - 3}" text-anchor="end">'
            f"<title>{escape(name)}</title>{escape(name if len(name) < 25 else '…' + name[-23:])}"
            "</text>"
        )
        colours = [
            _colour(_worst([cells[i][j] for i in column for j in row])) for column in columns
        ]
        left = 0
        for colour, same in groupby(colours):
            count = len(list(same))
            drawn.append(
                f'<rect x="{NAMES + left * wide:.1f}" y="{top}" width="{count * wide:.1f}" '
                f'height="{ROW}" fill="{colour}"/>'
            )
            left += count
    height = LOSS + len(rows) * ROW + 18
    first, last = steps[0].number, steps[-1].number
    return (
        f'<figure><svg viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" role="img" '
        'aria-label="std of every module\'s output over the recorded steps, the loss above">'
        f"{_loss(losses, first, last)}{''.join(drawn)}"
        f'<text x="{NAMES}" y="{height - 4}">step {first}</text>'
        f'<text x="{WIDTH}" y="{height - 4}" text-anchor="end">{last}</text></svg>'
        "<figcaption>The loss, and below it the std of every module's output: dark is small, light "
        "about 1, purple large, red not finite; a power of ten around 1 is a quarter of the "
        "scale.</figcaption></figure>"
    )


def _colour(seen: Seen) -> str:
    """Of a cell."""
    size, bad = seen
    if bad:
        return NOT_FINITE
    if size is None:
        return NOTHING
    at = max(-1.0, min(1.0, round(size / SPAN, 2)))  # neighbours of one colour are one rectangle
    (low, a), (high, b) = SHADES[:2] if at < 0 else SHADES[1:]
    share = (at - low) / (high - low)
    return "#" + "".join(f"{round(x + share * (y - x)):02x}" for x, y in zip(a, b, strict=True))


def _loss(losses: Sequence[tuple[int, float]], first: int, last: int) -> str:
    """Its line over the steps that are shown; it breaks where it is not finite."""
    shown = [(n, v) for n, v in losses if first <= n <= last]
    known = [v for _, v in shown if math.isfinite(v)]
    if len(known) < 2:
        return ""
    low, high = min(known), max(known)
    pen, path = "M", []
    for number, value in shown:
        if not math.isfinite(value):
            pen = "M"
            continue
        x = NAMES + (WIDTH - NAMES) * (number - first) / max(1, last - first)
        y = LOSS - 8 - (LOSS - 20) * (value - low) / ((high - low) or 1.0)
        path.append(f"{pen}{x:.1f} {y:.1f}")
        pen = "L"
    return (
        f'<text x="{NAMES - 6}" y="16" text-anchor="end">{high:.3g}</text>'
        f'<text x="{NAMES - 6}" y="{LOSS - 6}" text-anchor="end">loss {low:.3g}</text>'
        f'<path class="forward" d="{" ".join(path)}"/>'
    )


def _table(facts: Sequence[ModuleFacts], step: Step) -> str:
    """The figures of the last recorded step."""

    def figure(place: int, quantity: Quantity, name: str) -> str:
        s = step.of(place, quantity)
        return number_text(None if s is None else getattr(s, name))

    rows = "".join(
        f"<tr><td>{escape(f.name or 'the model itself')}</td><td>{escape(f.kind)}</td>"
        f"<td>{figure(f.index, Quantity.ACTIVATION, 'mean')}</td>"
        f"<td>{figure(f.index, Quantity.ACTIVATION, 'std')}</td>"
        f"<td>{figure(f.index, Quantity.GRADIENT, 'std')}</td>"
        f"<td>{number_text(step.update_ratio(f.index))}</td></tr>"
        for f in facts
    )
    heads = ("module", "kind", "mean", "std", "std of ∂L/∂output", "Δw/w")
    head = "".join(f"<th>{each}</th>" for each in heads)
    return (
        f"<details><summary>Step {step.number}, module by module</summary>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></details>"
    )
