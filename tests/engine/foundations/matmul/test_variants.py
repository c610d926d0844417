"""Every variant is the same product, whatever the shape and the memory layout."""

from __future__ import annotations

import ast

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from layerscope.engine.basis.registry import Described
from layerscope.engine.foundations.errors import ShapeError
from layerscope.engine.foundations.matmul import MATMULS

SHAPES = [(1, 1, 1), (5, 28, 10), (2, 1, 3), (1, 7, 1), (3, 0, 4), (0, 3, 2), (3, 4, 0), (0, 0, 0)]


def check(name: str, a: torch.Tensor, b: torch.Tensor) -> None:
    exact = a.double() @ b.double()
    ours = MATMULS[name](a, b)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours.double(), exact, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours, a @ b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", MATMULS)
def test_equals_torch(name: str, shape: tuple[int, int, int]) -> None:
    m, k, n = shape
    generator = torch.Generator().manual_seed(1)
    check(name, torch.randn(m, k, generator=generator), torch.randn(k, n, generator=generator))


@pytest.mark.parametrize("name", MATMULS)
def test_takes_operands_that_are_not_contiguous(name: str) -> None:
    generator = torch.Generator().manual_seed(2)
    transposed = torch.randn(6, 4, generator=generator).T
    every_second = torch.randn(6, 10, generator=generator)[:, ::2]
    expanded = torch.randn(6, 1, generator=generator).expand(6, 3)
    check(name, transposed, every_second)
    check(name, transposed, expanded)


@pytest.mark.parametrize("name", [name for name in MATMULS if name not in ("loops", "elementwise")])
def test_is_right_across_the_edges_of_blocks(name: str) -> None:
    generator = torch.Generator().manual_seed(3)
    check(
        name, torch.randn(65, 129, generator=generator), torch.randn(129, 257, generator=generator)
    )


@pytest.mark.parametrize("name", MATMULS)
def test_leaves_its_operands_alone(name: str) -> None:
    a, b = torch.ones(2, 3), torch.ones(3, 2)
    MATMULS[name](a, b)
    assert bool((a == 1).all())
    assert bool((b == 1).all())


def test_mismatched_shapes_are_named() -> None:
    for variant in MATMULS.values():
        with pytest.raises(
            ShapeError, match=r"\(5, 784\) @ \(28, 10\): a has 784 columns but b has"
        ):
            variant(torch.zeros(5, 784), torch.zeros(28, 10))


@pytest.mark.parametrize(
    ("a", "b", "error", "message"),
    [
        (torch.zeros(3), torch.zeros(3, 2), ShapeError, r"a has shape \(3,\); expected a matrix"),
        (torch.zeros(3, 2), torch.zeros(1, 2, 2), ShapeError, r"b has shape \(1, 2, 2\)"),
        (torch.zeros(3, 2), torch.zeros(2, 2).double(), TypeError, r"b is torch.float64; expected"),
        (torch.zeros(3, 2, device="meta"), torch.zeros(2, 2), ValueError, r"a is on meta"),
    ],
)
def test_other_operands_are_refused(
    a: torch.Tensor, b: torch.Tensor, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        MATMULS["matmul"](a, b)


def test_every_variant_describes_itself() -> None:
    assert list(MATMULS) == [
        "loops", "elementwise", "broadcast_row", "broadcast", "einsum", "numpy", "matmul",
        "numba_loops", "numba_blocked",
    ]  # fmt: skip
    for name, variant in MATMULS.items():
        assert isinstance(variant, Described)
        assert variant.name == name
        assert all(variant.to_dict().values()), name


@pytest.mark.parametrize("name", MATMULS)
def test_the_source_shown_is_the_source_run(name: str) -> None:
    tree = ast.parse(MATMULS[name].code)
    shown = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert shown[-1] == MATMULS[name].function.__name__
    assert "matmul_variant" not in MATMULS[name].code
    assert "noqa" not in MATMULS[name].code
    assert "type: ignore" not in MATMULS[name].code


def test_extra_bytes_by_hand() -> None:
    m, k, n = 5, 784, 10
    extra = {name: variant.extra_bytes(m, k, n) for name, variant in MATMULS.items()}
    assert extra["broadcast"] == 4 * m * k * n
    assert extra["broadcast_row"] == 4 * (k * n + n)
    assert extra["elementwise"] == 4 * (k + 1)
    assert extra["matmul"] == extra["numba_blocked"] == 0


@pytest.mark.parametrize("name", ["elementwise", "broadcast_row", "broadcast", "matmul"])
def test_extra_bytes_agree_with_what_torch_allocates(name: str) -> None:
    """The stated memory is the largest single allocation that torch's profiler sees, or more."""
    m, k, n = 3, 500, 40
    a, b = torch.randn(m, k), torch.randn(k, n)
    variant = MATMULS[name]
    variant.function(a, b)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        result = variant.function(a, b)
    sizes = [event.self_cpu_memory_usage for event in profiled.events()]
    largest = max(size for size in sizes)
    stated, output = variant.extra_bytes(m, k, n), 4 * result.numel()
    assert largest <= max(stated, output)
    assert largest >= 0.95 * stated
