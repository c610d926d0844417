"""One class or function is enough: new entries of every kind, swept through the whole product."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from layerscope.engine.analyses import ANALYSES
from layerscope.engine.analyses.autograd_check import compare_with_autograd
from layerscope.engine.analyses.spectrum import block_matrices
from layerscope.engine.execution.cost import cost
from layerscope.engine.execution.network import Network
from layerscope.engine.execution.passes import BackwardStep, ForwardStep, passes
from layerscope.engine.execution.script import as_pytorch
from layerscope.engine.experiment.data import DATASETS
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.layers import ACTIVATIONS, NORMS
from layerscope.engine.theory.experiments import predict_experiment
from tests.interpreter import Interpreter
from tests.registering import CHANGES, CHOICES, SMALL, additions, named


@pytest.fixture(scope="module", autouse=True)
def added() -> Iterator[None]:
    with additions():
        yield


def digest(experiment: Experiment) -> str:
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


@pytest.mark.parametrize("change", CHANGES, ids=named)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_gradients_agree_with_autograd(change: dict[str, Any], dtype: str) -> None:
    check = compare_with_autograd(Experiment(**SMALL, **change, dtype=dtype))
    error = check.autograd_max_relative_error
    assert error is not None
    assert error < (1e-11 if dtype == "float64" else 1e-4), check


@pytest.mark.parametrize("change", CHANGES, ids=named)
def test_the_script_gives_the_same_bits(
    change: dict[str, Any], interpreter: Interpreter, tmp_path: Any
) -> None:
    experiment = Experiment(**SMALL, **change)
    path = tmp_path / "script.py"
    path.write_text(as_pytorch(experiment), encoding="utf-8")
    done = interpreter.run("-W", "error", path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"sha256 {digest(experiment)}"


def test_the_script_shows_the_new_functions() -> None:
    script = as_pytorch(Experiment(**SMALL, **CHOICES))
    for line in (
        "torch.sin(x).square()", "torch.rand(2, n_in, n_out", "x.abs().amax(1, keepdim=True)",
        "torch.tanh(output - target)", "load_wine", "Needs torch and scikit-learn",
    ):  # fmt: skip
        assert line in script


def test_theory_takes_what_an_entry_brings_and_says_what_it_does_not() -> None:
    def ask(**change: Any) -> Any:
        return predict_experiment(Experiment(**SMALL, **change))

    assert ask(activation="snake").available  # any elementwise function has moments
    assert ask(init="triangular").sigma_w2 == pytest.approx(0.5)
    assert ask(norm="peak").reason == "no theory for this setting: the norm 'peak'"
    unknown = ask(loss="log_cosh")
    assert unknown.available
    assert unknown.gradient_reason == (
        "no theory for this setting: the gradient of the loss 'log_cosh'"
    )


def test_an_activation_without_moments_has_no_theory() -> None:
    class Exponential(ACTIVATIONS["snake"]):  # type: ignore[misc]
        name = "exponential"

        @staticmethod
        def function(x: torch.Tensor) -> torch.Tensor:
            return torch.exp(x)

        @staticmethod
        def chain(g: torch.Tensor, saved: torch.Tensor) -> torch.Tensor:
            return g * torch.exp(saved)

    with ACTIVATIONS.temporarily():
        ACTIVATIONS.register(Exponential)
        found = predict_experiment(Experiment(**SMALL, activation="exponential", init_scale=100.0))
    assert not found.available
    assert found.reason is not None
    assert found.reason.startswith("no theory for this setting: the activation has no finite")


def test_real_data_has_its_own_moments() -> None:
    wine, digits = DATASETS["wine"].moments(13), DATASETS["digits"].moments(64)
    x = DATASETS["wine"].draw(178, 13, torch.Generator().manual_seed(3)).x.double()
    gram = (x @ x.t()).fill_diagonal_(0)
    assert wine.mean_square == pytest.approx(4, rel=0.01)  # twice what is standardised
    assert wine.correlation == pytest.approx(
        float(gram.sum()) / (178 * 177 * 13 * wine.mean_square), abs=1e-9
    )
    assert wine.target_mean_square == pytest.approx(1 / 3)
    assert wine.length_variance != digits.length_variance
    first = predict_experiment(Experiment(**SMALL, data="wine")).layers[0]
    assert first.activation.rms == pytest.approx(torch.tensor(8.0).log10().item() / 2, abs=0.01)


def test_outputs_are_the_datas_classes() -> None:
    assert Experiment(data="wine", loss="cross_entropy", batch=100).n_outputs == 3
    assert Experiment(data="digits", loss="cross_entropy").n_outputs == 10


def test_a_norms_pushforward_is_its_derivative() -> None:
    """That of the peak norm is no symmetric matrix."""
    x = torch.randn(1, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    v = torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for norm in (n for n in NORMS.values() if not n.couples_samples):
        layer = norm(5, torch.float64)
        parameters = layer.parameters
        exact = torch.autograd.functional.jacobian(
            lambda x, norm=norm, p=parameters: norm.reference(x, p)[0], x
        )[:, 0]  # (n_out, n_in)
        torch.testing.assert_close(layer.pushforward(v, x), v @ exact.t())
        torch.testing.assert_close(layer.pushforward(None, x), exact.t())
    assert len(block_matrices(Experiment(**SMALL, norm="peak", dtype="float64"))) == 3


def test_cost_comes_from_the_scheme() -> None:
    plain, drawn = (cost(Experiment(**SMALL, init=name)).flops for name in ("normal", "triangular"))
    assert plain == drawn < cost(Experiment(**SMALL, init="orthogonal")).flops


def test_modules_of_torch_find_their_entry() -> None:
    from layerscope.engine.layers import activation_of

    assert activation_of(nn.LeakyReLU()) is ACTIVATIONS["leaky_relu"]
    assert activation_of(nn.LeakyReLU(0.3)) is None
    assert activation_of(nn.GELU(approximate="tanh")) is ACTIVATIONS["gelu_tanh"]
    assert NORMS["layer_norm"].computes(nn.LayerNorm(3))


def test_the_new_analysis_runs() -> None:
    entry = ANALYSES["how_deep"]
    assert entry.run(Experiment(**SMALL)).to_dict() == {"depth": 3}
    assert entry.cost(Experiment(**SMALL)).flops > 0


def test_generated_tables_do_not_fail() -> None:
    from layerscope.engine.diagnosis.evaluation import corpus, evaluate, evaluation

    today = {row["rule"]: row for row in evaluate(corpus()[:3])["rules"]}
    assert "always" in today
    assert "always" not in {row["rule"] for row in evaluation()["rules"]}
