"""What is known so far of an experiment that runs: its events in, words and drawings out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from layerscope.app.pages.lab import drawing
from layerscope.app.pages.lab.blocks import Block, blocks
from layerscope.app.pages.lab.captions import (
    ChartWords,
    TableRow,
    chart_words,
    intro,
    readouts,
    table,
)
from layerscope.app.pages.lab.findings import finding_words
from layerscope.app.pages.lab.fixes import FixLink, fix_link
from layerscope.app.pages.lab.stills import Still, stills
from layerscope.app.pages.lab.verdict import TERMS, Line, VerdictWords, check_line, theory_line
from layerscope.app.results import Checked
from layerscope.engine.diagnosis.run import (
    Backward,
    Event,
    FindingEvent,
    FixEvent,
    Forward,
    Start,
    Summary,
    TrialEvent,
)
from layerscope.engine.diagnosis.trial import will_be_tried
from layerscope.engine.execution.network import LayerInfo
from layerscope.engine.execution.records import Record
from layerscope.engine.experiment.specification import Experiment

__all__ = ["Progress"]


class Progress:
    """Fed by ``take`` with every event, in order; links to changed experiments lead to ``lab``."""

    def __init__(self, experiment: Experiment, lab: str) -> None:
        self.experiment = experiment
        self.layers: list[LayerInfo] = []
        self.blocks: list[Block] = []
        self.records: list[Record] = []
        self.summary: Summary | None = None
        self.ended = False
        """Whether nothing more comes: set by whoever reads the events."""
        self._lab = lab
        self.early: dict[str, FindingEvent] = {}
        """What was found before the summary, by rule, because a finding grows."""
        self._fixes: dict[int, FixLink] = {}
        self._check = Line()
        self._tried = ""

    def take(self, event: Event | Checked) -> None:
        """Another event."""
        if isinstance(event, Forward):
            self.records.append(event.record)
        elif isinstance(event, Backward):
            self.records[event.record.facts.index] = event.record
        elif isinstance(event, Start):
            self.layers = event.layers
            self.blocks = blocks(event.layers)
        elif isinstance(event, FindingEvent):
            self.early[event.finding.rule] = event
        elif isinstance(event, Summary):
            self.summary = event
        elif isinstance(event, Checked):
            self._check = check_line(event.check)
        elif isinstance(event, TrialEvent):
            self._tried = event.trial.text
            assert self.summary is not None  # noqa: S101 - what was found is what is tried
            self.summary = replace(self.summary, findings=event.findings, verdict=event.verdict)
        elif isinstance(event, FixEvent):
            self._fixes[event.finding] = fix_link(self.experiment, event.fix.to_dict(), self._lab)

    @property
    def verdict(self) -> VerdictWords | None:
        """The words for what is known: before the summary those of what was found early."""
        if self.summary is None:
            found = [finding_words(event.finding.to_dict()) for event in self.early.values()]
            if not found:
                return None
            first = found[0]
            return VerdictWords(
                first.severity, first.title, first.explanation, found, searched=False
            )
        said = self.summary.verdict
        return VerdictWords(
            said.severity,
            said.title,
            said.text,
            [finding_words(f.to_dict()) for f in self.summary.findings],
            [(u["rule"], u["reason"]) for u in self.summary.undecided],
            self._fixes,
            self.ended or bool(self.summary.unfixed),
            self.summary.unfixed,
            self._check,
            theory_line(self.summary.theory),
            TERMS if self.summary.theory.available else (),
            self._tried,
            self._is_tried_now(self.summary),
        )

    def _is_tried_now(self, summary: Summary) -> bool:
        over = self.ended or bool(self._tried or summary.unfixed)
        rests = bool(self._check.text)  # whoever drags on is not kept with what is dropped then
        return rests and not over and will_be_tried(self.experiment, summary.findings)

    @property
    def gradient_scale(self) -> float:
        """What the strip holds gradients against: the last layer's own; 1 where that has none."""
        last = self.records[-1].gradient
        return (last and (last.std or last.rms)) or 1.0

    @property
    def intro(self) -> str:
        """The network in a sentence."""
        return intro(self.experiment)

    @property
    def charts(self) -> list[ChartWords]:
        """The words beside each chart."""
        assert self.summary is not None  # noqa: S101 - asked for once it is there
        return chart_words(self.experiment, self.blocks, self.records, self.summary.theory)

    @property
    def readouts(self) -> list[tuple[str, str]]:
        """The figures of each block, after φ and before it."""
        return readouts(self.blocks, self.records)

    @property
    def stills(self) -> tuple[Still, ...]:
        """The charts of who has no scripts."""
        return stills(self.blocks, self.records)

    @property
    def rows(self) -> list[TableRow]:
        """The table of figures."""
        return table(self.layers, self.records)

    @property
    def start(self) -> dict[str, Any]:
        """What is known beforehand; a block is ``[linear, before φ, after φ, silent]``."""
        return {"experiment": self.experiment.to_dict(), "blocks": list(map(list, self.blocks))}

    @property
    def theory(self) -> dict[str, Any]:
        """What is drawn of the prediction."""
        assert self.summary is not None  # noqa: S101 - asked for once it is there
        return drawing.theory(self.summary.theory, self.blocks, self.experiment)

    @property
    def drawing(self) -> dict[str, Any]:
        """Everything that is drawn, at once: what the stream's events carry one after the other."""
        return {
            "start": self.start,
            "forward": [drawing.forward_row(record) for record in self.records],
            "backward": [drawing.backward_row(r, self.gradient_scale) for r in self.records],
            "theory": self.theory,
            "verdict": self.summary.verdict.title if self.summary else "",
        }
