"""Writes the table of rules into docs/diagnosis.md, from the registry."""

from __future__ import annotations

import re
from pathlib import Path

from layerscope.engine.diagnosis import RULES

PATH = Path(__file__).parent.parent / "docs" / "diagnosis.md"
BLOCK = re.compile(r"(<!-- rules: .*? -->\n).*?(<!-- /rules -->)", re.DOTALL)


def table() -> str:
    """The rules as a Markdown table."""
    rows = [
        f"| `{r.name}` | {r.formula} | {r.help} | {r.source} |".replace("\n", " ")
        for r in sorted(RULES.values(), key=lambda r: r.name)
    ]
    head = ["| rule | condition | why this threshold | source |", "|---|---|---|---|"]
    return "\n".join([*head, *(re.sub(r"(?<=\w)\|(?=\w)", "\\\\|", row) for row in rows)])


def filled(text: str) -> str:
    """``text`` with its block of rules written anew."""
    return BLOCK.sub(lambda m: f"{m[1]}\n{table()}\n\n{m[2]}", text)


if __name__ == "__main__":
    PATH.write_text(filled(PATH.read_text(encoding="utf-8")), encoding="utf-8")
