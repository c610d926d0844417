"""The fully connected layer: equal to F.linear, and each cell to its row and column."""

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from layerscope.engine.foundations.errors import LimitError, ShapeError
from layerscope.engine.foundations.linear import linear_layer, random_linear_layer

size = st.integers(0, 4)


@settings(deadline=None)  # the first example loads what the others find loaded
@given(size, size, size, st.integers(0, 99), st.sampled_from([torch.float32, torch.float64]))
def test_equals_f_linear(
    batch: int, n_inputs: int, n_neurons: int, seed: int, dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(seed)
    x, w, b = (
        torch.randn(shape, generator=generator, dtype=dtype)
        for shape in ((batch, n_inputs), (n_neurons, n_inputs), (n_neurons,))
    )
    layer = linear_layer(x, w, b)
    expected = F.linear(x, w, b)
    torch.testing.assert_close(layer.tensors[3], expected)
    assert layer.y.shape == expected.shape
    record = layer.to_dict()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["wt"]["shape"] == [n_inputs, n_neurons]
    for i in range(batch):
        for j in range(n_neurons):
            cell = layer.cell(i, j)
            assert cell.value == layer.tensors[3][i, j].item()
            assert math.isclose(cell.total, expected[i, j].item(), rel_tol=1e-5, abs_tol=1e-5)
            assert [term.input for term in cell.terms] == x[i].tolist()
            assert [term.weight for term in cell.terms] == w[j].tolist()
            assert x.flatten()[list(cell.x_flat)].tolist() == x[i].tolist()
            assert w.flatten()[list(cell.w_flat)].tolist() == w[j].tolist()
            assert w.t().flatten()[list(cell.wt_flat)].tolist() == w[j].tolist()
            assert layer.tensors[3].flatten()[cell.y_flat].item() == cell.value


def test_a_cell_is_written_out() -> None:
    x, w = torch.tensor([[1.0, 2]]), torch.tensor([[3.0, 4], [-5, 0.5]])
    layer = linear_layer(x, w, torch.tensor([0.5, 0]))
    assert layer.cell(0, 0).text == "y[0, 0] = 1×3 + 2×4 + 0.5 = 11.5"
    assert layer.cell(0, 1).to_dict()["terms"][1]["running"] == -4
    assert layer.expression == "y (1, 2) = x (1, 2) @ w.t() (2, 2) + b (2,)"


def test_bias_may_be_left_out_and_bools_count() -> None:
    x = torch.tensor([[True, False, True]])
    layer = linear_layer(x, torch.tensor([[1, 2, 3]]))
    assert (layer.tensors[3].tolist(), layer.dtype) == ([[4.0]], "float32")


def test_random_layers_repeat_by_seed_and_are_easy_to_follow() -> None:
    one, two = (random_linear_layer(2, 3, 4, generator=torch.Generator().manual_seed(5))
                for _ in range(2))  # fmt: skip
    assert one == two
    assert torch.equal(one.tensors[0], two.tensors[0])
    assert torch.allclose(one.tensors[1] * 10, (one.tensors[1] * 10).round())
    other = random_linear_layer(2, 3, 4, generator=torch.Generator().manual_seed(6))
    assert other != one
    with pytest.raises(ValueError, match="n_inputs is -1; expected 0 or more"):
        random_linear_layer(2, -1, 4, generator=torch.Generator())
    with pytest.raises(LimitError, match=r"cells of y \(100, 100\)"):
        random_linear_layer(100, 1, 100, generator=torch.Generator())


@pytest.mark.parametrize(
    ("x", "w", "b", "message"),
    [
        ((3,), (2, 3), (2,), "x has shape (3,); expected two axes, (batch_size, n_inputs)"),
        ((1, 3), (3,), (2,), "w has shape (3,); expected two axes, (n_neurons, n_inputs)"),
        ((1, 3), (3, 2), (3,), "x has 3 inputs (shape (1, 3)), but each row of w has 2 weights"),
        ((1, 3), (2, 3), (3,), "b has shape (3,); expected (2,), one bias for each of the 2 rows"),
        ((1, 3), (2, 3), (1, 2), "b has shape (1, 2); expected (2,)"),
    ],
)
def test_shape_errors_are_named(
    x: tuple[int, ...], w: tuple[int, ...], b: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ShapeError) as caught:
        linear_layer(torch.zeros(x), torch.zeros(w), torch.zeros(b))
    assert str(caught.value).startswith(message)


def test_a_cell_that_is_not_there_is_named() -> None:
    layer = linear_layer(torch.zeros(2, 3), torch.zeros(4, 3))
    with pytest.raises(IndexError, match=r"j is 4; y has shape \(2, 4\), so j runs from 0 to 3"):
        layer.cell(0, 4)
    with pytest.raises(IndexError, match="i is -1"):
        layer.cell(-1, 0)
    with pytest.raises(IndexError, match="and no cells"):
        linear_layer(torch.zeros(0, 3), torch.zeros(4, 3)).cell(0, 0)
