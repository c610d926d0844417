"""A limit on cores holds in its block, in its thread, and leaves nothing behind."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info

from layerscope.engine.basis.cores import available_cores, keep_to_cores, on_cores
from layerscope.engine.execution.network import Network
from layerscope.engine.execution.passes import BackwardStep, ForwardStep, passes
from layerscope.engine.experiment.specification import Experiment


def blas_threads() -> list[int]:
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def test_the_limit_ends_with_the_block() -> None:
    before = torch.get_num_threads(), blas_threads()
    with on_cores(1):
        assert torch.get_num_threads() == 1
        assert set(blas_threads()) == {1}
    assert (torch.get_num_threads(), blas_threads()) == before


def test_the_limit_ends_with_an_error() -> None:
    before = torch.get_num_threads(), blas_threads()
    with pytest.raises(ZeroDivisionError), on_cores(1):
        _ = 1 / 0
    assert (torch.get_num_threads(), blas_threads()) == before


def test_other_threads_keep_their_cores() -> None:
    before = torch.get_num_threads()
    seen: list[int] = []
    with on_cores(1):
        thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        thread.start()
        thread.join()
    assert seen == [before]


def test_two_limits_at_once_leave_nothing_behind() -> None:
    before = blas_threads()
    entered, leave = threading.Event(), threading.Event()

    def other() -> None:
        with on_cores(1):
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    with on_cores(1):
        thread.start()
        entered.wait(10)
    leave.set()
    thread.join()
    assert blas_threads() == before


def test_one_core_does_all_the_work() -> None:
    square = torch.randn(700, 700)
    array = np.asarray(square)
    with on_cores(1):
        for product in (lambda: square @ square, lambda: array @ array):
            product()
            everyone, this = time.process_time(), time.thread_time()
            for _ in range(10):
                product()
            spent_elsewhere = (time.process_time() - everyone) / (time.thread_time() - this)
            # Idle BLAS threads may still spin for a while after earlier work.
            assert spent_elsewhere < 1.8


def test_a_thread_keeps_to_its_cores_and_only_that_thread() -> None:
    before = torch.get_num_threads()
    most = min(2, available_cores())  # more are not to be had
    seen: list[int] = []

    def other(count: int) -> None:
        keep_to_cores(count)
        seen.append(torch.get_num_threads())
        with on_cores(most):
            seen.append(torch.get_num_threads())
        seen.append(torch.get_num_threads())

    for count in (most, 1):
        thread = threading.Thread(target=other, args=(count,))
        thread.start()
        thread.join()
    assert seen == [most, most, most, 1, most, 1]
    assert torch.get_num_threads() == before


@pytest.mark.slow
def test_the_number_of_threads_changes_no_bit() -> None:
    """Of all that is ours: MKL's products keep their bits on every processor where it is asked to,
    which takes a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", f"import {__name__} as here; print(*here.digests_by_threads())"],
        env={**os.environ, "MKL_CBWR": "AUTO,STRICT"},
        cwd=Path(__file__).parents[3], capture_output=True, text=True, check=True,
    )  # fmt: skip
    one, two = done.stdout.split()
    assert one == two


def digests_by_threads() -> list[str]:
    digests: list[str] = []

    def work(count: int) -> None:
        keep_to_cores(count)
        digests.append("-".join(gradients_digest(e) for e in EXPERIMENTS))

    for count in (1, 2):
        thread = threading.Thread(target=work, args=(count,))
        thread.start()
        thread.join()
    return digests


EXPERIMENTS = (
    Experiment(),
    Experiment(depth=3, width=1000),
    Experiment(depth=3, width=777, batch=333, activation="gelu", norm="batch", residual=True),
)


def gradients_digest(experiment: Experiment) -> str:
    """Of every activation, gradient and the loss, bit by bit."""
    total = hashlib.sha256()
    for step in passes(Network(experiment)):
        if isinstance(step, ForwardStep):
            tensors = [step.output]
        elif isinstance(step, BackwardStep):
            tensors = [step.gradient, *step.layer.gradients.values()]
        else:
            tensors = [step.loss]
        for tensor in tensors:
            total.update(tensor.contiguous().numpy().tobytes())
    return total.hexdigest()


def test_some_core_is_available() -> None:
    assert available_cores() >= 1
