"""How much of a result is computed, and whether that is quick."""

from __future__ import annotations

from dataclasses import replace

import pytest

from layerscope.app.results import is_quick, planned
from layerscope.app.settings import Settings
from layerscope.engine.diagnosis.run import ResultCost
from layerscope.engine.execution.memory import peak_bytes
from layerscope.engine.execution.prices import TYPICAL
from layerscope.engine.experiment.specification import Experiment


def test_a_whole_result_is_quick_only_with_its_fixes(monkeypatch):
    monkeypatch.setattr("layerscope.engine.execution.prices._used", replace(TYPICAL, layer=5e6))
    plan = planned(Experiment(), Settings())
    parts = ResultCost.of(Experiment())
    assert not is_quick(parts.sum(check=True).flops)
    assert is_quick(parts.sum(check=True).flops - parts.fixes.flops)
    assert (plan.quick, plan.summed_up_quickly) == (False, True)


@pytest.mark.parametrize("limit", [1, 10**12])
def test_every_part_is_priced_once(monkeypatch, limit):
    priced: list[Experiment] = []

    def counted(experiment: Experiment) -> int:
        priced.append(experiment)
        return peak_bytes(experiment)

    monkeypatch.setattr("layerscope.engine.execution.cost.peak_bytes", counted)
    planned(Experiment(dtype="float16"), Settings(check_max_flops=limit))
    assert len(priced) == 8  # the passes, those of three changes, and two for each comparison
