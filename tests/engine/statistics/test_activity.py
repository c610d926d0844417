"""Dead and constant units, and the similarity of samples, against all pairs one by one."""

from __future__ import annotations

import json
import math
from itertools import combinations

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from torch import Tensor

from layerscope.engine.statistics import Units, units
from layerscope.engine.statistics.activity import units_of_many

nan, inf = math.nan, math.inf


def expected(x: Tensor) -> dict[str, object]:
    rows = x.detach().double().tolist()
    columns = [list(column) for column in zip(*rows, strict=True)]
    directions = []
    for row in rows:
        length = math.hypot(*row)
        if length > 0 and math.isfinite(length):
            directions.append([v / length for v in row])
    cosines = [math.fsum(map(math.prod, zip(a, b))) for a, b in combinations(directions, 2)]  # noqa: B905
    return {
        "batch": x.shape[0],
        "width": x.shape[1],
        "dead": sum(all(v == 0 for v in column) for column in columns),
        "constant": sum(all(v == column[0] for v in column) for column in columns),
        "sample_correlation": math.fsum(cosines) / len(cosines) if cosines else None,
    }


def check(x: Tensor) -> Units:
    got, want = units(x), expected(x)
    answer = json.loads(json.dumps(got.to_dict(), allow_nan=False))
    correlation = want.pop("sample_correlation")
    assert answer.pop("sample_correlation") == (
        None if correlation is None else pytest.approx(correlation, abs=1e-12)
    )
    assert answer == want
    return got


ENTRY = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, -2.0]),
    st.floats(-10, 10, width=16),
    st.sampled_from([nan, inf, -inf]),
)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@given(data=st.data(), batch=st.integers(1, 6), width=st.integers(1, 20))
@hypothesis_settings(max_examples=60, deadline=None)
def test_small_matrices(dtype: torch.dtype, data: st.DataObject, batch: int, width: int) -> None:
    entries = data.draw(st.lists(ENTRY, min_size=batch * width, max_size=batch * width))
    check(torch.tensor(entries, dtype=torch.float64).reshape(batch, width).to(dtype))


def activation() -> Tensor:
    x = torch.randn(40, 70, generator=torch.Generator().manual_seed(0)).relu()
    x[:, 3] = 0.0
    x[::2, 9] = -0.0
    x[1::2, 9] = 0.0
    x[:, 5] = 1.5
    x[:, 6] = nan
    return x


def test_dead_and_constant() -> None:
    got = check(activation())
    assert got.constant == got.dead + 1
    assert got.dead >= 2


def test_rows_that_say_nothing_are_left_out() -> None:
    x = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0], [nan, 1.0], [inf, 0.0], [1.0, 1.0]])
    assert check(x).sample_correlation == pytest.approx(2 * math.sqrt(0.5) / 3)


def test_copies_correlate_fully() -> None:
    x = torch.randn(1, 50, generator=torch.Generator().manual_seed(0)).expand(30, 50)
    assert check(x).sample_correlation == pytest.approx(1.0, abs=1e-14)
    assert units(x).sample_correlation <= 1.0


def test_opposites() -> None:
    assert check(torch.tensor([[1.0, 2.0], [-2.0, -4.0]])).sample_correlation == -1.0


@pytest.mark.parametrize("scale", [1e-320, 1e-200, 1e200, 1e307])
def test_lengths_beyond_float64(scale: float) -> None:
    x = torch.tensor([[3.0, 4.0], [4.0, 3.0]], dtype=torch.float64)
    got = units(x * scale)
    tolerance = 1e-3 if scale < 1e-308 else 1e-12  # subnormals are coarse
    assert got.sample_correlation == pytest.approx(0.96, abs=tolerance)


def test_views() -> None:
    x = activation()
    assert units(x.t()) == units(x.t().contiguous())
    assert units(x[::2, 1::3]) == units(x[::2, 1::3].contiguous())
    assert units(x.requires_grad_() * 1) == units(x.detach())


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (0, 0)])
def test_empty(shape: tuple[int, int]) -> None:
    got = units(torch.zeros(shape))
    assert got == Units(*shape, dead=0, constant=0, sample_correlation=None)


def test_one_sample() -> None:
    got = units(torch.tensor([[0.0, 2.0]]))
    assert got == Units(1, 2, dead=1, constant=2, sample_correlation=None)


@pytest.mark.parametrize(
    ("shape", "axis"), [((5, 3, 2, 4), 1), ((5, 4, 3), 2), ((5, 4, 3), -1), ((2, 1, 6), 1)]
)
def test_any_rank(shape: tuple[int, ...], axis: int) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    by_unit = x.movedim(axis, 0)
    by_unit[0] = 0.0
    by_unit[-1, 0] = 0.0  # of one unit, one sample: it stays alive by the others
    got, samples = units(x, axis), units(x.reshape(shape[0], -1))
    assert (got.batch, got.width) == (shape[0], shape[axis])
    silent = [bool((unit == 0).all()) for unit in x.movedim(axis, 0)]
    assert got.dead == got.constant == sum(silent) == 1
    assert got.sample_correlation == samples.sample_correlation


def test_a_unit_is_constant_only_if_it_is_so_at_every_position() -> None:
    x = torch.tensor([[[1.0, 2.0], [3.0, 3.0]], [[1.0, 2.0], [3.0, 3.0]]])  # (batch, channels, 2)
    assert units(x) == Units(2, 2, dead=0, constant=1, sample_correlation=1.0)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"\(batch, width, \.\.\.\) tensor, got shape \(2,\)"):
        units(torch.zeros(2))
    for axis in (0, -2, 2):
        with pytest.raises(ValueError, match=rf"axis of \(2, 3\) other than .*, got {axis}"):
            units(torch.zeros(2, 3), axis)
    with pytest.raises(TypeError, match=r"tensor of floats, got dtype torch\.int64"):
        units(torch.zeros(2, 3, dtype=torch.int64))


def test_of_many_each_is_what_it_is_alone():
    torch.manual_seed(0)
    silent = torch.randn(6, 5).relu()
    silent[:, [1, 4]] = 0.0
    unknown = torch.randn(4, 3)
    unknown[2, 1] = math.nan
    activations = [
        (silent, 1), (torch.randn(7, 4), -1), (torch.randn(3, 2, 5), 1), (torch.randn(3, 2), None),
        (torch.zeros(4, 3), -1), (unknown, 1), (torch.ones(1, 3), 1),
        (torch.randn(6, 8)[:, ::2], 1), (torch.randn(4, 3).double(), 1),
        (torch.randn(4, 3).half(), -1), (torch.zeros(0, 3), 1), (torch.zeros(4, 3, 2, 2), 1),
    ]  # fmt: skip
    found = units_of_many(activations)
    for (activation, axis), (seen, dead) in zip(activations, found, strict=True):
        assert seen == (None if axis is None else units(activation, axis))
        if seen is None or not seen.dead:
            assert dead is None
            continue
        rows = activation.movedim(axis, -1).flatten(0, -2)
        assert dead.tolist() == (rows == 0).all(0).tolist()
    assert units_of_many([]) == []
