"""The notes' reference results, and the promises of the event stream."""

import hashlib
import math
import weakref

import pytest
import torch

from layerscope.engine.basis.cancellation import Stopped
from layerscope.engine.diagnosis.run import Backward, Forward, result, run
from layerscope.engine.execution.cost import Limits, OverLimit, cost
from layerscope.engine.execution.network import Network, layout
from layerscope.engine.execution.passes import BackwardStep, ForwardStep, LossStep, passes
from layerscope.engine.experiment.presets import PRESETS
from layerscope.engine.experiment.specification import Experiment

PRESET = {p.name: p.experiment for p in PRESETS}


def ends(experiment):
    """What each hidden block hands on, as JSON records."""
    layers = result(experiment, check=False, fixes=False)["layers"]
    last = {layer["block"]: layer for layer in layers}
    return [last[block] for block in range(1, experiment.depth + 1)]


def test_randn_overflows_at_38_and_is_nan_from_39():
    activations = [layer["activation"] for layer in ends(PRESET["randn"])]
    infs = [a["posinf"] + a["neginf"] for a in activations]
    nans = [a["nan"] for a in activations]
    assert next(i for i, n in enumerate(infs, 1) if n) == 38
    assert next(i for i, n in enumerate(nans, 1) if n) == 39
    assert nans[-1] == activations[-1]["count"] == 200 * 100
    assert activations[-1]["mean"] is None
    assert activations[-1]["std"] is None


def test_randn_a_hundredth_is_all_zero_from_46():
    zeros = [a["activation"]["zeros"] for a in ends(PRESET["randn-0.01"])]
    assert [z == 20000 for z in zeros] == [False] * 45 + [True] * 5


def test_randn_a_tenth_holds():
    stds = [a["activation"]["std"] for a in ends(PRESET["randn-0.1"])]
    assert all(0.5 < s < 2 for s in stds)


def test_relu_ruins_a_tenth():
    assert 1e-9 < ends(PRESET["relu-0.1"])[-1]["activation"]["std"] < 1e-7


def test_kaiming_holds():
    assert all(0.03 < a["activation"]["std"] < 3 for a in ends(PRESET["kaiming"]))


def test_one_randn_layer_has_std_10():
    layer = result(Experiment(activation="linear", init="normal", inputs=100, width=50, depth=1))
    assert layer["layers"][0]["activation"]["std"] == pytest.approx(10, rel=0.1)


def test_the_notes_model():
    out = result(PRESET["notes-model"])
    hidden = out["layers"][1]["activation"]
    assert [layer["kind"] for layer in out["layers"]] == ["linear", "relu", "linear"]
    assert out["layers"][2]["shape"] == [200, 1]
    assert hidden["mean"] == pytest.approx(0.572, rel=0.1)
    assert hidden["std"] == pytest.approx(0.826, rel=0.1)


def test_statistics_and_gradients_are_those_of_torch():
    e = Experiment(depth=3, width=8, batch=5)
    torch.manual_seed(0)
    network = Network(e)
    modules, weights = [], []
    x = network.x
    for step in passes(network):
        if isinstance(step, ForwardStep) and step.info.kind == "linear":
            linear = torch.nn.Linear(*step.layer.parameters["weight"].shape)
            linear.weight.data = step.layer.parameters["weight"].t().clone()
            linear.bias.data = step.layer.parameters["bias"].clone()
            modules.append(linear)
            weights.append(linear.weight)
        elif isinstance(step, ForwardStep):
            modules.append(torch.nn.ReLU())
    outputs = []
    for module in modules:
        x = module(x)
        x.retain_grad()
        outputs.append(x)
    torch.nn.functional.mse_loss(x, network.target).backward()
    layers = result(e)["layers"]
    for ours, theirs in zip(layers, outputs, strict=True):
        assert ours["activation"]["std"] == pytest.approx(float(theirs.detach().std()), rel=1e-5)
        assert ours["gradient"]["rms"] == pytest.approx(
            float(theirs.grad.square().mean().sqrt().item()), rel=1e-5
        )
    linears = [layer for layer in layers if layer["kind"] == "linear"]
    for ours, theirs in zip(linears, weights, strict=True):
        assert ours["parameters"]["weight"]["gradient"]["std"] == pytest.approx(
            float(theirs.grad.detach().std()), rel=1e-5
        )


def test_records_come_forward_then_backward_then_the_summary():
    events = list(run(Experiment(depth=3, norm="rms", residual=True)))
    kinds = [e.event for e in events]
    n = len(events[0].layers)
    assert kinds == ["start"] + ["forward"] * n + ["backward"] * n + ["summary"]
    assert [e.info.index for e in events if isinstance(e, Forward)] == list(range(n))
    assert [e.info.index for e in events if isinstance(e, Backward)] == list(range(n))[::-1]


def test_a_nan_is_reported_when_it_happens():
    kinds = [e.event for e in run(PRESET["randn"])]
    first = kinds.index("finding")
    assert kinds[first - 1] == "forward"
    assert kinds[first + 1] == "forward"


def test_it_stops_before_the_next_layer():
    seen = []
    with pytest.raises(Stopped):
        for event in run(Experiment(), should_stop=lambda: len(seen) >= 7):
            seen.append(event)
    assert len(seen) == 7


def test_residual_sums_only_where_shapes_agree():
    names = [info.name for info in layout(Experiment(depth=2, residual=True, inputs=7))]
    assert names == ["linear1", "relu1", "linear2", "relu2", "add2", "linear3"]


def test_another_batch_keeps_the_weights_and_another_depth_keeps_the_first_layers():
    def weights(**parameters):
        layers = result(
            Experiment(**{"depth": 3, "width": 9, **parameters}), check=False, fixes=False
        )["layers"]
        return [
            layer["parameters"]["weight"]["value"] for layer in layers if layer["kind"] == "linear"
        ]

    assert weights(batch=5) == weights(batch=50)
    assert weights(depth=3)[:3] == weights(depth=8)[:3]
    assert weights(seed=0) != weights(seed=1)
    assert weights(seed=1) != weights(seed=1 + 2**32)  # torch's generator alone would not tell


def digest(experiment):
    sha = hashlib.sha256()
    for step in passes(Network(experiment)):
        if isinstance(step, ForwardStep):
            sha.update(step.output.contiguous().view(torch.uint8).numpy().tobytes())
        elif isinstance(step, BackwardStep):
            for tensor in (step.gradient, *step.layer.gradients.values()):
                sha.update(tensor.contiguous().view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()


def test_the_same_specification_is_the_same_bits_in_another_process(interpreter):
    source = (
        "import hashlib, torch\n"
        "from layerscope.engine.experiment.specification import Experiment\n"
        "from layerscope.engine.execution.network import Network\n"
        "from layerscope.engine.execution.passes import BackwardStep, ForwardStep, passes\n"
        "sha = hashlib.sha256()\n"
        "for s in passes(Network(Experiment(depth=5, bias_std=0.1))):\n"
        "    ts = [s.output] if isinstance(s, ForwardStep) else (\n"
        "      [s.gradient, *s.layer.gradients.values()] if isinstance(s, BackwardStep) else [])\n"
        "    for t in ts: sha.update(t.contiguous().view(torch.uint8).numpy().tobytes())\n"
        "print(sha.hexdigest())\n"
    )
    out = interpreter.run("-c", source)
    assert out.stdout.strip() == digest(Experiment(depth=5, bias_std=0.1))


def test_a_loss_that_is_not_finite_is_null_and_named():
    out = result(PRESET["randn"])
    assert out["loss"] is None
    assert out["loss_text"] == "nan"


def test_memory_holds_only_what_backward_needs():
    """ReLU's backward reads its output, so the linear layer's output can be freed."""
    alive = []
    for step in passes(Network(Experiment(depth=4))):
        if isinstance(step, ForwardStep) and step.info.kind == "linear":
            alive.append(weakref.ref(step.output))
        if isinstance(step, LossStep):
            del step
            break
    assert sum(ref() is not None for ref in alive) <= 1  # the network's own output


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_every_dtype_runs_in_its_own_format(dtype):
    for step in passes(Network(Experiment(depth=2, dtype=dtype, norm="layer"))):
        if isinstance(step, ForwardStep):
            assert str(step.output.dtype) == f"torch.{dtype}"
        elif isinstance(step, BackwardStep):
            assert str(step.gradient.dtype) == f"torch.{dtype}"


def test_over_the_limit_is_refused_by_name_and_factor():
    with pytest.raises(OverLimit, match="floating point operations") as caught:
        Limits().check(cost(Experiment(depth=1000, width=4096, batch=65536)))
    assert caught.value.asked > caught.value.allowed
    with pytest.raises(OverLimit, match="bytes of memory"):
        Limits(flops=10**18).check(cost(Experiment(depth=1000, width=1000, batch=5000)))
    assert math.isfinite(Limits().check(cost(Experiment())).flops)
