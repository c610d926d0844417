import pytest

from layerscope.engine.analyses.float32_comparison import gradient_cosines
from layerscope.engine.basis.cancellation import Stopped
from layerscope.engine.experiment.specification import Experiment


def test_wide_formats_have_nothing_to_be_held_against():
    assert gradient_cosines(Experiment(depth=2)) is None
    assert gradient_cosines(Experiment(depth=2, dtype="float64")) is None


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_shallow_network_keeps_its_direction(dtype):
    cosines = gradient_cosines(Experiment(depth=3, dtype=dtype))
    assert sorted(cosines) == [0, 2, 4, 6]
    assert min(cosines.values()) > 0.95


def test_what_underflows_to_zero_has_no_direction():
    e = Experiment(activation="linear", init="lecun_normal", init_scale=0.1, depth=8,
                   dtype="float16")  # fmt: skip
    assert min(gradient_cosines(e).values()) == 0


def test_it_can_be_stopped():
    with pytest.raises(Stopped):
        gradient_cosines(Experiment(dtype="bfloat16"), should_stop=lambda: True)
