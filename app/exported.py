"""A run as one HTML file that opens without a server and asks nobody for anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from layerscope.app.assets import resources
from layerscope.app.bundling import bundle
from layerscope.app.configs import leaves, value_words
from layerscope.app.figures.found import FindingView, finding_view
from layerscope.app.figures.heads import Head, saved_head
from layerscope.app.figures.runs import DISPLAYS, ROWS, Display, run_figures
from layerscope.app.figures.signal import common_dtype
from layerscope.app.pictures import marks, pictured
from layerscope.app.templating import templates
from layerscope.engine.execution.cost import OverLimit
from layerscope.engine.execution.records import Facts
from layerscope.engine.store import Run, Store
from layerscope.engine.store.sampling import FEWEST

__all__ = ["ExportedRun", "run_document"]

POINTS = 400
"""Steps in the file at most; extremes and whatever is not finite are kept."""
FEWEST_POINTS = 50
"""Of a run of many modules; a picture of fewer would say little."""
MOST_FIGURES = 800_000
"""In the file, of all quantities together: some 16 MB, what can be attached somewhere."""
STYLES = ("tokens.css", "base.css", "runs.css")
STYLES_HERE, SCRIPTS_HERE = "<!-- styles -->", "<!-- scripts -->"
"""Where the template wants them: what a run is called can't be these, its < is written &lt;."""


@dataclass(frozen=True, slots=True)
class ExportedRun:
    """What the template receives as ``page``."""

    head: Head
    findings: Sequence[FindingView]
    displays: Sequence[tuple[str, Display]]
    arrangements: Mapping[str, str]
    settings: Sequence[tuple[str, str]]
    modules: Sequence[Facts]
    shown: int
    """Steps in the file."""
    figures: Any
    drawing: dict[str, Any]


def run_document(store: Store, run: str) -> str:
    """The file's text. Nothing in it has an address, and its policy allows no request.

    Errors: of the store; ``OverLimit`` where the modules are too many for a file.
    """
    found, facts, findings = store.run(run), store.facts(run), store.findings(run)
    steps = store.steps(run, points=_points(found, len(facts)))
    drawn = pictured(steps, facts, DISPLAYS)
    page = ExportedRun(
        head=saved_head(found, len(facts)),
        findings=[finding_view(f) for f in findings],
        displays=list(DISPLAYS.items()),
        arrangements=ROWS,
        settings=[(name, value_words(value)) for name, value in leaves(found.config)],
        modules=facts,
        shown=len(steps),
        figures=run_figures(),
        drawing={
            "modules": [f.name for f in facts], "marks": marks(findings),
            "dtype": common_dtype(facts), **drawn,
        },
    )  # fmt: skip
    text = templates.env.get_template("exports/run.html").render(page=page)
    head_of_it, _, rest = text.partition(STYLES_HERE)
    body, _, end = rest.partition(SCRIPTS_HERE)
    scripts = f"<script>{_plotly()}</script>\n<script>{_script()}</script>"
    return f"{head_of_it}<style>{_css()}</style>{body}{scripts}{end}"


def _points(run: Run, modules: int) -> int:
    """How many steps have room. Errors: ``OverLimit``."""
    each = max(1, modules * len(DISPLAYS))
    least = each * min(run.steps, FEWEST_POINTS)
    if least > MOST_FIGURES:
        raise OverLimit("figures", MOST_FIGURES, least, what="this run's page in one file",
                        instead="csv or parquet, which have every figure")  # fmt: skip
    return max(FEWEST, min(POINTS, MOST_FIGURES // each))


def _css() -> str:
    """As our pages have it; without our typefaces, the system's are used."""
    folder = resources() / "static" / "css"
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in STYLES)


def _plotly() -> str:
    path = resources() / "static" / "vendor" / "plotly-cartesian.min.js"
    return path.read_text(encoding="utf-8").replace("</script", r"<\/script")


def _script() -> str:
    return bundle("runs/exported.js").replace("</script", r"<\/script")
