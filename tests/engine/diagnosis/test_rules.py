"""Each rule on a network with its fault, on healthy ones, and where it cannot tell."""

import dataclasses
import json
import math
from decimal import Decimal

import pytest
import torch
from msgspec.structs import replace

from layerscope.engine.diagnosis import RULES, diagnose, undecided, verdict
from layerscope.engine.diagnosis.diagnose import diagnose_early, follows, found_by
from layerscope.engine.diagnosis.evidence import Evidence, Trend
from layerscope.engine.diagnosis.expectation import beside_theory
from layerscope.engine.diagnosis.gathering import gather
from layerscope.engine.diagnosis.parts import gradient_factors
from layerscope.engine.execution.network import layout
from layerscope.engine.execution.optimizers import Adam
from layerscope.engine.execution.steps import KeptNetwork, training
from layerscope.engine.experiment.presets import PRESETS
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.theory.experiments import predict_experiment

HEALTHY = [
    Experiment(),
    Experiment(activation="tanh", init="xavier_normal", depth=20),
    Experiment(activation="selu", init="lecun_normal", depth=30),
    Experiment(norm="layer", residual=True, activation="gelu", depth=20),
    Experiment(data="digits", loss="cross_entropy", depth=5),
    Experiment(depth=1, width=50, inputs=100),
    Experiment(dtype="bfloat16", depth=10),
    Experiment(init="orthogonal", activation="linear", depth=100),
]

FAULTY = {
    "nonfinite": Experiment(activation="linear", init="normal"),
    "exploding_activation": Experiment(init="kaiming_normal", init_scale=1.5),
    "vanishing_activation": Experiment(init="normal", init_scale=0.1),
    "exploding_gradient": Experiment(activation="tanh", init="lecun_normal", init_scale=3),
    "vanishing_gradient": Experiment(activation="sigmoid", init="xavier_normal", depth=20),
    "symmetry": Experiment(init="zeros", depth=10),
    "rank_collapse": Experiment(
        activation="tanh", init="lecun_normal", init_scale=0.5, bias_std=0.5
    ),
    "saturation": Experiment(activation="hardtanh", init="normal", depth=5),
    "dead_units": Experiment(width=8, seed=2),
    "inert_parameters": Experiment(norm="layer", norm_gain=0, residual=True, depth=6),
    "large_bias": Experiment(activation="relu", bias_std=5, init_scale=0.01, depth=4),
    "precision_loss": Experiment(
        activation="gelu", init="kaiming_uniform", init_scale=0.037, norm="rms", width=64,
        data="digits", dtype="bfloat16", batch=48, seed=539,
    ),
    "output_scale": Experiment(activation="linear", init="normal", depth=2),
    "small_weights": Experiment(
        norm="layer", init="xavier_normal", init_scale=0.017, width=48, batch=48, depth=20
    ),
    "mean_shift": Experiment(activation="sigmoid", init="lsuv", init_scale=0.02, depth=1),
}  # fmt: skip


def names(findings):
    return {f.rule for root in findings for f in (root, *root.consequences)}


def test_every_rule_has_its_case():
    assert set(FAULTY) == set(RULES)


@pytest.mark.parametrize("rule", FAULTY)
def test_the_rule_finds_its_fault_with_evidence_and_threshold(rule):
    findings = diagnose(gather(FAULTY[rule]))
    mine = [f for root in findings for f in (root, *root.consequences) if f.rule == rule]
    assert mine, [f.title for f in findings]
    finding = mine[0]
    assert finding.evidence
    assert finding.threshold
    assert finding.explanation
    assert set(finding.modules) <= {info.name for info in layout(FAULTY[rule])}
    assert finding.since is None
    assert 0 <= finding.layers[0] <= finding.layers[1]
    json.dumps(finding.to_dict(), allow_nan=False)


@pytest.mark.parametrize("experiment", HEALTHY, ids=lambda e: str(e.to_query()))
def test_healthy_networks_are_left_in_peace(experiment):
    evidence = gather(experiment)
    findings = [f for f in diagnose(evidence) if f.severity != "info"]
    assert findings == []
    assert verdict(evidence, findings).severity == "ok"


def test_one_exploding_init_is_one_finding_with_consequences_under_it():
    findings = diagnose(gather(Experiment(activation="linear", init="normal")))
    assert [f.rule for f in findings] == ["nonfinite"]
    assert "exploding_activation" in names(findings)


def test_a_worse_consequence_raises_its_cause():
    findings = diagnose(gather(Experiment(activation="hardtanh", init="normal", depth=20)))
    for root in findings:
        assert all(c.severity != "error" or root.severity == "error" for c in root.consequences)


def test_the_overflow_is_named_with_its_layers():
    evidence = gather(FAULTY["nonfinite"])
    finding = diagnose(evidence)[0]
    assert finding.title == "Activations overflow float32 at layer 38; NaN from 39 on"
    assert finding.evidence["first_inf_block"] == 38
    assert finding.evidence["first_nan_block"] == 39
    assert 9 < finding.evidence["factor_per_block"] < 11


def test_zeros_from_the_hundredth_are_vanishing_not_dead():
    findings = diagnose(gather(Experiment(activation="linear", init="normal", init_scale=0.01)))
    assert findings[0].rule == "vanishing_activation"
    assert findings[0].title == "Activations vanish: all zero from layer 46 on"


def test_nothing_explains_itself():
    for name, rule in RULES.items():
        assert name not in {*rule.explains, *rule.covers}
        assert {*rule.explains, *rule.covers} <= set(RULES)


def test_what_is_not_finite_is_known_before_the_end():
    evidence = gather(FAULTY["nonfinite"])
    half = Evidence(evidence.records[:39])
    assert [f.rule for f in diagnose_early(half)] == ["nonfinite"]


@pytest.mark.parametrize(
    ("experiment", "rules"),
    [
        (Experiment(batch=1, depth=5), {"rank_collapse", "dead_units"}),
        (Experiment(width=1, depth=5), {"symmetry"}),
        (Experiment(depth=1), {"exploding_activation", "exploding_gradient"}),
    ],
)
def test_a_rule_that_cannot_decide_says_so(experiment, rules):
    evidence = gather(experiment)
    reasons = undecided(evidence)
    assert rules <= {u["rule"] for u in reasons}
    assert all(u["reason"] for u in reasons)
    assert not rules & names(diagnose(evidence))


@pytest.mark.parametrize("preset", PRESETS, ids=lambda p: p.name)
def test_the_presets_verdicts(preset):
    evidence = gather(preset.experiment)
    said = verdict(evidence, diagnose(evidence))
    expected = {
        "randn": "overflow float32 at layer 38", "randn-0.01": "all zero from layer 46",
        "randn-0.1": "hold", "relu-0.1": "vanish", "kaiming": "hold", "notes-model": "hold",
        "zeros": "alike", "edge-of-chaos": "hold", "digits": "hold", "float16": "overflow float16",
        "randn-layer": "times above that of a constant answer",
    }  # fmt: skip
    assert expected[preset.name] in said.title


@pytest.mark.parametrize("name", RULES)
def test_every_threshold_is_stated_with_its_reason(name):
    rule = RULES[name]
    assert rule.formula
    assert len(rule.help) > 30
    assert rule.source


@pytest.mark.slow
def test_evidence_holds_no_nan():
    for preset in PRESETS:
        for finding in diagnose(gather(preset.experiment)):
            for value in finding.evidence.values():
                assert not isinstance(value, float) or math.isfinite(value)


def test_a_trend_through_points_at_one_height_is_exact():
    records = gather(Experiment(init="identity", activation="linear", depth=5)).records
    trend = Evidence(records).forward_trend
    assert (trend.slope, trend.error, trend.span) == (0, 0, 0)
    assert Evidence(records[:3]).forward_trend.error == math.inf


def read(number):
    """What is written with a power of ten."""
    mantissa, _, power = number.rpartition("10")
    exponent = power.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789"))
    return Decimal(mantissa.removesuffix("×") or "1").scaleb(int(exponent))


def test_a_change_beyond_what_a_float_holds_is_said_all_the_same():
    shrunk = Experiment(
        depth=315, width=100, batch=4, activation="linear", init="normal", init_scale=0.01,
        dtype="float64",
    )  # fmt: skip
    evidence = gather(shrunk)
    finding = next(f for f in diagnose(evidence) if f.rule == "vanishing_activation")
    decades = evidence.forward_trend.span
    assert decades < -310
    told = read(finding.title.split()[2])
    assert float(told.log10()) == pytest.approx(-decades, abs=0.03)
    json.dumps(finding.to_dict(), allow_nan=False)


@pytest.mark.parametrize("slope", [1400.0, -1400.0])
def test_a_factor_that_no_float_holds_is_told_in_words_alone(slope):
    steep = Trend(slope, 0.0, slope, (1, 2))
    assert steep.factor is None
    assert steep.per_block(-1) == Trend(-slope, 0.0, -slope, (1, 2)).per_block()
    assert float(read(steep.per_block()).ln()) == pytest.approx(slope, abs=0.01)


@pytest.mark.parametrize("loss", ["cross_entropy", "mse", "mae", "huber"])
def test_an_output_too_large_is_told_whatever_the_loss(loss):
    """The same outputs, a hundred times and once the targets' size."""
    for scale, told in ((1.0, True), (0.0707, False)):
        evidence = gather(
            Experiment(
                depth=1, width=200, init="normal", init_scale=scale, data="digits", loss=loss
            )
        )
        assert ("output_scale" in names(diagnose(evidence))) == told, scale
        said = verdict(evidence, diagnose(evidence))
        assert (said.severity == "ok") != told


@pytest.mark.parametrize("activation", ["relu", "tanh", "leaky_relu"])
def test_growth_of_the_gradient_is_batch_norms_doing_and_not_the_outputs(activation):
    """√(E[φ'²]/Var φ) a block, for ReLU √(π/(π − 1)) (Yang et al. 2019)."""
    experiment = Experiment(
        depth=60, width=128, batch=128, init="normal", norm="batch", activation=activation
    )
    theory = predict_experiment(experiment)
    evidence = gather(experiment)
    findings = beside_theory(diagnose(evidence), theory)
    assert findings[0].rule == "exploding_gradient"  # a root of its own
    growth = math.sqrt(theory.chi1)
    if activation == "relu":
        assert growth == pytest.approx(math.sqrt(math.pi / (math.pi - 1)))
    assert 1 / findings[0].evidence["factor_per_block"] == pytest.approx(growth, rel=0.03)
    factors = {r.facts.kind: f for r, f in gradient_factors(evidence)}
    assert set(factors) == {"linear", "batch_norm", activation}
    assert math.prod(factors.values()) == pytest.approx(growth, rel=0.03)
    assert f"batch_norm by {factors['batch_norm']:.3g}" in findings[0].explanation
    assert f"√χ1 = {growth:.3g} a block" in findings[0].explanation


@pytest.mark.parametrize(
    "changes",
    [
        {"activation": "relu6", "init": "xavier_normal", "bias_std": 15},
        {"activation": "tanh", "init": "xavier_normal", "bias_std": 5},
        {"activation": "sigmoid", "init": "normal", "init_scale": 0.1, "bias_std": 10},
        {"activation": "relu", "init_scale": 0.1, "bias_std": 2},
    ],
    ids=str,
)
def test_a_bias_that_drowns_the_signal_is_the_cause(changes):
    experiment = Experiment(depth=12, width=64, **changes)
    root = diagnose(gather(experiment))[0]
    assert root.rule == "large_bias"
    assert "rank_collapse" in {c.rule for c in root.consequences}
    assert root.evidence["bias_rms"] == pytest.approx(changes["bias_std"], rel=0.3)
    # What it says holds: without the biases what follows is gone, or is another thing.
    without = names(diagnose(gather(experiment.model_copy(update={"bias_std": 0.0}))))
    assert "large_bias" not in without


def test_a_bias_is_named_where_it_drowns_one_layer_and_blamed_for_nothing_else():
    findings = diagnose(
        gather(Experiment(init="normal", activation="relu6", bias_std=15, depth=12))
    )
    found = {f.rule: f for f in findings}
    assert found["large_bias"].severity == "info"
    assert found["large_bias"].modules == ("linear1",)
    assert found["exploding_gradient"].severity == "error"  # as without any bias


def test_a_bias_that_batch_norm_takes_away_is_not_named():
    evidence = gather(Experiment(depth=10, width=64, norm="batch", bias_std=5, activation="tanh"))
    assert "large_bias" not in names(diagnose(evidence))


def test_what_comes_later_in_the_pass_explains_nothing_before():
    for experiment in FAULTY.values():
        found = found_by(gather(experiment))
        for i, cause in enumerate(found):
            for effect in found[:i]:
                covered = effect.rule in RULES[cause.rule].covers
                same = cause.layers[0] == effect.layers[0]
                assert covered or same or not follows(cause, effect)


def test_the_units_that_died_are_the_cause_of_what_is_all_zero_after_them():
    root = diagnose(gather(Experiment(width=8, seed=2)))[0]
    assert root.rule == "dead_units"
    assert {"vanishing_activation", "vanishing_gradient"} <= {c.rule for c in root.consequences}
    assert "relu17: all 1,600 inputs are at most 0" in root.explanation


def test_units_silent_for_samples_that_have_grown_alike_are_a_note():
    """The default network at a seed where more than half of a layer is silent."""
    [finding] = diagnose(gather(Experiment(seed=2)))
    assert (finding.rule, finding.severity) == ("dead_units", "info")
    assert finding.title.startswith("Samples have grown alike")
    assert finding.evidence["sample_correlation"] > 0.9


def test_what_was_lost_to_the_number_format_has_not_died():
    found = names(diagnose(gather(Experiment(activation="linear", init="normal", init_scale=0.01))))
    assert "vanishing_activation" in found
    assert "dead_units" not in found


@pytest.mark.parametrize("activation", ["tanh", "gelu", "silu", "softsign"])
@pytest.mark.parametrize("init", [{"init": "zeros"}, {"init_scale": 0.0}])
def test_residual_branches_of_zeros_are_no_fault(activation, init):
    """As in Fixup and zero-γ: nothing comes back at first, and all of it learns."""
    evidence = gather(Experiment(residual=True, depth=4, width=16, activation=activation, **init))
    findings = diagnose(evidence)
    assert [(f.rule, f.severity) for f in findings] == [("vanishing_gradient", "info")]
    assert findings[0].explanation.endswith("Within 4 steps of training a gradient comes.")
    said = verdict(evidence, findings)
    assert said.title.endswith("the gradient comes with the first steps")
    assert said.severity == "ok"


def test_branches_that_never_open_are_a_fault():
    """max(0, 0) has a slope of 0: no step reaches what is before it."""
    findings = diagnose(gather(Experiment(residual=True, depth=4, width=16, init="zeros")))
    assert [f.rule for f in findings] == ["symmetry"]
    assert "vanishing_gradient" in names(findings)


CLOSED = [
    {"norm": "layer", "norm_gain": 0.0},
    {"norm": "batch", "norm_gain": 0.0, "dtype": "bfloat16"},
    {"norm": "rms", "norm_gain": 0.0, "activation": "squared_relu"},
    {"norm": "layer", "norm_gain": 0.0, "block_order": "linear_last"},
    {"bias_mean": -9.0, "output_scale": 0.01},
]
OPENING = [
    {"norm": "layer", "norm_gain": 0.0, "activation": "tanh"},
    {"norm": "batch", "norm_gain": 0.0, "activation": "gelu"},
    {"norm": "rms", "norm_gain": 0.0, "activation": "linear"},
    {"branch_scale": 0.0, "activation": "tanh"},
    {"branch_scale": 0.0, "block_order": "linear_last"},
    {"norm": "batch"},
]


@pytest.mark.parametrize("changes", CLOSED, ids=str)
def test_residual_branches_that_no_step_opens_are_told(changes):
    """The stream passes them, so that each block's output has a gradient."""
    experiment = Experiment(residual=True, depth=6, width=16, batch=32, **changes)
    evidence = gather(experiment)
    [finding] = diagnose(evidence)
    assert (finding.rule, finding.severity) == ("inert_parameters", "warning")
    assert finding.title == "Parameters of 6 of 6 layers get no gradient"
    assert verdict(evidence, [finding]).title == finding.title
    told = [(r, name) for r in evidence.records for name in r.without_gradient or ()]
    entries = sum(math.prod(r.parameters[name].shape) for r, name in told)
    assert finding.evidence["entries"] == entries > 0
    assert all(f"{r.facts.kind}.{name}" in finding.explanation for r, name in told)
    assert f"exactly zero at each of {entries:,} entries, and was so in 4 steps" in (
        finding.explanation
    )
    assert "output is 0 in all" in finding.explanation or "input is 0" in finding.explanation
    network = KeptNetwork(experiment)
    losses = training(network, Adam(0.01))
    next(losses)
    drawn = [network.layers[r.facts.index].parameters[name].clone() for r, name in told]
    assert [next(losses) for _ in range(20)]
    for (r, name), value in zip(told, drawn, strict=True):
        assert torch.equal(network.layers[r.facts.index].parameters[name], value)


@pytest.mark.parametrize("changes", OPENING, ids=str)
def test_residual_branches_that_open_are_not(changes):
    evidence = gather(Experiment(residual=True, depth=6, width=16, batch=32, **changes))
    assert diagnose(evidence) == []
    late = [r for r in evidence.records if r.without_gradient is not None]
    assert bool(late) == ("norm_gain" in changes)
    assert not any(r.without_gradient for r in late)


def test_parameters_that_nobody_followed_are_not_judged():
    experiment = Experiment(residual=True, depth=6, width=16, batch=32, **CLOSED[0])
    records = [replace(r, without_gradient=None) for r in gather(experiment).records]
    evidence = Evidence(records, starts=frozenset(range(0, 24, 4)) | {24})
    assert diagnose(evidence) == []
    assert "inert_parameters" in {u["rule"] for u in undecided(evidence)}
    assert RULES["inert_parameters"].find(evidence) is None


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"norm": "layer", "norm_gain": 0.0}, "vanishing_activation"),
        ({"residual": True, "branch_scale": 0.0}, "symmetry"),
    ],
    ids=str,
)
def test_what_stopped_the_gradient_is_the_cause_of_parameters_without_one(changes, cause):
    [finding] = diagnose(gather(Experiment(depth=6, width=16, batch=32, **changes)))
    assert finding.rule == cause
    assert "inert_parameters" in {f.rule for f in finding.consequences}


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        ({"init": "zeros"}, True),
        ({"init": "constant"}, True),
        ({"init": "constant", "activation": "tanh", "norm": "rms"}, True),
        ({"init": "constant", "residual": True}, None),
        ({"init": "constant", "bias_std": 1.0}, None),
        ({"init": "zeros", "bias_std": 1.0, "activation": "tanh"}, None),
        ({"init": "identity"}, None),
    ],
    ids=str,
)
def test_copies_are_a_symmetry_where_steps_leave_them_copies(changes, steps):
    evidence = gather(Experiment(depth=3, width=16, batch=32, **changes))
    found = {f.rule: f for f in diagnose(evidence)}
    assert ("symmetry" in found) == bool(steps)
    if steps:
        finding = found["symmetry"]
        assert finding.explanation.endswith("and still does after 4 steps of training.")
        assert finding.evidence["steps_taken"] == 4


def test_steps_that_nobody_took_are_not_told():
    records = gather(Experiment(init="constant", depth=3, width=16, batch=32)).records
    finding = diagnose(Evidence([replace(r, stays_alike=None) for r in records]))[0]
    assert finding.explanation.endswith("each of these layers computes one number.")


@pytest.mark.parametrize(
    "changes", [{"norm": "batch"}, {"residual": True}, {"init_scale": 1.0}, {"norm": "none"}]
)
def test_small_weights_are_none_where_samples_stay_apart_or_steps_are_smaller(changes):
    experiment = FAULTY["small_weights"].model_copy(update=changes)
    assert "small_weights" not in names(diagnose(gather(experiment)))


def test_steps_that_outweigh_the_weights_are_counted():
    experiment = FAULTY["small_weights"]
    evidence = gather(experiment)
    [found] = [f for f in diagnose(evidence) if f.rule == "small_weights"]
    rms = math.sqrt(2 / 96) * 0.017
    assert found.evidence["change_of_one"] == pytest.approx(1e-4 * math.sqrt(48) / rms, rel=0.1)
    assert found.evidence["change_of_all"] == pytest.approx(
        20 * found.evidence["change_of_one"], rel=0.1
    )
    elsewhere = dataclasses.replace(evidence, starts=None)
    assert "small_weights" in {each["rule"] for each in undecided(elsewhere)}


def test_one_unit_has_no_rank_to_lose():
    evidence = gather(Experiment(width=1, depth=5, activation="sigmoid"))
    assert "rank_collapse" in {u["rule"] for u in undecided(evidence)}
    assert "rank_collapse" not in names(diagnose(evidence))


def test_a_verdict_is_a_whole_sentence_or_none():
    for experiment in (
        Experiment(depth=1, width=1, batch=1),
        Experiment(depth=1, width=1, batch=2),
        Experiment(depth=3),
    ):
        evidence = gather(experiment)
        text = verdict(evidence, []).text
        assert not text or (text[0].isupper() and text.endswith(".") and ", ." not in text)
        assert " and ." not in text
