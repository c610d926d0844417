"""The report of a preflight: how what it found is shown."""

from __future__ import annotations

from pathlib import Path

from layerscope.engine.probe.preflight import page, words
from layerscope.engine.probe.preflight.outcome import Outcome

__all__ = ["Report"]


class Report(Outcome):
    """What a preflight found. ``print`` it, let a notebook show it, or write it with ``html``."""

    def __str__(self) -> str:
        return words.plain(self)

    def __rich__(self) -> str:
        """What ``rich.print`` and a console of rich's show: the same, in colours."""
        return words.coloured(self)

    def _repr_html_(self) -> str:
        """What a notebook shows: the same as ``html`` writes, within the notebook's own page."""
        return page.fragment(self)

    def html(self, path: str | Path) -> None:
        """Writes a page that needs nothing beside itself: no script, no font, no address.

        Errors: ``OSError`` where it cannot be written.
        """
        Path(path).write_text(page.document(self), encoding="utf-8")
