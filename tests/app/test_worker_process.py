"""What a worker sends of what its work yields, and when."""

from __future__ import annotations

import math
import pickle
import socket

import pytest

from layerscope.app.workers import process
from layerscope.app.workers.frames import Kind, frame
from tests import working


@pytest.mark.parametrize(
    ("seconds", "parts"),
    [
        (math.inf, [["patient", "patient", "urgent"], ["patient", "patient"]]),
        (-1.0, [["patient"], ["patient"], ["urgent"], ["patient"], ["patient"]]),
    ],
)
def test_what_may_wait_gathers_and_is_sent_before_whatever_ends_the_work(
    monkeypatch: pytest.MonkeyPatch, seconds: float, parts: list[list[str]]
) -> None:
    monkeypatch.setattr(process, "GATHER_SECONDS", seconds)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        worker = process._Worker(theirs)
        task = process.Task(working.mixed, 1 << 32, patient=working.patient)
        ours.sendall(frame(Kind.WORK, 1, pickle.dumps(task)))
        worker.work_once()
        reader = process._Worker(ours)
        found = [reader._receive() for _ in range(len(parts) + 1)]
    items = [body for kind, _, body in found if kind == Kind.ITEMS]
    assert [pickle.loads(body) for body in items] == parts  # noqa: S301 - our own
    assert [kind for kind, _, _ in found][-1] == Kind.ERROR


def test_what_may_not_wait_is_sent_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "GATHER_SECONDS", math.inf)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        task = process.Task(working.mixed, 1 << 32)
        ours.sendall(frame(Kind.WORK, 1, pickle.dumps(task)))
        process._Worker(theirs).work_once()
        reader = process._Worker(ours)
        kinds = [reader._receive()[0] for _ in range(6)]
    assert kinds == [Kind.ITEMS] * 5 + [Kind.ERROR]
