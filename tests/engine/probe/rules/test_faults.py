"""Real small trainings, each fault beside its repaired twin."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from layerscope.engine.probe.watch import watch
from tests.faults import PAIRS, accused, data, mlp, seeded

BROADCASTS = pytest.mark.filterwarnings("ignore:Using a target size")


@BROADCASTS
@pytest.mark.parametrize("name", PAIRS)
def test_a_fault_is_named_and_its_twin_is_not_accused(name):
    faulty, repaired = PAIRS[name]
    rule = name.partition(":")[0]
    findings = seeded(faulty)
    named = {f.rule for root in findings for f in (root, *root.consequences)}
    assert rule in named, findings
    assert accused(findings), findings
    assert accused(seeded(repaired)) == set()


@BROADCASTS
@pytest.mark.parametrize("name", PAIRS)
def test_one_fault_is_one_accusation(name):
    findings = seeded(PAIRS[name][0])
    assert len(accused(findings)) == 1, [f.to_dict() for f in findings]


def test_a_finding_brings_the_lines_that_help():
    finding = seeded(PAIRS["learning_rate_high"][0])[0]
    assert finding.fix["code"].startswith("optimizer.param_groups[0]['lr'] = ")
    assert finding.since == 1


def test_findings_are_called_back_and_stop():
    torch.manual_seed(0)
    model, told = mlp(), []
    x, y = data()
    optimizer = torch.optim.SGD(model.parameters(), 20.0)
    done = 0
    with watch(
        model, optimizer, loss=nn.MSELoss(), every=1, to=":memory:",
        on_finding=told.append, stop_on="error",
    ) as probe:  # fmt: skip
        for _ in range(200):
            value = probe.loss(model(x), y)
            value.backward()
            optimizer.step()
            optimizer.zero_grad()
            probe.step(value)
            done += 1
    assert done < 50
    assert probe.state == "stopped"
    assert told[-1].severity == "error"
