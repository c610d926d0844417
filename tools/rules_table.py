"""Writes the tables of rules into the documents that have one, each from its registry."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from layerscope.engine.diagnosis import RULES
from layerscope.engine.probe.preflight.checks import CHECKS
from layerscope.engine.probe.rules import TRAINING_RULES

__all__ = ["TABLES", "filled"]

DOCS = Path(__file__).parent.parent / "docs"
TABLES: Mapping[Path, tuple[Mapping[str, Any], str, str]] = {
    DOCS / "diagnosis.md": (RULES, "rule", "why this threshold"),
    DOCS / "preflight.md": (CHECKS, "check", "what it finds"),
    DOCS / "probe.md": (TRAINING_RULES, "rule", "why this threshold"),
}
"""The registry that a document has a table of, between two comments; what its entries and their
``help`` are called there."""
BLOCK = re.compile(r"(<!-- rules: .*? -->\n).*?(<!-- /rules -->)", re.DOTALL)


def _table(rules: Iterable[Any], entry: str, told: str) -> str:
    rows = [
        f"| `{r.name}` | {r.formula} | {r.help} | {r.source} |".replace("\n", " ")
        for r in sorted(rules, key=lambda r: r.name)
    ]
    head = [f"| {entry} | condition | {told} | source |", "|---|---|---|---|"]
    return "\n".join([*head, *(re.sub(r"(?<=\w)\|(?=\w)", "\\\\|", row) for row in rows)])


def filled(path: Path, text: str) -> str:
    """``text``, of the document at ``path``, with its block of rules written anew."""
    rules, *headings = TABLES[path]
    table = _table(rules.values(), *headings)
    return BLOCK.sub(lambda m: f"{m[1]}\n{table}\n\n{m[2]}", text)


if __name__ == "__main__":
    for path in TABLES:
        path.write_text(filled(path, path.read_text(encoding="utf-8")), encoding="utf-8")
