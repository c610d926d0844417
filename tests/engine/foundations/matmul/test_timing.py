"""A time is a median of repeats, or of a part that says how large it was."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from time import perf_counter

import pytest
import torch
from torch import Tensor

from layerscope.engine.basis.cancellation import Stopped
from layerscope.engine.foundations.matmul import MATMULS
from layerscope.engine.foundations.matmul.base import MatmulVariant
from layerscope.engine.foundations.matmul.timing import Measurement, measure, timer_noise


def last(variant: MatmulVariant, m: int, k: int, n: int, time_limit: float) -> Measurement:
    steps = list(measure(variant, torch.randn(m, k), torch.randn(k, n), time_limit=time_limit))
    fractions = [step for step in steps if isinstance(step, float)]
    assert all(0 < fraction <= 1 for fraction in fractions)
    assert fractions == sorted(fractions)
    measured = steps[-1]
    assert isinstance(measured, Measurement)
    return measured


def with_function(name: str, function: Callable[[Tensor, Tensor], Tensor]) -> MatmulVariant:
    return dataclasses.replace(MATMULS[name], function=function)


def test_a_quick_variant_is_repeated() -> None:
    measured = last(MATMULS["matmul"], 5, 784, 10, 0.5)
    assert measured.fraction == 1
    assert measured.samples > 5
    assert measured.calls >= measured.samples
    assert measured.best_seconds <= measured.low_seconds <= measured.seconds
    assert measured.seconds <= measured.high_seconds
    assert (measured.rows, measured.cells) == (5, 0)


@pytest.mark.parametrize("name", ["loops", "elementwise"])
def test_a_long_loop_is_timed_on_a_part(name: str) -> None:
    a, b = torch.randn(500, 300), torch.randn(300, 700)
    measured = [*measure(MATMULS[name], a, b, time_limit=0.1)][-1]
    assert isinstance(measured, Measurement)
    assert 0 < measured.fraction < 1
    done = measured.rows * 700 + measured.cells
    assert measured.fraction == pytest.approx(done / (500 * 700))
    exact = (a @ b).flatten()[:done]
    torch.testing.assert_close(measured.result.flatten()[:done], exact, rtol=1e-4, atol=1e-4)
    assert measured.seconds * measured.fraction == pytest.approx(0.1, rel=5)


def test_the_extrapolated_time_is_the_parts_time_by_the_count_of_multiply_adds() -> None:
    """On a clock of its own: every cell costs the same, so a part predicts the whole."""
    calls: list[tuple[int, int]] = []

    def cell_by_cell(a: Tensor, b: Tensor) -> Tensor:
        calls.append((a.shape[0], b.shape[1]))
        until = perf_counter() + 2e-4 * a.shape[0] * b.shape[1]
        while perf_counter() < until:
            pass
        return torch.zeros(a.shape[0], b.shape[1])

    measured = last(with_function("loops", cell_by_cell), 50, 2, 100, 0.2)  # 1 s in all
    assert measured.fraction < 1
    assert measured.best_seconds >= 2e-4 * 5000
    assert measured.fraction == pytest.approx(
        sum(rows * columns for rows, columns in calls[2:]) / 5000  # after warm-up and probe
    )


@pytest.mark.slow
@pytest.mark.parametrize(("name", "multiple"), [("broadcast_row", 1), ("numba_blocked", 64)])
def test_a_long_run_by_rows_is_cut_at_whole_blocks(name: str, multiple: int) -> None:
    sizes: list[tuple[int, int]] = []

    def slow(a: Tensor, b: Tensor) -> Tensor:
        sizes.append((a.shape[0], b.shape[1]))
        until = perf_counter() + 2e-4 * a.shape[0]
        while perf_counter() < until:
            pass
        return a @ b

    measured = last(with_function(name, slow), 640, 3, 4, 5.0)
    assert measured.fraction == 1
    tiles = sizes[2:]
    assert len(tiles) >= 2
    assert all(columns == 4 for _, columns in tiles)
    assert all(rows % multiple == 0 for rows, _ in tiles)
    assert sum(rows for rows, _ in tiles) == 640 * measured.samples


@pytest.mark.parametrize("name", MATMULS)
def test_stops_between_two_pieces_of_work(name: str) -> None:
    asked = 0

    def should_stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > 2

    a, b = torch.randn(400, 300), torch.randn(300, 400)
    with pytest.raises(Stopped):
        list(measure(MATMULS[name], a, b, time_limit=5.0, should_stop=should_stop))
    assert asked == 3


def test_a_piece_of_a_python_loop_is_a_row() -> None:
    """A stop waits for the piece under way; benchmarks/responsiveness.py says for how long."""
    pieces: list[int] = []

    def counted(a: Tensor, b: Tensor) -> Tensor:
        pieces.append(len(a))
        return MATMULS["loops"].function(a, b)

    measured = last(with_function("loops", counted), 300, 400, 300, 0.3)
    assert measured.fraction < 1
    assert set(pieces) == {1}


def test_the_timer_itself_costs_something() -> None:
    assert timer_noise() > 0
