"""A run as one HTML file that opens without a server and asks nobody for anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from layerscope.app.assets import resources
from layerscope.app.bundling import bundle
from layerscope.app.figures.found import FindingView, finding_view
from layerscope.app.figures.heads import Head, head
from layerscope.app.figures.runs import DISPLAYS, Display, run_figures
from layerscope.app.pictures import columns, marks
from layerscope.app.templating import templates
from layerscope.engine.execution.records import Facts
from layerscope.engine.store import Store

__all__ = ["ExportedRun", "run_document"]

POINTS = 400
"""Steps in the file at most; extremes and whatever is not finite are kept."""
STYLES = ("tokens.css", "base.css", "runs.css")
STYLES_HERE, SCRIPTS_HERE = "<!-- styles -->", "<!-- scripts -->"
"""Where the template wants them: what a run is called can't be these, its < is written &lt;."""


@dataclass(frozen=True, slots=True)
class ExportedRun:
    """What the template receives as ``page``."""

    head: Head
    findings: Sequence[FindingView]
    displays: Sequence[tuple[str, Display]]
    modules: Sequence[Facts]
    shown: int
    """Steps in the file."""
    figures: Any
    drawing: dict[str, Any]


def run_document(store: Store, run: str) -> str:
    """The file's text. Nothing in it has an address, and its policy allows no request.

    Errors: of the store.
    """
    found, facts, findings = store.run(run), store.facts(run), store.findings(run)
    steps = store.steps(run, points=POINTS)
    parts = {name: columns(steps, facts, name) for name in DISPLAYS}
    drawings = {name: part["columns"] for name, part in parts.items()}
    shared = {k: v for k, v in next(iter(parts.values())).items() if k != "columns"}
    page = ExportedRun(
        head=head(found, len(facts)),
        findings=[finding_view(f) for f in findings],
        displays=list(DISPLAYS.items()),
        modules=facts,
        shown=len(steps),
        figures=run_figures(),
        drawing={
            "modules": [f.name for f in facts], "marks": marks(findings), "quantities": drawings,
            **shared,
        },
    )  # fmt: skip
    text = templates.env.get_template("exports/run.html").render(page=page)
    head_of_it, _, rest = text.partition(STYLES_HERE)
    body, _, end = rest.partition(SCRIPTS_HERE)
    scripts = f"<script>{_plotly()}</script>\n<script>{_script()}</script>"
    return f"{head_of_it}<style>{_css()}</style>{body}{scripts}{end}"


def _css() -> str:
    """As our pages have it; without our typefaces, the system's are used."""
    folder = resources() / "static" / "css"
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in STYLES)


def _plotly() -> str:
    path = resources() / "static" / "vendor" / "plotly-cartesian.min.js"
    return path.read_text(encoding="utf-8").replace("</script", r"<\/script")


def _script() -> str:
    return bundle("runs/exported.js").replace("</script", r"<\/script")
