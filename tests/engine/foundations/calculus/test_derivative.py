"""Derivatives: symbolic equals hand-written equals autograd, for everything registered."""

import json
import xml.etree.ElementTree as ET

import pytest
import sympy
import torch

from layerscope.engine.foundations.calculus import GRID, TARGET, derivative_of, differentiable
from layerscope.engine.layers.activations import ACTIVATIONS
from layerscope.engine.layers.losses import LOSSES

EVERY = pytest.mark.parametrize("name", differentiable())


def test_everything_registered_is_offered() -> None:
    assert set(differentiable()) == {*ACTIVATIONS, *LOSSES}
    assert not set(ACTIVATIONS) & set(LOSSES)


@EVERY
def test_symbolic_equals_hand_written(name: str) -> None:
    done = derivative_of(name)
    assert done.largest_difference < 1e-12  # float64 rounding of values below 10
    assert done.largest_value_difference < 1e-12
    gaps = [abs(s - h) for s, h in zip(done.symbolic, done.hand, strict=True) if s is not None]
    assert max(gaps) == done.largest_difference
    assert len(gaps) == done.compared == 481 - sum(kink.jumps for kink in done.kinks)
    place = GRID.index(done.largest_difference_at)
    assert abs((done.symbolic[place] or 0.0) - done.hand[place]) == done.largest_difference


@EVERY
def test_symbolic_equals_sympy_on_the_whole_expression(name: str) -> None:
    """Not piece by piece, as the module does it: SymPy's derivative of the rewritten whole."""
    x = sympy.Symbol("x", real=True)
    if name in ACTIVATIONS:
        whole = ACTIVATIONS[name].symbolic(x)
    else:
        whole = LOSSES[name].symbolic(x, sympy.Rational(1, 2))
    slope = sympy.diff(whole.rewrite(sympy.Piecewise), x)
    done = derivative_of(name)
    for place in range(7, 481, 43):
        expected = done.symbolic[place]
        if expected is not None:
            at = slope.subs(x, sympy.Rational(place - 240, 40))
            assert float(at) == pytest.approx(expected, rel=1e-12, abs=1e-12)


@EVERY
def test_symbolic_equals_autograd(name: str) -> None:
    x = torch.tensor(GRID, dtype=torch.float64, requires_grad=True)
    if name in ACTIVATIONS:
        ACTIVATIONS[name].reference(x).sum().backward()
    elif LOSSES[name].classifies:
        logits = torch.stack([x, torch.full_like(x, TARGET)], dim=1)
        zeros = torch.zeros(len(GRID), dtype=torch.long)
        (LOSSES[name].reference(logits, zeros) * len(GRID)).backward()
    else:
        (LOSSES[name].reference(x, torch.full_like(x, TARGET)) * len(GRID)).backward()
    done = derivative_of(name)
    kinks = {kink.x for kink in done.kinks}
    assert x.grad is not None
    for point, symbolic, expected in zip(GRID, done.symbolic, x.grad.tolist(), strict=True):
        if point not in kinks:
            assert symbolic == pytest.approx(expected, rel=1e-9, abs=1e-12)


@EVERY
def test_kinks_are_the_class_s_own_and_lie_on_the_grid(name: str) -> None:
    done = derivative_of(name)
    entry = ACTIVATIONS[name] if name in ACTIVATIONS else LOSSES[name]
    offset = 0.0 if name in ACTIVATIONS else TARGET
    assert [kink.x - offset for kink in done.kinks] == list(entry.kinks)
    assert done.subgradient == entry.subgradient
    for kink in done.kinks:
        place = GRID.index(kink.x)
        assert kink.chosen == done.hand[place]
        assert (done.symbolic[place] is None) == kink.jumps
        if kink.jumps:
            assert min(kink.left, kink.right) <= kink.chosen <= max(kink.left, kink.right)
        else:
            assert kink.left == pytest.approx(kink.right) == pytest.approx(kink.chosen)


@EVERY
def test_markup_is_well_formed_and_the_record_is_json(name: str) -> None:
    done = derivative_of(name)
    for markup in (done.definition_mathml, done.derivative_mathml):
        words = "".join(ET.fromstring(markup).itertext())  # noqa: S314  our own text
        assert "&" not in words
    for shown in (done.derivative_text, done.derivative_mathml, done.definition_mathml):
        assert not any(odd in shown for odd in ("Heaviside", "Dirac", "Piecewise", "Derivative"))
    record = done.to_dict()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert len(record["x"]) == len(record["hand"]) == len(record["symbolic"]) == 481


@pytest.mark.parametrize(
    ("name", "definition", "derivative"),
    [
        ("relu", "Max(0, x)", "0 if x < 0; 1 if x > 0"),
        ("tanh", "tanh(x)", "1 - tanh(x)**2"),
        ("sigmoid", "1/(1 + exp(-x))", "exp(-x)/(1 + exp(-x))**2"),
        ("elu", "x if x > 0; exp(x) - 1 otherwise", "exp(x) if x ≤ 0; 1 if x > 0"),
        ("hardtanh", "Min(1, Max(-1, x))", "0 if x < -1; 1 if -1 < x < 1; 0 if x > 1"),
        ("mse", "(x - t)**2", "2*(x - t)"),
        ("mae", "Abs(t - x)", "-1 if x < t; 1 if x > t"),
    ],
)
def test_well_known_derivatives(name: str, definition: str, derivative: str) -> None:
    done = derivative_of(name)
    assert (done.definition_text, done.derivative_text) == (definition, derivative)


def test_results_are_kept_and_names_looked_up() -> None:
    assert derivative_of("gelu") is derivative_of("gelu")
    with pytest.raises(KeyError, match="unknown activation or loss '__import__'"):
        derivative_of("__import__")


def test_sympy_is_imported_only_when_asked(interpreter) -> None:
    script = (
        "import sys; import layerscope.engine.foundations.calculus as c; "
        "c.differentiable(); raise SystemExit('sympy.printing.mathml' in sys.modules)"
    )
    assert interpreter.run("-c", script).returncode == 0
