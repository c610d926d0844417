"""The Lab's own stream, from one run: what is drawn as named events (see ``drawing``), what is said
as messages without a name, HTML for htmx to put where it says."""

from __future__ import annotations

import time
from collections.abc import Iterator

from layerscope.app.encoding import json_text
from layerscope.app.pages.lab import drawing
from layerscope.app.pages.lab.links import Elsewhere
from layerscope.app.pages.lab.look import Look
from layerscope.app.pages.lab.progress import Progress
from layerscope.app.results import Checked, LeftOut, events
from layerscope.app.streams import Wire
from layerscope.app.templating import templates
from layerscope.engine.basis.cancellation import ShouldStop, stop_if
from layerscope.engine.diagnosis.run import (
    Backward,
    Event,
    FixEvent,
    Forward,
    Start,
    Summary,
    TrialEvent,
)

__all__ = ["GROUPED", "messages", "patient"]

REST_SECONDS = 0.12
"""How long the hand must rest before more is computed than the verdict: whoever drags drops it."""
GROUPED = {"forward": "rows", "backward": "rows"}
"""Events of which those that follow one another are sent as one."""
SAID: dict[type, str] = {
    Summary: "result", Checked: "figures", TrialEvent: "verdict", FixEvent: "verdict",
}  # fmt: skip
"""What is said after an event: which of ``fragment``'s."""
SLOW_SECONDS = 0.15
"""A computation that takes longer says what it has found before it is through."""


def patient(message: Wire) -> bool:
    """Whether a message may wait for others: many of its name come, and end no wait."""
    return message[0] in GROUPED


def messages(
    progress: Progress, elsewhere: Elsewhere, left_out: LeftOut, look: Look, should_stop: ShouldStop
) -> Iterator[Wire]:
    """What the page is sent while ``progress``'s experiment runs: what is drawn and the verdict,
    and, once the hand rests, the chosen layer's tensors, the check and fixes."""
    began = time.monotonic()
    told = 0
    decided, waiting = False, True

    def words(name: str) -> Wire:
        nonlocal decided, waiting
        verdict = progress.verdict
        before, decided = decided, bool(verdict and verdict.decided)
        waiting = bool(verdict is None or verdict.waiting)
        return "", _fragment(name, progress, elsewhere, fixes=decided and not before)

    for event in events(progress.experiment, left_out, should_stop):
        progress.take(event)
        yield from _drawn(event, progress)
        if name := SAID.get(type(event)):
            yield words(name)
        slow = progress.summary is None and time.monotonic() - began > SLOW_SECONDS
        if slow and len(progress.early) > told:
            told = len(progress.early)
            yield words("verdict")
        if isinstance(event, Summary):
            _rest(should_stop)
            yield "", look.fragment(progress, should_stop)
    progress.ended = True
    if waiting:
        yield words("verdict")


def _rest(should_stop: ShouldStop) -> None:
    until = time.monotonic() + REST_SECONDS
    while time.monotonic() < until:
        stop_if(should_stop)
        time.sleep(REST_SECONDS / 12)


def _drawn(event: Event | Checked, progress: Progress) -> Iterator[Wire]:
    if isinstance(event, Forward):
        yield "forward", json_text(drawing.forward_row(event.record))
    elif isinstance(event, Backward):
        yield "backward", json_text(drawing.backward_row(event.record, progress.gradient_scale))
    elif isinstance(event, Start):
        yield "start", json_text(progress.start)
    elif isinstance(event, Summary):
        yield "theory", json_text(progress.theory)


def _fragment(name: str, progress: Progress, elsewhere: Elsewhere, *, fixes: bool) -> str:
    """What is known by now as HTML, each part with the place where htmx puts it.

    ``name`` is one of ``templates/partials/lab/swaps``. ``fixes``: replaces those of the experiment
    before, which are shown till then.
    """
    template = templates.env.get_template(f"partials/lab/swaps/{name}.html")
    return template.render(progress=progress, elsewhere=elsewhere, fixes=fixes)
