"""The report as HTML: no scripts, nothing from elsewhere, every text of the user's escaped."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from layerscope.engine.execution.records import Record
from layerscope.engine.probe.markup import STYLE, finding_markup, number_text
from layerscope.engine.probe.preflight.outcome import Outcome
from layerscope.engine.probe.preflight.words import fix_said, loss_said
from layerscope.engine.statistics import Statistics

__all__ = ["document", "fragment"]

WIDTH, HEIGHT, EDGE = 720, 160, 24
"""Of the picture, in pixels."""


def fragment(report: Outcome) -> str:
    """For the page of a notebook."""
    found = "".join(finding_markup(f, fix_said(f)) for f in report.findings)
    reason = report.fixes_not_tried
    told = f"<p>No fixes were tried: {escape(reason)}.</p>" if reason and not report.ok else ""
    return (
        f'<div class="ls"><style>{STYLE}</style><h2>Preflight: {escape(report.title)}</h2>'
        f"<p>{escape(loss_said(report))}</p>{found}{told}{_picture(report.records)}"
        f"{_table(report.records)}</div>"
    )


def document(report: Outcome) -> str:
    """A page of its own."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>Preflight: {escape(report.title)}</title></head>"
        f"<body>{fragment(report)}</body></html>\n"
    )


def _picture(records: Sequence[Record]) -> str:
    """rms of outputs and of the gradients there, by call, over powers of ten."""
    forward = [_decade(r.activation) for r in records]
    backward = [_decade(r.gradient) for r in records]
    known = [v for v in (*forward, *backward) if v is not None]
    if len(records) < 2 or not known:
        return ""
    low, high = math.floor(min(known)), math.ceil(max(known))
    high += high == low

    def path(values: Sequence[float | None]) -> str:
        steps, pen = [], "M"
        for place, value in enumerate(values):
            if value is None:
                pen = "M"
                continue
            x = EDGE + place * (WIDTH - 2 * EDGE) / (len(values) - 1)
            y = HEIGHT - EDGE - (value - low) * (HEIGHT - 2 * EDGE) / (high - low)
            steps.append(f"{pen}{x:.1f} {y:.1f}")
            pen = "L"
        return " ".join(steps)

    return (
        f'<figure><svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img" '
        'aria-label="rms of outputs and gradients by call">'
        f'<text x="2" y="14">1e{high}</text><text x="2" y="{HEIGHT - 4}">1e{low}</text>'
        f'<path class="forward" d="{path(forward)}"/><path class="backward" d="{path(backward)}"/>'
        "</svg><figcaption>By call, in forward order: rms of the output (blue) and of the "
        "gradient of the loss there (orange), on a logarithmic scale.</figcaption></figure>"
    )


def _decade(s: Statistics | None) -> float | None:
    return math.log10(s.rms) if s is not None and s.rms else None


def _table(records: Sequence[Record]) -> str:
    if not records:
        return ""
    rows = "".join(
        f"<tr><td>{escape(r.facts.name or 'the model itself')}</td><td>{escape(r.facts.kind)}</td>"
        f"<td>{escape(str(list(r.facts.shape)))}</td><td>{number_text(r.activation.mean)}</td>"
        f"<td>{number_text(r.activation.std)}</td>"
        f"<td>{number_text(r.gradient.rms if r.gradient else None)}</td>"
        f"<td>{r.units.dead if r.units else ''}</td></tr>"
        for r in records
    )
    heads = ("module", "kind", "shape", "mean", "std", "gradient rms", "dead units")
    head = "".join(f"<th>{each}</th>" for each in heads)
    return (
        f"<details><summary>{len(records)} calls</summary>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></details>"
    )
