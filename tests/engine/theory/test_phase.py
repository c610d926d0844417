"""The phase diagram: rows as they come, the edge between the phases, its JSON."""

import json
import math

import pytest

from layerscope.engine.basis.cancellation import Stopped
from layerscope.engine.theory import phase_diagram, phase_rows


def test_tanh_diagram_has_the_edge_between_its_phases() -> None:
    diagram = phase_diagram("tanh", sigma_w=(0.25, 3.0, 12), sigma_b=(0.0, 1.0, 6))
    for row in diagram.rows:
        phases = [p.phase for p in row.points]
        assert phases == sorted(phases, key=["ordered", "critical", "chaotic"].index)
        edge = [p for p in diagram.critical if abs(math.sqrt(p.sigma_b2) - row.sigma_b) < 0.02]
        assert edge
        first = phases.index("chaotic")
        at = math.sqrt(edge[0].sigma_w2)
        assert diagram.sigma_w[first - 1] - 0.05 <= at <= diagram.sigma_w[first] + 0.05


def test_rows_can_be_streamed() -> None:
    rows = phase_rows("gelu", (0.5, 1.0), (0.0, 0.1, 0.2))
    first = next(rows)
    assert (first.index, first.sigma_b, len(first.points)) == (0, 0.0, 2)
    assert len(list(rows)) == 2


@pytest.mark.parametrize("name", ["relu", "gelu", "squared_relu", "sigmoid"])
def test_json(name: str) -> None:
    diagram = phase_diagram(name, sigma_w=(0.0, 4.0, 5), sigma_b=(0.0, 1.0, 4))
    out = json.loads(json.dumps(diagram.to_dict(), allow_nan=False))
    assert [len(row["chi1"]) for row in out["rows"]] == [5] * 4
    if name == "relu":
        (point,) = out["critical"]
        assert point["sigma_w"] == pytest.approx(math.sqrt(2))
        assert out["rows"][1]["kind"][-1] == "infinite"


def test_a_diagram_stops_when_asked() -> None:
    with pytest.raises(Stopped):
        phase_diagram("tanh", should_stop=lambda: True)


@pytest.mark.parametrize(
    ("axis", "message"),
    [((1.0, 1.0, 5), "low < high"), ((0.0, math.inf, 5), "got 0.0 and inf"),
     ((0.0, 1.0, 1), "got 1"), ((0.0, 1.0, 10**6), "2 to 512")],
)  # fmt: skip
def test_bad_axes_are_named(axis: tuple[float, float, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        phase_diagram("tanh", sigma_w=axis)
