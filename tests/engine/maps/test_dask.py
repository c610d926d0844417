"""The same cells on a real Dask cluster on loopback: the same bits, though a worker is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from layerscope.engine.diagnosis.run import result
from layerscope.engine.experiment import Experiment
from layerscope.engine.maps.axes import Axis
from layerscope.engine.maps.execution import Crew, MapFailed
from layerscope.engine.maps.measuring import reading
from layerscope.engine.maps.plane import Plane

pytestmark = pytest.mark.slow

TOP = Path(__file__).resolve().parents[3]
PLANE = Plane(
    Axis.between("init_scale", 0.5, 2, 6, "log"), Axis.between("depth", 10, 40, 4),
    Experiment(width=64, batch=64), "loss",
)  # fmt: skip


def start(stack, *arguments, **more):
    """A program of Dask's; ended, with what it started, when the stack is."""
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments], cwd=TOP, start_new_session=True,
        stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, **more,
    )  # fmt: skip

    def end():
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    stack.callback(end)
    return process


@pytest.fixture
def cluster(tmp_path, until, request):
    """A scheduler and two workers, each one process with one thread; another number can be asked
    for, who know `tests.engine.maps.deadly`, and none of whom may die of a task."""
    count = getattr(request, "param", 2)
    environment, more = dict(os.environ), []
    if count != 2:
        environment["DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES"] = "0"
        more = ["--preload", "tests.engine.maps.deadly"]
    file = tmp_path / "scheduler.json"
    with ExitStack() as stack:
        start(stack, "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0",
              "--no-dashboard", "--scheduler-file", str(file), env=environment)  # fmt: skip
        until(file.exists)
        workers = [
            start(stack, "distributed.cli.dask_worker", "--scheduler-file", str(file),
                  "--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1",
                  "--local-directory", str(tmp_path / f"w{i}"), *more)
            for i in range(count)
        ]  # fmt: skip
        from distributed import Client

        with Client(scheduler_file=str(file), set_as_default=False) as client:
            client.wait_for_workers(count)
            yield client.scheduler.address, workers


def test_a_dask_cluster_gives_every_cell_though_a_worker_is_killed(cluster):
    address, workers = cluster
    samples = list(PLANE.samples())
    found = {}
    with Crew(dask=address) as crew:
        crew.get_ready()
        for place, told, _ in crew.done(samples):
            if not found:
                workers[0].kill()
            found[place] = told
    assert workers[0].wait() == -signal.SIGKILL
    assert sorted(found) == sorted(s.place for s in samples)
    for sample in samples[:4]:
        assert (
            found[sample.place].number
            == result(sample.experiment, check=False, fixes=False)["loss"]
        )
    for sample in samples:
        assert found[sample.place] == reading(sample.experiment, None, "loss")


@pytest.mark.parametrize("cluster", [3], indirect=True)
def test_a_cell_that_workers_die_of_is_lost_and_no_other(cluster):
    address, workers = cluster
    samples = list(PLANE.samples())
    samples[3] = replace(samples[3], outcome="deadly")
    with Crew(dask=address) as crew:
        found = {place: told for place, told, _ in crew.done(samples)}
    ended = [worker.poll() for worker in workers]
    assert sorted(ended, key=str) == [-signal.SIGKILL, -signal.SIGKILL, None]
    assert found.pop(samples.pop(3).place) is None
    for sample in samples:
        assert found[sample.place] == reading(sample.experiment, None, "loss")


def test_a_scheduler_that_is_not_there_is_said(monkeypatch):
    monkeypatch.setenv("DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT", "1s")
    with Crew(dask="tcp://127.0.0.1:9") as crew, pytest.raises(MapFailed, match=r"127\.0\.0\.1:9"):
        list(crew.done(list(PLANE.samples())))
