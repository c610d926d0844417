"""Where an experiment stands in its phase diagram."""

from __future__ import annotations

import json

import pytest

from layerscope.engine.analyses.phase_diagram import GRID, axis_ends, phase_diagram, trainable_depth
from layerscope.engine.basis.cancellation import Stopped
from layerscope.engine.experiment.specification import Experiment


def test_the_default_stands_on_the_edge_and_its_neighbours_do_not() -> None:
    found = phase_diagram(Experiment())
    assert found.point is not None
    assert (found.point.phase, trainable_depth(found.point)) == ("critical", None)
    assert found.reason is None
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert len(document["rows"]) == GRID[1]
    assert document["critical"][0]["sigma_w"] == pytest.approx(2**0.5)
    below = phase_diagram(Experiment(init_scale=0.9))
    beyond = phase_diagram(Experiment(init_scale=1.1))
    assert below.diagram is found.diagram  # kept: the plane does not depend on the point
    assert below.point is not None
    assert beyond.point is not None
    assert (below.point.phase, beyond.point.phase) == ("ordered", "chaotic")
    # χ1 = 0.81 and 1.21: 6/|ln χ1|, the one by correlations, the other by the gradient.
    assert trainable_depth(below.point) == pytest.approx(28.47, rel=1e-3)
    assert trainable_depth(beyond.point) == pytest.approx(31.48, rel=1e-3)


def test_the_axes_reach_beyond_the_experiment() -> None:
    assert axis_ends(Experiment()) == (3.0, 1.5)
    assert axis_ends(Experiment(init="normal", width=100, bias_std=4.9)) == (12.0, 10.0)
    assert axis_ends(Experiment(init="normal", width=4096, init_scale=100, bias_std=100)) == (
        1e4,
        120,
    )
    gained = Experiment(init="normal", width=100, init_scale=100, layer_gains="100")
    assert axis_ends(gained) == (1e6, 1.5)


@pytest.mark.parametrize("alpha", [1e-300, 1e-38, 1e-9, 0.0])
def test_an_activation_all_but_homogeneous_has_a_diagram(alpha: float) -> None:
    """ELU with so small a parameter is ReLU, whatever the rounding."""
    found = phase_diagram(Experiment(activation="elu", alpha=alpha, width=20))
    assert found.point is not None


@pytest.mark.parametrize("changes", [{"norm": "layer"}, {"residual": True}, {"init": "identity"}])
def test_says_where_the_diagram_is_not_the_experiments(changes: dict[str, object]) -> None:
    found = phase_diagram(Experiment.model_validate({"width": 20, **changes}))
    assert found.reason
    assert (found.point is None) == ("init" in changes)


def test_stops_when_asked_and_keeps_nothing_half_done() -> None:
    with pytest.raises(Stopped):
        phase_diagram(Experiment(activation="softsign"), should_stop=lambda: True)
    found = phase_diagram(Experiment(activation="softsign"))
    assert len(found.diagram.rows) == GRID[1]
