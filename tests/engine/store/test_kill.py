"""kill -9 at any moment: what was written is there, the file is whole, and the next one writes."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys

import pytest

from layerscope.engine.store import open_run, open_store

pytestmark = pytest.mark.slow

KILLS = 50
CHILD = """
import os, sys, time
from layerscope.engine.store import open_run, writer

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())  # at once, or not at all

# One process with everything loaded forks a training for every line that it reads.
writer.COMMIT_SECONDS = 0.005
for _ in sys.stdin:
    child = os.fork()
    if not child:
        run = open_run(sys.argv[1])
        say("run", run.id)
        number = 0
        while True:
            number += 1
            time.sleep(0.001)  # what a step of a small network takes
            run.step(number, 1 / number, number.to_bytes(4, "big") * 300)
            if number % 20 == 0:
                say("step", number)
    say("pid", child)
    _, status = os.waitpid(child, 0)
    say("dead", status)
"""


def test_fifty_trainings_killed_in_the_middle(tmp_path):
    path = tmp_path / "runs.db"
    draw = random.Random(0)
    lengths = {}
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True, bufsize=1,
    )  # fmt: skip
    try:
        for _ in range(KILLS):
            process.stdin.write("\n")
            enough, child, run, told = draw.randrange(1, 15) * 20, None, None, 0
            while child is None or told < enough:
                match process.stdout.readline().split():
                    case ["pid", number]:
                        child = int(number)
                    case ["run", name]:
                        run = name
                    case ["step", number]:
                        told = int(number)
            os.kill(child, signal.SIGKILL)
            while not (line := process.stdout.readline()).startswith("dead"):
                assert line.startswith("step")
            assert int(line.split()[1]) == signal.SIGKILL
            lengths[run] = told
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
    store = open_store(path)
    kept = {run.id: run for run in store.runs(KILLS + 1)[0]}
    assert set(kept) <= set(lengths)
    for run in kept.values():
        steps = store.steps(run.id)
        # From the first on, without a hole, each as it was written.
        assert [s.number for s in steps] == list(range(1, len(steps) + 1))
        assert all(s.payload == s.number.to_bytes(4, "big") * 300 for s in steps)
        assert run.steps == len(steps)
        assert run.state in ("running", "stopped")
    assert sum(run.steps > 0 for run in kept.values()) > KILLS // 2
    with open_run(path) as after:
        after.step(1, 1.0, b"")
    assert len(store.steps(after.id)) == 1
    store.close()
