"""Minus infinities of a mask, beside what else is not finite."""

import math

import pytest
import torch

from layerscope.engine.diagnosis.evidence import Evidence
from layerscope.engine.diagnosis.rules.nonfinite import nonfinite
from layerscope.engine.execution.masks import Output, healthy_masks
from layerscope.engine.execution.records import Facts, Record

FINITE = [1.0, 2.0]
MASKED, NAN, INF = [1.0, -math.inf], [1.0, math.nan], [1.0, math.inf]


def evidence(*outputs, role=None, loss=1.0):
    """Of modules with these outputs; those in lists of their own have a parameter."""
    records = []
    for index, given in enumerate(outputs):
        has_parameter = isinstance(given[0], list)
        output = torch.tensor(given if has_parameter else [given])
        facts = Facts(
            index, f"m{index}", "M", "linear_map" if has_parameter else role, (1, 2), "float32"
        )
        parameters = {"weight": torch.ones(2, 2)} if has_parameter else {}
        records.append(Record.forward(facts, output, parameters, by_unit=False))
    return Evidence(records, loss=loss)


@pytest.mark.parametrize("loss", [1.0, math.nan, None])
def test_a_mask_whose_minus_infinities_go_no_further_is_no_fault(loss):
    assert nonfinite(evidence([FINITE], MASKED, MASKED, [FINITE], loss=loss)) is None


@pytest.mark.parametrize("bad", [NAN, [NAN], INF])
def test_what_else_is_not_finite_is_told_without_the_mask(bad):
    found = nonfinite(evidence([FINITE], MASKED, [FINITE], bad, [FINITE]))
    assert found.modules == ("m3",)


@pytest.mark.parametrize(
    ("outputs", "role", "modules"),
    [
        (([FINITE], MASKED, [NAN]), None, ("m1", "m2")),  # a softmax of nothing
        (([FINITE], [MASKED], [FINITE]), None, ("m1",)),
        (([FINITE], MASKED, [FINITE]), "activation", ("m1",)),
        (([FINITE], [1.0, math.inf], [FINITE]), None, ("m1",)),
    ],
)
def test_what_a_mask_has_led_to_is_told_with_it(outputs, role, modules):
    assert nonfinite(evidence(*outputs, role=role)).modules == modules


@pytest.mark.parametrize("loss", [math.nan, None])
def test_behind_the_last_it_is_the_loss_that_takes_a_softmax(loss):
    assert nonfinite(evidence([FINITE], MASKED, loss=1.0)) is None
    assert nonfinite(evidence([FINITE], MASKED, loss=loss)).modules == ("m1",)
    seen = evidence([FINITE], MASKED, loss=1.0)
    seen.records[0].backward(torch.full((1, 2), math.nan), {})
    assert nonfinite(seen).modules == ("m1",)


def test_gradients_are_told_beside_a_mask():
    seen = evidence([FINITE], MASKED, [FINITE], loss=math.nan)
    for record in seen.records:
        record.backward(torch.full((1, 2), math.nan), {})
    found = nonfinite(seen)
    assert found.direction == "backward"
    assert found.explanation.startswith(
        "The activations are finite, a mask's −Inf left out, but going back m2 is the first layer"
    )


@pytest.mark.parametrize("chain", range(1, 4))
def test_a_chain_of_masks_is_as_healthy_as_its_end(chain):
    mask, finite, nan = Output(2, 1, 0, True), Output(2, 2, 0, False), Output(2, 1, 1, True)
    assert healthy_masks([finite, *[mask] * chain, finite]) == list(range(1, chain + 1))
    assert healthy_masks([finite, *[mask] * chain, nan, finite]) == []
    assert healthy_masks([finite, *[mask] * chain]) == []
    assert healthy_masks([finite, *[mask] * chain], fares_well=True) == list(range(1, chain + 1))
    assert healthy_masks([]) == []
