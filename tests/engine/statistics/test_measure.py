"""Statistics of single tensors: against exact arithmetic, and kernel against fallback."""

from __future__ import annotations

import json
import math
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from torch import Tensor

from layerscope.engine.statistics import Statistics, reading, statistics, statistics_torch, warm_up

FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
COUNTS = ("count", "finite", "zeros", "subnormal", "nan", "posinf", "neginf")
MOMENTS = ("mean", "std", "rms", "min", "max")
WIDTH = {torch.float32: 32, torch.float64: 64, torch.float16: 16, torch.bfloat16: 16}
SMALLEST_NORMAL = {
    torch.float32: 2.0**-126,
    torch.float64: 2.0**-1022,
    torch.float16: 2.0**-14,
    torch.bfloat16: 2.0**-126,
}

nan, inf = math.nan, math.inf


def root(square: Fraction) -> float:
    """√ of a fraction to float64's rounding; Inf when it does not fit."""
    if not square:
        return 0.0
    shift = 2 * ((square.denominator.bit_length() - square.numerator.bit_length() + 140) // 2)
    scaled = square * Fraction(2) ** shift  # has about 140 bits before the point
    exact = Fraction(math.isqrt(int(scaled))) / Fraction(2) ** (shift // 2)
    try:
        return float(exact)
    except OverflowError:
        return inf


def expected(tensor: Tensor) -> dict[str, object]:
    """The specification, in exact rational arithmetic."""
    values = tensor.detach().to(torch.float64).flatten().tolist()
    finite = [v for v in values if math.isfinite(v)]
    exact = [Fraction(v) for v in finite]
    n = len(exact)
    smallest = SMALLEST_NORMAL[tensor.dtype]
    answer: dict[str, object] = {
        "count": len(values),
        "finite": n,
        "zeros": finite.count(0.0),
        "subnormal": sum(0 < abs(v) < smallest for v in finite),
        "nan": sum(v != v for v in values),
        "posinf": values.count(inf),
        "neginf": values.count(-inf),
        "mean": None,
        "std": None,
        "rms": None,
        "min": min(finite, default=None),
        "max": max(finite, default=None),
    }
    if n:
        mean = sum(exact) / n
        answer["mean"] = float(mean)
        answer["rms"] = root(sum(v * v for v in exact) / n)
    if n > 1:
        std = root(sum((v - mean) ** 2 for v in exact) / (n - 1))
        answer["std"] = std if std < inf else None
    by_sign = [
        Counter(math.frexp(v)[1] - 1 for v in finite if v > 0),
        Counter(math.frexp(v)[1] - 1 for v in finite if v < 0),
    ]
    occurring = sorted(by_sign[0] | by_sign[1])
    exponents = list(range(occurring[0], occurring[-1] + 1)) if occurring else []
    answer["histogram"] = {
        "exponents": exponents,
        "positive": [by_sign[0][e] for e in exponents],
        "negative": [by_sign[1][e] for e in exponents],
    }
    return answer


def assert_same(got: dict[str, object], want: dict[str, object], tolerance: float = 1e-13) -> None:
    """Counts equal; moments to ``tolerance`` of the magnitudes they are made of."""
    assert got.keys() == want.keys()
    assert {k: got[k] for k in COUNTS} == {k: want[k] for k in COUNTS}
    assert got["histogram"] == want["histogram"]
    for name in ("min", "max"):
        assert got[name] == want[name]
    for name in ("mean", "std", "rms"):
        if want[name] is None:
            assert got[name] is None, name
            continue
        scale = want["rms"] if name == "mean" else want[name]
        assert got[name] is not None, name
        error = abs(got[name] - want[name])
        assert error <= tolerance * scale + 5e-324, (name, got[name], want[name])


def check(tensor: Tensor, tolerance: float = 1e-13) -> Statistics:
    want = expected(tensor)
    answer = statistics(tensor)
    text = json.dumps(answer.to_dict(), allow_nan=False)
    for name in MOMENTS:
        assert math.copysign(1.0, getattr(answer, name) or 0.0) == 1.0 or getattr(answer, name) < 0
    assert_same(json.loads(text), want, tolerance)
    assert_same(statistics_torch(tensor).to_dict(), want, tolerance)
    s = answer
    assert s.histogram.total + s.zeros + s.nan + s.posinf + s.neginf == s.count
    assert s.finite == s.histogram.total + s.zeros
    return answer


def bits(dtype: torch.dtype) -> st.SearchStrategy[Tensor]:
    """Tensors of any bit patterns: NaN payloads, infinities, subnormals, both zeros."""
    width = WIDTH[dtype]
    signed = {16: torch.int16, 32: torch.int32, 64: torch.int64}[width]
    pattern = st.integers(-(2 ** (width - 1)), 2 ** (width - 1) - 1)
    return st.lists(pattern, max_size=70).map(
        lambda patterns: torch.tensor(patterns, dtype=signed).view(dtype)
    )


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@given(data=st.data())
@hypothesis_settings(max_examples=60, deadline=None)
def test_any_bit_patterns(dtype: torch.dtype, data: st.DataObject) -> None:
    check(data.draw(bits(dtype)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@given(
    values=st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=40),
    exponent=st.integers(-30, 30),
    offset=st.sampled_from([0.0, 1.0, -1e4]),
)
@hypothesis_settings(max_examples=60, deadline=None)
def test_ordinary_numbers(
    dtype: torch.dtype, values: list[float], exponent: int, offset: float
) -> None:
    tensor = torch.tensor(values, dtype=torch.float64) * 2.0**exponent + offset
    s = check(tensor.to(dtype), 1e-12)
    assert s.min is not None
    assert s.max is not None
    assert s.mean is not None
    assert s.min <= s.mean <= s.max


EDGES = {
    "empty": [],
    "empty matrix": torch.zeros(3, 0),
    "scalar": torch.tensor(2.5),
    "one": [-3.0],
    "one zero": [0.0],
    "one negative zero": [-0.0],
    "zeros of both signs": [0.0, -0.0, 0.0],
    "only NaN": [nan, nan],
    "only infinities": [inf, -inf, inf],
    "one finite": [nan, 4.0, -inf],
    "constant": [0.1] * 5000,
    "negative NaN": torch.tensor([-1, 0x7F800001], dtype=torch.int32).view(torch.float32),
    "smallest and largest": [2.0**-149, -(2.0**-149), 3.4028234663852886e38, 2.0**-126],
    "subnormals": [2.0**-149 * k for k in range(1, 300)],
    "squares overflow float32": [3e38, -3e38, 1e30, 0.0],
    "outlier first": [1e30] + [1.0, 2.0, 3.0] * 2000,
    "outlier in a later block": [1.0, 2.0] * 4000 + [1e30] + [2.0, 4.0] * 100,
}


@pytest.mark.parametrize("case", EDGES)
def test_edges(case: str) -> None:
    check(torch.as_tensor(EDGES[case], dtype=torch.float32))


WIDE_EDGES = {
    "squares overflow": [1e200, -1e200, 3e200],
    "squares underflow": [1e-200, -2e-200, 4e-200],
    "sum overflows": [1.7976931348623157e308] * 3 + [1e308],
    "std does not fit": [1.7976931348623157e308, -1.7976931348623157e308],
    "two extremes and more": [1.7976931348623157e308, -1.7976931348623157e308, 1.0, 2.0],
    "subnormal": [5e-324 * k for k in range(50)],
    "smallest": [5e-324, -5e-324],
    "both ends": [1e308, 1e-308, -1e-320, 0.0],
    "with NaN": [1e300, nan, 1e299, inf, -inf],
}


@pytest.mark.parametrize("case", WIDE_EDGES)
def test_float64_edges(case: str) -> None:
    check(torch.tensor(WIDE_EDGES[case], dtype=torch.float64))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 4095, 4096, 4097, 8191, 12_289])
def test_sizes_around_blocks(size: int, dtype: torch.dtype) -> None:
    x = torch.randn(size, generator=torch.Generator().manual_seed(size))
    check(x.relu().to(dtype))
    x[::3] = nan
    x[1::7] = -inf
    check(x.to(dtype))


@pytest.mark.parametrize(
    ("dtype", "smallest", "exponent"),
    [
        (torch.float32, 2.0**-149, -149),
        (torch.float64, 2.0**-1074, -1074),
        (torch.float16, 2.0**-24, -24),
        (torch.bfloat16, 2.0**-133, -133),
    ],
    ids=str,
)
def test_subnormals_by_their_own_exponent(
    dtype: torch.dtype, smallest: float, exponent: int
) -> None:
    normal = SMALLEST_NORMAL[dtype]
    x = torch.tensor([smallest, -smallest, 3 * smallest, -normal], dtype=dtype)
    s = statistics(x)
    assert s.subnormal == 3
    assert s.histogram.first == exponent
    assert s.histogram.positive[:2].tolist() == [1, 1]
    assert s.histogram.exponents[-1] == round(math.log2(normal))
    assert statistics_torch(x).to_dict() == s.to_dict()


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2], ids=str)
def test_every_float8(dtype: torch.dtype) -> None:
    x = torch.arange(256, dtype=torch.uint8).view(dtype)
    s = statistics(x)
    assert_same(s.to_dict(), statistics_torch(x).to_dict())
    mantissa = {torch.float8_e4m3fn: 3, torch.float8_e5m2: 2}[dtype]
    assert s.subnormal == 2 * (2**mantissa - 1)
    assert s.zeros == 2


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_std_where_the_mean_is_ten_million_times_larger(dtype: torch.dtype) -> None:
    x = torch.randn(20_001, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = (x + 1e7).to(dtype)
    # Float64 loses 1e7 of its 1e16 in forming x; from then on nothing more may go.
    assert statistics(x).std == pytest.approx(expected(x)["std"], rel=1e-14)
    assert statistics_torch(x).std == pytest.approx(expected(x)["std"], rel=1e-12)


def test_negative_zero_is_given_as_zero() -> None:
    for function in (statistics, statistics_torch):
        s = function(torch.tensor([-0.0, -0.0]))
        for value in (s.mean, s.std, s.rms, s.min, s.max):
            assert math.copysign(1.0, value) == 1.0
        assert s.zeros == 2


NEAR_THE_LARGEST = [
    sign * (largest - below)
    for largest in (1.7976931348623157e308,)
    for below in (0.0, 2.0**971, 3 * 2.0**971, 1e300, 1e307)
    for sign in (1, -1)
]


@given(
    st.lists(st.sampled_from([*NEAR_THE_LARGEST, inf, -inf, nan, 0.0, 5e-324]), max_size=60),
    st.sampled_from(FLOATS),
    st.integers(1, 300),
)
def test_no_figure_of_finite_entries_is_infinite(
    entries: list[float], dtype: torch.dtype, copies: int
) -> None:
    # A format's own largest numbers, and many of them, so that sums round.
    largest = torch.finfo(dtype).max
    x = torch.tensor(entries * copies, dtype=torch.float64)
    if dtype != torch.float64:
        x = x / 1.7976931348623157e308 * largest
    x = x.to(dtype)
    for s in (statistics(x), statistics_torch(x), Statistics.merge(statistics(x), statistics(x))):
        for name in MOMENTS:
            figure = getattr(s, name)
            assert figure is None or math.isfinite(figure), (name, figure)
        if s.finite:
            assert s.min <= s.mean <= s.max
            assert s.rms <= max(-s.min, s.max)


def test_a_constant_has_no_std() -> None:
    s = statistics(torch.full((5000,), 0.1, dtype=torch.float64))
    assert (s.mean, s.std, s.rms) == (0.1, 0.0, 0.1)


BASE = torch.randn(12, 14, generator=torch.Generator().manual_seed(5))
VIEWS = {
    "transposed": BASE.t(),
    "strided": BASE[::2, ::3],
    "column": BASE[:, 3],
    "offset": BASE[1:, 1:],
    "odd offset": BASE.flatten()[1:],
    "expanded": BASE[:1].expand(9, 14),
    "expanded scalar": torch.tensor(3.0).expand(4, 5),
    "permuted": BASE.reshape(2, 3, 4, 7).permute(2, 0, 3, 1),
    "channels last": BASE.reshape(1, 3, 4, 14).to(memory_format=torch.channels_last),
    "flipped": BASE.flip(0),
    "0-d": BASE[2, 3],
    "imaginary part of a conjugate": torch.complex(BASE, -BASE).conj().imag,
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_views(view: str, dtype: torch.dtype) -> None:
    tensor = VIEWS[view]
    check(tensor.to(dtype) if dtype != torch.float32 else tensor)


def test_a_transposed_tensor_is_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> Tensor:
        raise AssertionError("copied")

    x = BASE.t()
    want = statistics(BASE.clone())
    monkeypatch.setattr(torch.Tensor, "contiguous", refuse)
    assert statistics(x) == want


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_gradients_are_not_followed(dtype: torch.dtype) -> None:
    x = BASE.detach().to(dtype).requires_grad_()
    y = x * 2
    check(x)
    check(y)
    check(y.t()[::2])
    assert x.grad is None


def test_the_tensor_is_left_alone() -> None:
    x = torch.tensor([1.0, nan, -0.0, inf])
    before = x.view(torch.int32).clone()
    statistics(x)
    assert torch.equal(x.view(torch.int32), before)


@pytest.mark.parametrize("function", [statistics, statistics_torch])
@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64], ids=str)
def test_other_dtypes_are_refused(function: object, dtype: torch.dtype) -> None:
    with pytest.raises(TypeError, match=f"tensor of floats, got dtype {dtype}"):
        function(torch.zeros(2, dtype=dtype))


def test_sparse_is_refused() -> None:
    with pytest.raises(TypeError, match=r"dense tensor, got layout torch\.sparse_coo"):
        statistics(torch.eye(3).to_sparse())


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_large_tensors_in_chunks(dtype: torch.dtype) -> None:
    """Fallback and kernel, over tensors that several threads share."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(reading.LARGE + 4099, generator=generator).relu().to(dtype)
    x[5] = nan
    x[-1] = -inf
    x[reading.CHUNK : reading.CHUNK + 5000] = inf
    x[77] = 2.0**-24
    assert_same(statistics(x).to_dict(), statistics_torch(x).to_dict(), 1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_the_number_of_threads_changes_no_bit(dtype: torch.dtype) -> None:
    x = torch.randn(reading.LARGE + 12_345, generator=torch.Generator().manual_seed(2)).to(dtype)
    threads = torch.get_num_threads()
    try:
        answers = []
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            answers.append(statistics(x))
    finally:
        torch.set_num_threads(threads)
    assert answers[0] == answers[1] == answers[2]


def test_extreme_float64_in_chunks() -> None:
    x = torch.randn(reading.LARGE, generator=torch.Generator().manual_seed(3)).double()
    ordinary, s = statistics(x), statistics(x * 2.0**900)
    assert s.std == pytest.approx(ordinary.std * 2.0**900, rel=1e-12)
    assert s.rms == pytest.approx(ordinary.rms * 2.0**900, rel=1e-12)
    assert s.mean == pytest.approx(ordinary.mean * 2.0**900, rel=1e-9)
    assert s.histogram.first == ordinary.histogram.first + 900


def test_threads_at_once_agree() -> None:
    """Each thread has memory of its own; large tensors share the helpers."""
    generator = torch.Generator().manual_seed(4)
    small = [torch.randn(3000 + 997 * k, generator=generator) for k in range(6)]
    large = [torch.randn(reading.LARGE + k, generator=generator) for k in range(2)]
    tensors = small * 20 + large + [x.double() for x in small] * 10
    want = [statistics(x) for x in tensors]
    with ThreadPoolExecutor(6) as pool:
        for _ in range(3):
            assert list(pool.map(statistics, tensors)) == want


def test_flushed_subnormals_are_still_counted() -> None:
    """``torch.set_flush_denormal`` changes arithmetic, not what a tensor holds."""
    x = torch.tensor([2.0**-140, -(2.0**-149), 1.0])
    want = statistics(x)
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush subnormals")
    try:
        got = statistics(x)
    finally:
        torch.set_flush_denormal(False)
    assert (got.subnormal, got.zeros) == (2, 0)
    assert got.histogram == want.histogram


def test_warm_up_twice() -> None:
    warm_up()
    warm_up()
