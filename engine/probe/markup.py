"""HTML that a notebook or a file shows: no scripts, nothing from elsewhere, every text escaped."""

from __future__ import annotations

from html import escape

from layerscope.engine.diagnosis import Finding

__all__ = ["STYLE", "finding_markup", "number_text"]

STYLE = """
.ls{font:14px/1.5 system-ui,sans-serif;max-width:60rem;color:#1b1f24;background:#fff;padding:1rem}
.ls h2{font-size:1.2rem;margin:.2rem 0}.ls section{border-left:4px solid #888;margin:1rem 0;
padding:.2rem 0 .2rem .8rem}.ls .error{border-color:#c62828}.ls .warning{border-color:#c77700}
.ls .info{border-color:#1565c0}.ls pre{background:#f3f4f6;padding:.6rem;overflow-x:auto}
.ls table{border-collapse:collapse;font-variant-numeric:tabular-nums}.ls td,.ls th{padding:.1rem
.6rem;text-align:right;border-bottom:1px solid #ddd}.ls td:first-child,.ls th:first-child{
text-align:left}.ls svg{max-width:100%;height:auto}.ls .forward{stroke:#1565c0;fill:none}
.ls .backward{stroke:#c77700;fill:none}.ls figcaption{color:#555}.ls figure{margin:1rem 0}
.ls rect{shape-rendering:crispEdges}
.ls iframe{border:1px solid #ddd}
.ls svg text{font:11px ui-monospace,monospace;fill:#555}
"""
"""Of everything within an element of the class ``ls``."""


def finding_markup(finding: Finding, said: str = "") -> str:
    """A finding with where it is, what follows from it, and the lines of code that help;
    ``said``: of its fix."""
    modules = ", ".join(name or "the model itself" for name in finding.modules)
    at = f"<p>At <code>{escape(modules)}</code></p>" if modules else ""
    since = "" if finding.since is None else f", since step {finding.since}"
    follows = "".join(
        f"<li>{escape(c.title)} (<code>{escape(c.rule)}</code>)</li>" for c in finding.consequences
    )
    below = f"<p>Follows from it:</p><ul>{follows}</ul>" if follows else ""
    code = (finding.fix or {}).get("code")
    lines = f"<pre><code>{escape(code)}</code></pre>" if code else ""
    told = f"<p>{escape(said)}</p>" if said else ""
    return (
        f'<section class="{escape(finding.severity)}"><h3>{escape(finding.title)}</h3>'
        f"<p>{escape(finding.severity)}, <code>{escape(finding.rule)}</code>{since}</p>{at}"
        f"<p>{escape(finding.explanation)}</p>{below}{told}{lines}</section>"
    )


def number_text(value: float | None) -> str:
    """Three digits; nothing where there is no number."""
    return "" if value is None else f"{value:.3g}"
