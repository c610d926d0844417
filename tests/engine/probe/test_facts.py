from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from layerscope.engine.execution.records import Facts
from layerscope.engine.probe.facts import ModuleFacts, facts_of, flat_of, leaves, own_parameters
from layerscope.engine.probe.kinds import UNKNOWN, Kind, describe, kind_of


def facts(module, *shape, before=None):
    return facts_of(0, "m", module, torch.zeros(shape), before)


@pytest.mark.parametrize(
    ("module", "shape", "role", "axis", "width"),
    [
        (nn.Linear(3, 5), (7, 5), "linear_map", -1, 5),
        (nn.Linear(3, 5), (7, 2, 5), "linear_map", -1, 5),
        (nn.Bilinear(2, 3, 5), (7, 5), "linear_map", -1, 5),
        (nn.Conv1d(2, 5, 1), (7, 5, 9), "linear_map", 1, 5),
        (nn.Conv2d(2, 5, 1), (7, 5, 9, 9), "linear_map", 1, 5),
        (nn.ConvTranspose2d(2, 5, 1), (7, 5, 9, 9), "linear_map", 1, 5),
        (nn.Embedding(9, 5), (7, 2, 5), None, -1, 5),
        (nn.LayerNorm(5), (7, 2, 5), "norm", -1, 5),
        (nn.BatchNorm2d(5), (7, 5, 2, 2), "norm", 1, 5),
        (nn.GroupNorm(1, 5), (7, 5, 2), "norm", 1, 5),
        (nn.MaxPool2d(2), (7, 5, 2, 2), None, 1, 5),
        (nn.LSTM(3, 5), (2, 7, 5), None, -1, 5),
        (nn.ReLU(), (7, 5), "activation", 1, 5),
        (nn.ReLU(), (7, 5, 2, 2), "activation", 1, 5),
        (nn.GELU(), (7, 2, 5), "activation", -1, 5),
        (nn.Dropout(), (7, 5), None, 1, 5),
        (nn.PReLU(5), (7, 5), "activation", 1, 5),
        (nn.Linear(3, 5), (5,), "linear_map", None, None),
        (nn.Identity(), (), None, None, None),
    ],
)
def test_role_and_units_by_class(module, shape, role, axis, width):
    found = facts(module, *shape)
    assert (found.role, found.unit_axis, found.width) == (role, axis, width)


def test_what_acts_entry_by_entry_has_the_units_of_what_came_before():
    conv = facts(nn.Conv1d(2, 5, 1), 7, 5, 9)
    assert facts(nn.ReLU(), 7, 5, 9, before=conv).unit_axis == 1
    assert facts(nn.ReLU(), 7, 5, 9, before=facts(nn.Linear(1, 9), 7, 5, 9)).unit_axis == -1


def test_a_transposed_convolution_has_its_units_on_the_weights_second_axis():
    for module in (nn.ConvTranspose1d(2, 5, 3), nn.Conv1d(2, 5, 3), nn.Linear(2, 5)):
        assert module.weight.shape[kind_of(module).weight_unit_axis] == 5


def test_an_unknown_module_has_no_role_and_its_own_name():
    class Mine(nn.Module): ...

    assert kind_of(Mine()) is UNKNOWN
    assert (facts(Mine(), 7, 5).role, facts(Mine(), 7, 5).kind) == (None, "Mine")


def test_a_derived_class_is_what_its_base_is():
    class Mine(nn.Linear): ...

    assert facts(Mine(2, 3), 7, 3).role == "linear_map"
    parametrised = parametrizations.weight_norm(nn.Conv2d(1, 2, 3))
    assert facts(parametrised, 7, 2, 3, 3).unit_axis == 1


def test_a_class_is_described_in_one_place_or_by_its_name():
    class Mine(nn.Module): ...

    describe(Kind("linear_map", 1, weight_unit_axis=1), f"{Mine.__module__}.{Mine.__qualname__}")
    assert facts(Mine(), 7, 3).role == "linear_map"


@pytest.mark.parametrize("inplace", [False, True])
def test_where_an_activation_is_flat_is_told_without_touching_it(inplace):
    module = nn.ReLU(inplace=inplace)
    state = torch.random.get_rng_state()
    assert flat_of(module).intervals == ((None, 0.0),)
    assert module.inplace is inplace
    assert torch.equal(state, torch.random.get_rng_state())


def test_flatness_goes_by_settings():
    assert flat_of(nn.Hardtanh(-2, 2)).intervals != flat_of(nn.Hardtanh()).intervals
    assert flat_of(nn.Threshold(3.0, 0.0)).intervals == ((None, 3.0),)
    assert flat_of(nn.LeakyReLU(0.1)).intervals == ()


@pytest.mark.parametrize(
    "module", [nn.RReLU(), nn.PReLU(), nn.GLU(), nn.Linear(2, 2), nn.Softmax()]
)
def test_no_derivative_is_asked_of_what_draws_learns_or_mixes(module):
    state = torch.random.get_rng_state()
    assert flat_of(module) is None
    assert torch.equal(state, torch.random.get_rng_state())


def test_every_elementwise_class_has_a_flat_region():
    import layerscope.engine.probe.kinds as kinds

    for cls, kind in kinds._kinds.items():
        if kind.elementwise and not isinstance(cls, str):
            module = cls(0.0, 0.0) if cls is nn.Threshold else cls()
            assert flat_of(module) is not None, cls


def test_leaves_are_what_has_no_children_or_parameters_of_its_own():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))
            self.inner = nn.Sequential(nn.Linear(2, 2), nn.ReLU())

    model = nn.ModuleDict({"a": Block(), "b": nn.MultiheadAttention(4, 2)})
    assert [n for n, _ in leaves(model)] == ["a", "a.inner.0", "a.inner.1", "b", "b.out_proj"]


def test_a_shared_module_is_one():
    linear = nn.Linear(2, 2)
    assert [n for n, _ in leaves(nn.Sequential(linear, nn.ReLU(), linear))] == ["0", "1"]


def test_a_parametrised_module_is_a_leaf_with_the_original_parameters():
    model = nn.Sequential(parametrizations.weight_norm(nn.Linear(2, 3)))
    ((name, module),) = leaves(model)
    assert name == "0"
    assert [n for n, _ in own_parameters(module)] == [
        "parametrizations.weight.original0", "parametrizations.weight.original1", "bias",
    ]  # fmt: skip


def test_nothing_computes_a_parametrised_weight():
    """Spectral norm takes a step of power iteration whenever its weight is asked for."""
    model = parametrizations.spectral_norm(nn.Linear(4, 3))
    before = {n: b.clone() for n, b in model.named_buffers()}
    for name, module in leaves(model):
        facts_of(0, name, module, torch.zeros(2, 3))
    assert all(torch.equal(b, before[n]) for n, b in model.named_buffers())


def test_a_lazy_module_has_no_parameters_before_its_first_call():
    module = nn.LazyLinear(3)
    assert list(own_parameters(module)) == []
    assert facts_of(0, "m", module, None).parameters == {}
    module(torch.zeros(2, 5))
    assert facts(module, 2, 3).parameters["weight"].shape == (3, 5)


def test_facts_go_to_bytes_and_are_a_records_facts_too():
    found = facts(nn.BatchNorm1d(5), 7, 5)
    assert ModuleFacts.from_bytes(found.to_bytes()) == found
    plain = Facts.from_bytes(found.to_bytes())
    assert (plain.name, plain.role, plain.centres) == ("m", "norm", True)
