"""A crew of processes: the Lab's own numbers, whoever is killed; and nobody is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import layerscope
from layerscope.engine.basis.cancellation import Stopped
from layerscope.engine.diagnosis.run import result
from layerscope.engine.experiment import Experiment
from layerscope.engine.maps import execution
from layerscope.engine.maps.axes import Axis
from layerscope.engine.maps.execution import Crew, MapFailed
from layerscope.engine.maps.measuring import reading
from layerscope.engine.maps.plane import Plane
from tests.mapping import alive, children

pytestmark = pytest.mark.slow

BASE = Experiment(width=16, batch=16)
PLANE = Plane(
    Axis.between("init_scale", 0.5, 2, 5, "log"), Axis.of("depth", [1, 4, 9]), BASE, "loss"
)  # fmt: skip
LONG = Plane(
    Axis.between("init_scale", 0.5, 2, 20, "log"), Axis.between("depth", 40, 60, 21),
    Experiment(width=128, batch=256), "last_std",
)  # fmt: skip


def workers(crew):
    """Those of joblib's processes that compute; the other one keeps account of shared memory."""
    found = []
    for pid in children(crew.pid):
        try:
            if b"LokyProcess" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
        except OSError:
            continue
    return found


@pytest.fixture(scope="module")
def crew():
    """One for all: to start is what takes seconds."""
    with Crew(jobs=2) as made:
        yield made


def test_every_cell_is_the_labs_and_a_crew_does_one_map_after_another(crew):
    crew.get_ready()
    samples = list(PLANE.samples())
    found = {place: reading for place, reading, _ in crew.done(samples)}
    pid = crew.pid
    for sample in samples:
        assert (
            found[sample.place].number
            == result(sample.experiment, check=False, fixes=False)["loss"]
        )
    other = list(Plane(PLANE.x, PLANE.y, BASE, "finding").samples())
    for place, told, _ in crew.done(other):
        sample = next(s for s in other if s.place == place)
        assert told == reading(sample.experiment, None, "finding")
    assert crew.pid == pid


def test_a_killed_worker_loses_nothing(crew):
    samples = list(LONG.samples())[:40]
    found, killed = {}, None
    for place, told, _ in crew.done(samples):
        found[place] = told
        if killed is None:
            killed = workers(crew)[0]
            os.kill(killed, signal.SIGKILL)
    assert not alive(killed)
    assert sorted(found) == sorted(s.place for s in samples)
    for sample in samples[::8]:
        assert found[sample.place] == reading(sample.experiment, None, "last_std")


def test_a_bug_fails_the_map_with_what_it_said(crew):
    sample = next(PLANE.samples())
    odd = type(sample)(0, sample.experiment, None, "nothing_of_the_kind")
    with pytest.raises(MapFailed, match="nothing_of_the_kind"):
        list(crew.done([odd]))


def test_a_killed_runner_loses_nothing_and_its_workers_end(crew, until):
    samples = list(LONG.samples())[:10]
    found, below, first = set(), [], None
    for place, _, _ in crew.done(samples):
        found.add(place)
        if first is None:
            first, below = crew.pid, children(crew.pid)
            os.kill(first, signal.SIGKILL)
    assert len(found) == 10
    assert crew.pid != first
    until(lambda: not any(alive(pid) for pid in below))


def test_leaving_early_ends_everything(crew, until):
    coming = crew.done(list(LONG.samples()))
    next(coming)
    everyone = [crew.pid, *children(crew.pid)]
    coming.close()
    until(lambda: not any(alive(pid) for pid in everyone))


def test_stopping_ends_everything(until):
    crew = Crew(jobs=2)
    everyone = []

    def stop():
        until(lambda: crew.pid and len(workers(crew)) == 2)
        everyone.extend([crew.pid, *children(crew.pid)])
        crew.stop()

    stopping = threading.Thread(target=stop)
    stopping.start()
    with pytest.raises(Stopped):
        list(crew.done(list(LONG.samples())))
    stopping.join()
    assert len(everyone) >= 3
    until(lambda: not any(alive(pid) for pid in everyone))
    with pytest.raises(Stopped):
        next(crew.done(list(PLANE.samples())))
    crew.get_ready()
    assert crew.pid is None


def test_who_reads_nothing_any_more_is_ended_too(monkeypatch, tmp_path, until):
    """To close the input of such a process waits for the one who writes, and he for it."""
    deaf = tmp_path / "deaf"
    deaf.write_text("#!/bin/sh\nexec sleep 1000\n")
    deaf.chmod(0o700)
    monkeypatch.setattr(execution.sys, "executable", str(deaf))
    crew = Crew(jobs=2)
    came = []

    def ask():
        with pytest.raises(Stopped):
            came.extend(crew.done(list(LONG.samples())))

    asking = threading.Thread(target=ask)
    asking.start()
    until(lambda: crew.pid)
    pid = crew.pid
    crew.stop()
    asking.join()
    assert came == []
    assert not alive(pid)


PROGRAM = """
import sys, threading
from tests.engine.maps.test_execution import LONG
from layerscope.engine.maps.execution import Crew
crew = Crew(jobs=2)
threading.Thread(target=lambda: list(crew.done(list(LONG.samples()))), daemon=True).start()
while not crew.pid:
    threading.Event().wait(0.01)
print(crew.pid, flush=True)
threading.Event().wait()
"""


def test_who_is_killed_leaves_no_process(until):
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True,
        cwd=Path(__file__).resolve().parents[3],
    )  # fmt: skip
    runner = int(program.stdout.readline())
    until(lambda: len(children(runner)) >= 3)
    everyone = [runner, *children(runner)]
    program.kill()
    program.wait()
    program.stdout.close()
    until(lambda: not any(alive(pid) for pid in everyone))


def test_a_runner_that_cannot_start_is_told(monkeypatch):
    monkeypatch.setattr(execution.sys, "executable", "/bin/false")
    with Crew(jobs=1) as crew, pytest.raises(MapFailed, match="ended unexpectedly"):
        list(crew.done(list(PLANE.samples())))


def test_from_python_an_array_with_axes(monkeypatch, tmp_path):
    monkeypatch.setenv("LAYERSCOPE_DATA_DIR", str(tmp_path))
    seen = []
    ask = {"x": ("init_scale", np.array([0.5, 1.0])), "outcome": "loss", "width": 8, "batch": 8}
    found = layerscope.map(
        y={"parameter": "depth", "from": 1, "to": 3, "steps": 3}, jobs=2,
        progress=lambda done, total: seen.append((done, total)), **ask,
    )  # fmt: skip
    assert (found.x, found.y, found.shape) == ((0.5, 1.0), (1, 2, 3), (3, 2))
    for row, depth in enumerate(found.y):
        for column, scale in enumerate(found.x):
            e = Experiment(width=8, batch=8, depth=depth, init_scale=scale)
            assert np.asarray(found)[row, column] == result(e, check=False, fixes=False)["loss"]
    assert seen[-1] == (6, 6)
    assert found.to_csv().startswith("init_scale,depth,loss,spread,text\n0.5,1,")
    assert found.text(0, 0) == ""
    assert repr(found) == "<Map of loss: 3 depth × 2 init_scale>"
    asked = []
    monkeypatch.setattr(Crew, "done", lambda _, samples: asked.append(samples) or iter(()))
    again = layerscope.map(y=("depth", [3, 1]), jobs=2, **ask)
    assert (again.values == found.values[[2, 0]]).all()
    assert asked == [[]]  # nothing is new


def test_python_refuses_two_bases():
    with pytest.raises(TypeError, match="an experiment or its parameters"):
        layerscope.map(("depth", [1]), ("width", [2]), experiment=BASE, batch=3)
