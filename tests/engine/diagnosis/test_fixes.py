"""Fixes are offered only after they were run and helped."""

import pytest

from layerscope.engine.basis.cancellation import Stopped
from layerscope.engine.diagnosis import diagnose
from layerscope.engine.diagnosis.fixes import candidates, verified_fix
from layerscope.engine.diagnosis.gathering import gather
from layerscope.engine.diagnosis.run import FixEvent, result, run
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


def test_fixes_come_after_the_summary_and_into_the_result():
    events = list(run(FAULTS[0]))
    kinds = [e.event for e in events]
    assert kinds.index("fix") > kinds.index("summary")
    fix = next(e for e in events if isinstance(e, FixEvent))
    finding = result(FAULTS[0], check=False)["findings"][fix.finding]
    assert finding["fix"] == fix.fix.change
    assert finding["fix_verified"] is True


def test_a_healthy_network_is_not_fixed():
    assert not [e for e in run(Experiment()) if isinstance(e, FixEvent)]


def test_trying_can_be_stopped():
    experiment = FAULTS[2]
    before = gather(experiment)
    with pytest.raises(Stopped):
        verified_fix(experiment, before, diagnose(before)[0], should_stop=lambda: True)
