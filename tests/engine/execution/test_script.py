"""The script is run for real, and its digest of all bits compared with the engine's."""

import hashlib
import itertools
import json

import pytest
import torch

from layerscope.engine.execution.network import Network
from layerscope.engine.execution.passes import BackwardStep, ForwardStep, passes
from layerscope.engine.execution.script import as_pytorch
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.layers import ACTIVATIONS
from layerscope.engine.layers.initialization import INITS

SPECIFICATIONS = [
    Experiment(depth=3),
    Experiment(depth=3, norm="layer", residual=True, activation="mish", bias_std=0.2),
    Experiment(depth=3, norm="batch", residual=True, inputs=7, activation="selu", width=9),
    Experiment(depth=2, norm="rms", activation="linear", init="orthogonal", dtype="bfloat16"),
    Experiment(depth=2, data="digits", loss="cross_entropy", init="lsuv", dtype="float16"),
    Experiment(depth=2, loss="huber", dtype="float64", init="sparse", init_scale=3, seed=2**40),
    Experiment(depth=4, activation="gelu_tanh", dtype="float16", loss="mae"),
    Experiment(depth=50, activation="linear", init="normal"),
    Experiment(depth=2, input_scale=3.0, input_mean=-0.5, reduction="sum", bias_mean=-0.2),
    Experiment(depth=2, fan="fan_out", inputs=30, output_scale=0.1, init="lsuv", bias_std=0.3,
               bias_mean=0.1),
    Experiment(depth=2, data="digits", loss="cross_entropy", reduction="sum", dtype="float16",
               input_mean=1.0),
    Experiment(depth=2, activation="leaky_relu", alpha=0.2),
    Experiment(depth=2, activation="elu", alpha=0.5, dtype="bfloat16"),
    Experiment(depth=3, norm="layer", norm_gain=0.3, residual=True, dtype="bfloat16"),
    Experiment(depth=2, norm="rms", norm_gain=0.0, activation="sigmoid", dtype="float16"),
    Experiment(depth=2, norm="batch", norm_gain=2.5, inputs=7),
    Experiment(depth=3, residual=True, branch_scale=0.3, inputs=7, output_scale=0.1),
    Experiment(depth=3, residual=True, branch_scale=0.0, norm="layer"),
    Experiment(depth=3, layer_gains="30,0.7", output_scale=0.3, dtype="float16"),
    Experiment(depth=3, layer_gains="0.3", residual=True, branch_scale=1.7, init="lsuv"),
    Experiment(depth=2, backward_scale=1000.0, dtype="float16"),
    Experiment(depth=3, block_order="linear_last", inputs=7),
    Experiment(depth=3, block_order="linear_last", residual=True, norm="layer", norm_gain=0.5,
               branch_scale=0.5, layer_gains="2,1", activation="gelu"),
    Experiment(depth=3, block_order="linear_last", residual=True, activation="tanh", inputs=7,
               dtype="float16"),
    Experiment(depth=2, block_order="linear_last", residual=True, activation="linear"),
    Experiment(depth=2, block_order="linear_last", norm="rms", activation="linear", residual=True),
    Experiment(depth=2, backward_scale=0.3, reduction="sum"),
]  # fmt: skip


def engine_digest(experiment):
    sha = hashlib.sha256()
    for step in passes(Network(experiment)):
        tensors = []
        if isinstance(step, ForwardStep):
            tensors = [step.output]
        elif isinstance(step, BackwardStep):
            tensors = [step.gradient, *step.layer.gradients.values()]
        for tensor in tensors:
            sha.update(tensor.contiguous().view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()


RUN_ALL = """
import contextlib, io, json, runpy, sys
for path in sys.argv[1:]:
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        runpy.run_path(path, run_name="__main__")
    print(json.dumps(printed.getvalue()))
"""


@pytest.fixture(scope="module")
def printed(interpreter, tmp_path_factory):
    """What every script prints, by specification; one process for all."""
    folder = tmp_path_factory.mktemp("scripts")
    paths = [folder / f"{i}.py" for i in range(len(SPECIFICATIONS))]
    for path, experiment in zip(paths, SPECIFICATIONS, strict=True):
        path.write_text(as_pytorch(experiment), encoding="utf-8")
    done = interpreter.run("-W", "error", "-c", RUN_ALL, *paths, cwd=folder)
    assert done.returncode == 0, done.stderr
    return dict(zip(SPECIFICATIONS, map(json.loads, done.stdout.splitlines()), strict=True))


@pytest.mark.parametrize("experiment", SPECIFICATIONS, ids=lambda e: str(e.to_query()))
def test_the_script_reproduces_every_bit(experiment, printed):
    assert printed[experiment].splitlines()[-1] == f"sha256 {engine_digest(experiment)}"


@pytest.mark.slow
def test_every_choice_gives_a_script_that_compiles():
    for activation, init in itertools.product(ACTIVATIONS, INITS):
        source = as_pytorch(Experiment(activation=activation, init=init))
        compile(source, f"{activation}-{init}", "exec")
        assert "engine" not in source.split('"""')[2]
    for norm in Experiment.options("norm"):
        compile(as_pytorch(Experiment(norm=norm, residual=True)), norm, "exec")


def test_it_keeps_to_one_thread_before_anything_is_drawn():
    """A QR factorisation is split among threads and rounds otherwise: orthogonal, lsuv."""
    for init in ("orthogonal", "lsuv"):
        script = as_pytorch(Experiment(init=init, depth=2))
        assert script.index("\ntorch.set_num_threads(1)") < script.index("sample = draw_data(")
        assert "its threads: one here" in script
