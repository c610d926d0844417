"""What formats lose, against really casting, and its loss scale against really scaling."""

from __future__ import annotations

import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from layerscope.engine.analyses.precision import (
    FORMATS,
    KINDS,
    TOLERATED,
    Fit,
    Format,
    fit,
    loss_scale,
    precision,
)
from layerscope.engine.analyses.precision.runs import tensor_summaries
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.statistics import Histogram, statistics

formats = pytest.mark.parametrize("form", FORMATS.values(), ids=list(FORMATS))


def cast(x: Tensor, form: Format) -> Tensor:
    """``x`` (float64) rounded to the format and back; once, since float32 holds all of ``x``."""
    return x.float().to(form.dtype).double()


def really(x: Tensor, form: Format) -> tuple[int, int, int]:
    """How many nonzero entries overflow, become zero, are subnormal, by PyTorch's own cast.

    A conversion may saturate: then a lost entry is one that is off by more than half a step.
    """
    y = cast(x, form)
    far = (y - x).abs() > 2.0 ** (form.max_exponent - form.fraction_bits - 1)
    over = ~torch.isfinite(y) | ((y.abs() == form.largest) & far)
    some = x != 0
    kept = some & ~over & (y != 0)
    below = kept & (y.abs() < 2.0**form.min_exponent)
    return int(over.sum()), int((some & (y == 0)).sum()), int(below.sum())


def exponents(form: Format) -> tuple[int, int]:
    """What float32 holds of the neighbourhood of a format's range."""
    return max(-149, form.least_exponent - 4), min(127, form.max_exponent + 3)


@formats
def test_limits_are_those_of_torch(form: Format) -> None:
    info = torch.finfo(form.dtype)
    assert form.largest == info.max
    assert 2.0**form.min_exponent == info.tiny
    assert 2.0**-form.fraction_bits == info.eps
    assert form.bits == info.bits
    assert math.frexp(form.largest)[1] - 1 == form.max_exponent
    smallest = torch.tensor([1], dtype=torch.uint8 if form.bits == 8 else torch.int16)
    if form.bits <= 16:
        assert float(smallest.view(form.dtype).double()) == 2.0**form.least_exponent


@pytest.mark.slow
@formats
@given(data=st.data())
def test_powers_of_two_are_judged_exactly(form: Format, data: st.DataObject) -> None:
    low, high = exponents(form)
    powers = data.draw(st.lists(st.integers(low, high), min_size=1, max_size=30))
    powers = [e for e in powers if e != form.least_exponent - 1]  # the tie, tested below
    signs = data.draw(st.lists(st.sampled_from([-1.0, 1.0]), min_size=len(powers)))
    x = torch.tensor([s * 2.0**e for s, e in zip(signs, powers, strict=False)], dtype=torch.float64)
    found = fit(statistics(x).histogram, form)
    assert (found.overflow, found.underflow, found.subnormal) == really(x, form)


@formats
@given(seed=st.integers(0, 2**31), spread=st.floats(0.1, 12.0), centre=st.floats(0.0, 1.0))
def test_real_casts_lie_between_the_bounds(
    form: Format, seed: int, spread: float, centre: float
) -> None:
    low, high = exponents(form)
    g = torch.Generator().manual_seed(seed)
    middle = low + centre * (high - low)
    e = (middle + spread * torch.randn(200, generator=g, dtype=torch.float64)).clamp(low, high)
    x = (torch.exp2(e) * torch.randn(200, generator=g, dtype=torch.float64).sign()).float().double()
    x = x[torch.isfinite(x)]
    found = fit(statistics(x).histogram, form)
    overflow, underflow, subnormal = really(x, form)
    assert found.counted == int((x != 0).sum())
    assert found.overflow <= overflow <= found.overflow + found.overflow_boundary
    assert found.underflow <= underflow <= found.underflow + found.underflow_boundary
    # The top of the subnormal range rounds up to the smallest normal number; a tie becomes zero.
    top = (x.abs() >= 2.0 ** (form.min_exponent - 1)) & (x.abs() < 2.0**form.min_exponent)
    slack = int(top.sum()) + found.underflow_boundary
    assert found.subnormal - slack <= subnormal <= found.subnormal


@pytest.mark.parametrize("form", [f for f in FORMATS.values() if f.least_exponent > -100])
def test_only_the_exact_tie_becomes_zero_in_the_boundary_bin(form: Format) -> None:
    tie = 2.0 ** (form.least_exponent - 1)
    x = torch.tensor([tie, tie * 1.01, tie * 1.99], dtype=torch.float64)
    found = fit(statistics(x).histogram, form)
    assert (found.underflow, found.underflow_boundary) == (0, 3)
    assert cast(x, form).tolist() == [0.0, 2 * tie, 2 * tie]


@given(st.lists(st.integers(-40, 40), min_size=1, max_size=20), st.integers(-30, 30))
def test_scaling_shifts_the_histogram(powers: list[int], by: int) -> None:
    x = torch.tensor([2.0**e for e in powers], dtype=torch.float64)
    half = FORMATS["float16"]
    shifted = fit(statistics(x * 2.0**by).histogram, half)
    assert fit(statistics(x).histogram, half, by) == shifted


@given(st.lists(st.integers(-30, 20), min_size=2, max_size=20), st.integers(1, 19))
def test_fits_of_parts_add_up(powers: list[int], cut: int) -> None:
    x = torch.tensor([2.0**e for e in powers])
    form = FORMATS["float8_e4m3fn"]
    parts = fit(statistics(x[:cut]).histogram, form) + fit(statistics(x[cut:]).histogram, form)
    assert parts == fit(statistics(x).histogram, form)


def test_nothing_to_round_has_no_share() -> None:
    found = fit(statistics(torch.tensor([0.0, math.nan, math.inf])).histogram, FORMATS["float16"])
    assert found == Fit(0, 0, 0, 0, 0, 0)
    assert found.to_dict()["overflow"] is None
    assert fit(Histogram(0, *[statistics(torch.zeros(0)).histogram.positive] * 2),
               FORMATS["float16"]).counted == 0  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("form", [f for f in FORMATS.values() if f.bits <= 16],
                         ids=[n for n, f in FORMATS.items() if f.bits <= 16])  # fmt: skip
@given(seed=st.integers(0, 2**31), middle=st.floats(-60.0, 20.0), spread=st.floats(0.1, 6.0))
def test_the_largest_scale_is_the_last_without_overflow(
    form: Format, seed: int, middle: float, spread: float
) -> None:
    g = torch.Generator().manual_seed(seed)
    x = torch.exp2(middle + spread * torch.randn(100, generator=g)).float().double()
    s = statistics(x)
    found = loss_scale([s], form)
    assert found.most is not None
    assert found.least is not None
    assert really(x * 2.0**found.most, form)[0] == 0
    if math.log2(float(x.max())) + found.most + 1 < 127.9:  # beyond, float32 overflows first
        assert really(x * 2.0 ** (found.most + 1), form)[0] > 0
    # The smallest scale: within what is tolerated, and half of it is not.
    assert fit(s.histogram, form, found.least).underflow <= TOLERATED * len(x)
    assert fit(s.histogram, form, found.least - 1).underflow > TOLERATED * len(x)
    if found.advised is None:
        assert found.least > found.most
    else:
        assert found.least <= found.advised <= found.most
        assert really(x * 2.0**found.advised, form)[0] == 0


def test_a_gradient_that_is_not_finite_cannot_be_saved() -> None:
    s = [statistics(torch.tensor([1.0])), statistics(torch.tensor([1.0, math.inf]))]
    assert loss_scale(s, FORMATS["float16"]).advised is None
    assert loss_scale([statistics(torch.zeros(3))], FORMATS["float16"]).most is None


def test_the_reference_sees_beyond_float32() -> None:
    found = precision(Experiment(init="normal", activation="linear", batch=50), dtypes=["float32"])
    # 10 per layer: 3.4e38 is passed in layer 38, and the reference goes on to 1e51.
    full = [t.block for t in found.of("activation") if t.fits["float32"].overflow]
    assert full[0] in (37, 38, 39)
    broken = found.runs[0].broken
    assert broken is not None
    assert abs(broken.block - full[0]) <= 1
    assert found.scales["float16"].advised is None
    assert found.total("weight", "float16").lost == 0
    text = json.dumps(found.to_dict(), allow_nan=False)
    assert json.loads(text)["runs"][0]["loss"] is None


def test_every_tensor_is_there_and_the_run_loses_what_rounding_says() -> None:
    experiment = Experiment(depth=4, width=32, batch=64, init_scale=0.02, norm="none")
    found = precision(experiment, dtypes=["float16"])
    assert {t.kind for t in found.tensors} == set(KINDS)
    assert len(found.of("activation")) == len(found.of("gradient")) == 9
    assert len(found.of("weight")) == len(found.of("weight_gradient")) == 10
    against = found.against(found.runs[0])
    lost = against["gradient"]
    assert lost["underflow_lens"] is not None
    assert lost["underflow_lens"] > 0.05
    assert lost["zeros_run"] == pytest.approx(lost["underflow_lens"], abs=0.05)
    assert all(a["nonfinite_run"] == 0 for a in against.values())


def test_tensors_not_yet_recorded_are_left_out() -> None:
    assert tensor_summaries([], []) == []
