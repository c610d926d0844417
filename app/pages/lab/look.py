"""Which layer is looked at, and how it is shown: by itself, in the page, at the end of a stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from layerscope.app.errors import Problem
from layerscope.app.pages.lab.blocks import SIDES, Side
from layerscope.app.pages.lab.findings import finding_words
from layerscope.app.pages.lab.inspector import FIGURES, Inspected, inspect
from layerscope.app.pages.lab.progress import Progress
from layerscope.app.recorded import WHOLE
from layerscope.app.templating import templates
from layerscope.engine.basis.cancellation import ShouldStop
from layerscope.engine.execution.cost import Limits, OverLimit
from layerscope.engine.execution.layer_tensors import tensors_cost
from layerscope.engine.execution.network import layout
from layerscope.engine.experiment.specification import Experiment

__all__ = ["ASKED", "Look"]

ASKED = ("block", "side")
"""What a query says of it, beside the experiment."""
Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Look:
    """A block and a side of φ; exact entries are at the address ``npy``. Without a ``block`` the
    one is meant that is worth a look. ``refused`` says why no tensor can be shown, if so."""

    npy: str
    block: int | None = None
    side: Side = "after"
    refused: str = ""

    @classmethod
    def read(cls, pairs: Pairs, npy: str, limits: Limits) -> tuple[Experiment, Look]:
        """The experiment and the look of a query.

        Errors: ``InvalidParameters``; ``Problem`` 404 for a side that there is not.
        """
        asked = dict(pair for pair in pairs if pair[0] in ASKED)
        experiment = Experiment.from_strings(pair for pair in pairs if pair[0] not in ASKED)
        side = next((side for side in SIDES if side == asked.get("side", "after")), None)
        if side is None:
            raise Problem(404, f"side {asked['side']}: expected one of {', '.join(SIDES)}")
        block = asked.get("block")
        if block is not None and not (WHOLE.fullmatch(block) and int(block)):
            last = layout(experiment)[-1].block
            raise Problem(404, f"layer {block[:20]}: expected 1 to {last}")
        try:
            limits.check(tensors_cost(experiment))
        except OverLimit as refusal:
            return experiment, cls(npy, None, side, str(refusal))
        return experiment, cls(npy, int(block) if block else None, side)

    def at(self, experiment: Experiment, block: int, should_stop: ShouldStop) -> Inspected:
        """The block as the inspector shows it."""
        return inspect(experiment, block, self.side, self.npy, should_stop)

    def of(self, progress: Progress) -> int:
        """The block, of a network that may have fewer, whose summary is known."""
        return min(self.block or _worst(progress), len(progress.blocks))

    def fragment(self, progress: Progress, should_stop: ShouldStop) -> str:
        """The inspector with the place where htmx puts it."""
        inspected = None
        if not self.refused:
            inspected = self.at(progress.experiment, self.of(progress), should_stop)
        template = templates.env.get_template("partials/lab/swaps/inspector.html")
        return template.render(inspected=inspected, columns=FIGURES, why=self.refused)


def _worst(progress: Progress) -> int:
    """Where the worst finding begins; the middle of a network in which nothing was found."""
    findings = progress.summary.findings if progress.summary else ()
    for finding in findings:
        return finding_words(finding.to_dict()).block
    return (len(progress.blocks) + 1) // 2
