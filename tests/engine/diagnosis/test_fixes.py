"""Fixes are offered only after they were run and helped."""

import pytest
from msgspec.structs import replace

from layerscope.engine.basis.cancellation import Stopped
from layerscope.engine.diagnosis import diagnose, fixes, learning
from layerscope.engine.diagnosis.fixes import FINDINGS, Outcomes, candidates, verified_fix
from layerscope.engine.diagnosis.gathering import gather
from layerscope.engine.diagnosis.learning import TRIED_CHANGES, Learning
from layerscope.engine.diagnosis.run import FixEvent, result, run
from layerscope.engine.execution.cost import passes_flops
from layerscope.engine.execution.prices import TYPICAL
from layerscope.engine.experiment.specification import Experiment

FAULTS = [
    Experiment(activation="linear", init="normal"),
    Experiment(activation="linear", init="normal", init_scale=0.01),
    Experiment(init="normal", init_scale=0.1),
    Experiment(init="zeros", depth=10),
    Experiment(activation="tanh", init="lecun_normal", init_scale=3),
    Experiment(activation="linear", init="lecun_normal", init_scale=2.0, dtype="float16"),
]


@pytest.mark.slow
@pytest.mark.parametrize("experiment", FAULTS, ids=lambda e: str(e.to_query()))
def test_the_fix_really_removes_the_finding(experiment):
    before = gather(experiment)
    finding = diagnose(before)[0]
    fix = verified_fix(experiment, before, finding)
    assert fix is not None
    changed = Experiment.model_validate({**experiment.to_dict(), **fix.change})
    assert changed.seed == experiment.seed
    assert changed != experiment
    after = diagnose(gather(changed))
    assert finding.rule not in {f.rule for root in after for f in (root, *root.consequences)}
    assert not [f for f in after if f.severity == "error"]
    known = {f.rule for root in diagnose(before) for f in (root, *root.consequences)}
    assert {f.rule for f in after if f.severity == "warning"} <= known
    for record in gather(changed).records:
        for parameter in record.parameters.values():
            assert parameter.gradient.zeros < parameter.gradient.count == parameter.gradient.finite
    assert Learning().with_both(changed)
    assert len(fix.before["activation_rms"]) == experiment.depth
    assert len(fix.after["gradient_rms"]) == changed.depth


def test_the_smallest_change_comes_first():
    experiment = Experiment(init="normal", init_scale=0.1)
    finding = diagnose(gather(experiment))[0]
    changes = list(candidates(experiment, finding))
    assert changes[0] == {"init_scale": 0.141}  # √(2/100), from theory's critical point
    assert min(len(c) for c in changes) == len(changes[0])


def test_what_does_not_help_is_not_offered(monkeypatch):
    experiment = Experiment(activation="linear", init="normal")
    before = gather(experiment)
    finding = diagnose(before)[0]
    useless = [{"seed": 1}, {"init_scale": 2.0}]
    monkeypatch.setattr("layerscope.engine.diagnosis.fixes.candidates", lambda e, f: iter(useless))
    assert verified_fix(experiment, before, finding) is None


def test_what_removes_the_finding_and_learns_nothing_is_not_offered(monkeypatch):
    experiment = FAULTS[3]
    before = gather(experiment)
    finding = diagnose(before)[0]
    asked = []

    def never_learns(self, changed):
        asked.append(changed)
        return False

    monkeypatch.setattr(Learning, "with_both", never_learns)
    assert verified_fix(experiment, before, finding) is None
    assert asked  # some had removed the finding


def test_a_network_that_learns_is_told_from_one_that_cannot():
    good = Experiment(depth=3, width=32, batch=32)
    assert Learning().with_both(good)
    for cannot in (
        Experiment(depth=4, init="zeros", width=32, batch=32),
        Experiment(depth=20, width=8, seed=2, batch=32, init_scale=0.01),
    ):
        assert not Learning().by(cannot, "SGD")
        assert not Learning().by(cannot, "Adam")


@pytest.mark.slow
def test_fixes_are_tried_for_as_many_findings_as_are_priced(monkeypatch):
    asked = []
    monkeypatch.setattr(
        "layerscope.engine.diagnosis.run.verified_fix",
        lambda experiment, evidence, finding, **_: asked.append(finding),
    )
    found = [replace(diagnose(gather(FAULTS[3]))[0], rule=f"r{i}") for i in range(FINDINGS + 2)]
    monkeypatch.setattr("layerscope.engine.diagnosis.run.diagnose", lambda evidence: found)
    list(run(FAULTS[3]))
    assert [finding.rule for finding in asked] == [f"r{i}" for i in range(FINDINGS)]


def test_so_many_changes_are_asked_whether_they_learn_and_no_more(monkeypatch):
    monkeypatch.setattr(Learning, "by", lambda self, changed, optimizer: True)
    budget = Learning()
    asked = [budget.with_both(FAULTS[3]) for _ in range(TRIED_CHANGES + 1)]
    assert asked == [True] * TRIED_CHANGES + [False]


def test_a_change_that_is_too_dear_shuts_out_no_cheaper_one(monkeypatch):
    experiment = Experiment(init="zeros", depth=2, width=8, batch=8)
    before = gather(experiment)
    monkeypatch.setattr(
        "layerscope.engine.diagnosis.fixes.BUDGET_FLOPS", 2 * passes_flops(experiment, TYPICAL)
    )
    changes = [{"depth": 50}, {"init": "kaiming_normal"}]
    monkeypatch.setattr("layerscope.engine.diagnosis.fixes.candidates", lambda e, f: iter(changes))
    tried = []
    monkeypatch.setattr(
        "layerscope.engine.diagnosis.fixes.gather",
        lambda changed, _: tried.append(changed.init) or before,
    )
    verified_fix(experiment, before, diagnose(before)[0])
    assert tried == ["kaiming_normal"]


def test_few_samples_and_few_units_are_candidates():
    experiment = Experiment(batch=1, width=4, depth=6, norm="batch", bias_std=1)
    finding = diagnose(gather(experiment))[0]
    changes = list(candidates(experiment, finding))
    for wanted in ({"batch": 64}, {"width": 64}, {"norm": "layer"}, {"norm": "none"},
                   {"norm": "rms"}, {"bias_std": 0.0}):  # fmt: skip
        assert wanted in changes


def test_fixes_come_after_the_summary_and_into_the_result():
    events = list(run(FAULTS[0]))
    kinds = [e.event for e in events]
    assert kinds.index("fix") > kinds.index("summary")
    fix = next(e for e in events if isinstance(e, FixEvent))
    finding = result(FAULTS[0], check=False)["findings"][fix.finding]
    assert finding["fix"] == fix.fix.change
    assert finding["fix_verified"] is True


def test_what_was_tried_for_one_finding_is_not_run_for_the_next(monkeypatch):
    """And comes to the same."""
    experiment = Experiment(activation="sigmoid", depth=30, width=48, batch=64)
    before = gather(experiment)
    findings = diagnose(before)
    assert len(findings) > 1
    alone = [verified_fix(experiment, before, finding) for finding in findings]
    assert all(alone)
    run_, trained = [], []
    gathered, learns = fixes.gather, Learning._learns

    def counted(changed, should_stop):
        run_.append(changed)
        return gathered(changed, should_stop)

    def noted(self, changed, optimizer):
        trained.append((changed, type(optimizer), optimizer.rate))
        return learns(self, changed, optimizer)

    monkeypatch.setattr(fixes, "gather", counted)
    monkeypatch.setattr(Learning, "_learns", noted)
    outcomes = Outcomes()
    together = [verified_fix(experiment, before, f, outcomes=outcomes) for f in findings]
    assert together == alone
    assert len(run_) == len(set(run_)) < sum(fix.tried for fix in together)
    assert len(trained) == len(set(trained))


def test_a_training_that_a_budget_cut_short_is_made_again_by_another(monkeypatch):
    slow = Experiment(depth=4, init="zeros", width=32, batch=32)
    known = {}
    one = passes_flops(slow, TYPICAL)
    monkeypatch.setattr(learning, "BUDGET_FLOPS", 40 * one)
    assert not Learning(known=known).by(slow, "SGD")
    assert not known
    monkeypatch.setattr(learning, "BUDGET_FLOPS", 400 * one)
    assert not Learning(known=known).by(slow, "SGD")
    assert known == {(slow, "SGD"): (False, 4 * (learning.STEPS + 1) * one)}


def test_a_healthy_network_is_not_fixed():
    assert not [e for e in run(Experiment()) if isinstance(e, FixEvent)]


def test_trying_can_be_stopped():
    experiment = FAULTS[2]
    before = gather(experiment)
    with pytest.raises(Stopped):
        verified_fix(experiment, before, diagnose(before)[0], should_stop=lambda: True)
