"""Our scripts as one text, for files without a server, where modules can't be loaded."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from layerscope.app.assets import resources

__all__ = ["bundle", "modules"]

IMPORT = re.compile(r'^import (\{[^}]*\}) from "(\.[^"]+)";[ \t]*$', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:async )?(?:const|function|class) (\w+))", re.MULTILINE)
FOREIGN = re.compile(r"^(?:import|export)\b.*$", re.MULTILINE)


def bundle(entry: str, root: Path | None = None) -> str:
    """The module ``entry`` and whatever it imports, each in a scope of its own, in one script.

    Args:
        entry: its path below ``root``, by default ``static/js``.

    Errors: ``ValueError`` for an import or export in a form that none of ours has; of the system
    for a file that is not there.
    """
    order = _ordered(entry, root)
    places = {path: f"module{place}" for place, path in enumerate(order)}
    return "\n".join(_scoped(path, text, places) for path, text in order.items())


def modules(entry: str, root: Path | None = None) -> tuple[str, ...]:
    """The paths of ``entry`` and of whatever it imports, it last; errors as of ``bundle``.

    >>> modules("runs/cursor.js")
    ('tokens.js', 'runs/cursor.js')
    """
    return tuple(_ordered(entry, root))


def _ordered(entry: str, root: Path | None) -> dict[str, str]:
    """The text of each module, what it imports before it."""
    order: dict[str, str] = {}
    _gather(resources() / "static" / "js" if root is None else root, entry, order, ())
    return order


def _gather(root: Path, path: str, order: dict[str, str], within: tuple[str, ...]) -> None:
    """Everything that ``path`` imports, then itself."""
    if path in within:
        raise ValueError(f"{' → '.join((*within, path))}: modules that import one another")
    if path in order:
        return
    text = (root / path).read_text(encoding="utf-8")
    for _, other in IMPORT.findall(text):
        _gather(root, _resolved(path, other), order, (*within, path))
    order[path] = text


def _resolved(path: str, other: str) -> str:
    """Where ``other``, as ``path`` names it, lies below the root."""
    parts: list[str] = []
    for part in (PurePosixPath(path).parent / other).parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)


def _scoped(path: str, text: str, places: dict[str, str]) -> str:
    def taken(found: re.Match[str]) -> str:
        names = found[1].replace(" as ", ": ")
        return f"const {names} = {places[_resolved(path, found[2])]};"

    names = EXPORT.findall(text)
    body = EXPORT.sub("", IMPORT.sub(taken, text))
    if left := FOREIGN.search(body):
        raise ValueError(f"{path}: can't be bundled: {left[0][:100]}")
    return f"const {places[path]} = (() => {{\n{body}\nreturn {{ {', '.join(names)} }};\n}})();"
