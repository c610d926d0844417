"""Maps: throughput against a single experiment, 1 to 2 processes, Dask beside; the Lab's slider
beside a map, and beside two trainings.

    python -m benchmarks.maps [--cells 1000] [--only slider|throughput]

Ratios inside one run; what 100 workers would give is computed from the measured overhead a cell.
Exits with 1 where a target is missed.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from layerscope.engine.basis.build import engine_build
from layerscope.engine.basis.cores import available_cores, keep_to_cores
from layerscope.engine.diagnosis.run import run
from layerscope.engine.experiment import Experiment
from layerscope.engine.maps.axes import Axis
from layerscope.engine.maps.execution import Crew
from layerscope.engine.maps.measuring import measured
from layerscope.engine.maps.plane import Plane

TRIES = 9
LEAST_THROUGHPUT = 0.8
"""Of processes / time of a single experiment."""
MOST_SLOWER = 2.0
"""The slider's 95th percentile beside a map or two trainings, in those of an idle server."""
TRAINED = {"experiment": {"depth": 10, "data": "digits", "loss": "cross_entropy"},
           "training": {"steps": 100_000}}  # fmt: skip
WORKERS = 100
STREAM = "/api/v1/experiment/stream"


def plane(cells: int) -> Plane:
    """So many experiments of the default size: only their weights' scale and bias differ."""
    rows = max(n for n in range(1, round(cells**0.5) + 1) if cells % n == 0)
    x = Axis.between("init_scale", 0.5, 2, cells // rows, "log")
    return Plane(x, Axis.between("bias_std", 0, 0.5, rows), Experiment(), "last_std")


def quickest(work: Callable[[], object]) -> float:
    """The quickest of a few, in seconds."""
    found = []
    for _ in range(TRIES):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return min(found)


def rate(crew: Crew, of: Plane) -> tuple[float, float]:
    """Cells a second once the processes are there, and the seconds that a cell took in one."""
    samples = list(of.samples())
    list(crew.done(samples[:4]))
    began = time.perf_counter()
    took = [seconds for _, _, seconds in crew.done(samples)]
    return len(took) / (time.perf_counter() - began), statistics.fmean(took)


@contextmanager
def cluster(count: int) -> Iterator[str]:
    """A Dask scheduler and workers of one thread on loopback."""
    with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "scheduler.json"

        def start(*arguments: str) -> None:
            process = subprocess.Popen(
                [sys.executable, "-m", *arguments], start_new_session=True,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            stack.callback(process.wait)
            stack.callback(os.killpg, process.pid, signal.SIGKILL)

        start("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0",
              "--no-dashboard", "--scheduler-file", str(file))  # fmt: skip
        while not file.exists():
            time.sleep(0.05)
        for i in range(count):
            start("distributed.cli.dask_worker", "--scheduler-file", str(file), "--nthreads", "1",
                  "--no-nanny", "--no-dashboard", "--local-directory", f"{folder}/{i}")  # fmt: skip
        from distributed import Client

        with Client(scheduler_file=str(file), set_as_default=False) as client:
            client.wait_for_workers(count)
            yield client.scheduler.address


def throughput(cells: int) -> bool:
    """Rates on this machine's cores, and on Dask's workers; whether all its cores do enough."""
    keep_to_cores(1)
    of, cores = plane(cells), available_cores()
    whole = quickest(lambda: list(run(Experiment(), fixes=False)))
    first = next(of.samples())
    cell = quickest(
        lambda: measured(0, first.experiment.to_dict(), None, "last_std", engine_build())
    )
    print(f"single experiment, as the Lab runs it:   {1e3 * whole:8.1f} ms")
    print(f"single cell ({of.outcome}):              {1e3 * cell:8.1f} ms")
    alone = 0.0
    for jobs in range(1, cores + 1):
        with Crew(jobs=jobs) as crew:
            found, inside = rate(crew, of)
        alone = alone or found
        print(
            f"loky, {jobs} process(es): {of.total} cells, {found:7.2f} a second, "
            f"{found / alone:.2f} × one process, "
            f"{found * cell / jobs:.2f} × processes / time of a cell, "
            f"{found * whole / jobs:.2f} × processes / time of an experiment "
            f"(wanted: at least {LEAST_THROUGHPUT}); "
            f"{found * inside / jobs:.2f} of their time inside cells, however busy the machine is"
        )
    loky, overhead = found, max(0.0, cores / found - inside)
    print(f"overhead a cell beside its work: {1e3 * overhead:.2f} ms in each process")
    with cluster(cores) as address, Crew(dask=address) as crew:
        found, inside = rate(crew, of)
    handing = max(1e-9, cores / found - inside) / cores
    print(
        f"Dask, {cores} workers: {found:7.2f} cells/s, {found / loky:.2f} × loky, "
        f"{found * cell / cores:.2f} × workers / time of a cell"
    )
    most = min(WORKERS / cell, 1 / handing)
    print(f"{WORKERS} workers would give {most:.0f} cells/s: {most * cell / WORKERS:.2f} of ideal")
    return loky * whole / cores >= LEAST_THROUGHPUT


def slider(requests: int) -> bool:
    """The Lab's answers while a slider moves, through HTTP, idle, beside a map and beside two
    trainings; whether they come soon enough beside those.

    An answer is everything up to the verdict, as the page draws it while the hand moves; what would
    follow (fixes, the check) is given up then.
    """
    from tests.serving import running_server, wait_until

    with tempfile.TemporaryDirectory() as folder, running_server(data_dir=folder) as server:

        def move(of: str) -> float:
            took = []
            for i in range(requests):
                scale = 0.9 + 0.2 * i / requests
                began = time.perf_counter()
                query = {"init_scale": f"{scale:.4f}", "seed": str(i)}
                with server.client.stream("GET", STREAM, params=query) as answer:
                    answer.raise_for_status()
                    next(line for line in answer.iter_lines() if line == "event: summary")
                    took.append(time.perf_counter() - began)
            p95 = statistics.quantiles(took, n=20)[-1]
            print(f"slider, {of}: median {1e3 * statistics.median(took):.0f} ms, "
                  f"95th percentile {1e3 * p95:.0f} ms")  # fmt: skip
            return p95

        move("first")
        idle = move("idle")
        charting = server.app.state.charting
        found = charting.start(plane(4000))
        wait_until(lambda: charting.kept.map(found.id).done > 20)
        beside = move("beside a map") / idle
        done = charting.kept.map(found.id).done
        charting.cancel(found.id)
        api = "/api/v1"
        runs = [
            server.client.post(f"{api}/runs", json=TRAINED).raise_for_status().json()["id"]
            for _ in range(2)
        ]
        store = server.app.state.store
        wait_until(lambda: all(store.run(run).steps > 5 for run in runs))
        trained = move("beside two trainings") / idle
        steps = [store.run(run).steps for run in runs]
        for run in runs:
            server.client.post(f"{api}/runs/{run}/stop").raise_for_status()
    print(
        f"slider beside a map: {beside:.2f} × idle, cells meanwhile: {done}; beside two trainings: "
        f"{trained:.2f} × idle, steps meanwhile: {steps} (wanted: at most {MOST_SLOWER:g})"
    )
    return max(beside, trained) <= MOST_SLOWER


def main() -> int:
    """Print it all, compare with the targets."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--cells", type=int, default=1000)
    arguments.add_argument("--only", choices=("throughput", "slider"))
    given = arguments.parse_args()
    met = []
    if given.only != "slider":
        met.append(throughput(given.cells))
    if given.only != "throughput":
        met.append(slider(60))
    return int(not all(met))


if __name__ == "__main__":
    sys.exit(main())
