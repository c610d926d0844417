"""Each callback against its own library, where that is installed."""

from __future__ import annotations

import copy
import gc
import math
import pickle
import warnings
import weakref

import pytest
import torch
from torch import nn

import layerscope
from layerscope.engine.probe.callbacks import watching
from layerscope.engine.probe.callbacks.transformers import TransformersCallback
from layerscope.engine.probe.callbacks.watching import Watching, base
from layerscope.engine.probe.probe import watched_already
from layerscope.engine.probe.step import Quantity
from layerscope.engine.probe.telling import ProbeWarning

pytestmark = [
    pytest.mark.slow,
    # Of the libraries themselves, on their own code.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

G = torch.Generator().manual_seed(0)
X = torch.randn(48, 6, generator=G)
Y = X[:, :1] * 2
STEPS, BATCH = 6, 8


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 1))


def checked(probe, *, steps=STEPS):
    assert probe.error is None, probe.error
    assert probe.state == "finished"
    found = probe.steps()
    assert [step.number for step in found] == list(range(1, steps + 1))
    weights = [f.index for f in probe.facts() if f.kind == "Linear"]
    assert len(weights) == 2
    for step in found:
        assert step.loss is not None
        for index in weights:
            assert step.of(index, Quantity.ACTIVATION).count
            assert step.of(index, Quantity.PARAMETER_GRADIENT).rms > 0
            assert step.update_ratio(index) > 0
    return found


class TestLightning:
    def fit(self, callback, *, model=None, **options):
        lightning = pytest.importorskip("lightning.pytorch", reason="lightning is not installed")

        class Module(lightning.LightningModule):
            def __init__(self):
                super().__init__()
                self.net = model or network()

            def training_step(self, batch, _):
                x, y = batch
                return nn.functional.mse_loss(self.net(x), y)

            def configure_optimizers(self):
                return torch.optim.Adam(self.parameters(), 0.01)

        data = torch.utils.data.TensorDataset(X, Y)
        loader = torch.utils.data.DataLoader(data, batch_size=BATCH)
        module = Module()
        trainer = lightning.Trainer(
            max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False,
            callbacks=[callback] if callback else [], **options,
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on workers and intervals, which are few here
            trainer.fit(module, loader)
        return module

    @pytest.fixture
    def callback(self):
        pytest.importorskip("lightning", reason="lightning is not installed")
        return layerscope.LightningCallback(every=1, to=":memory:")

    def test_every_step_is_recorded_and_the_bits_stay(self, callback):
        module = self.fit(callback)
        checked(callback.probe)
        assert [f.name for f in callback.probe.facts()] == ["net.0", "net.1", "net.2"]
        alone = self.fit(None)
        for one, other in zip(module.parameters(), alone.parameters(), strict=True):
            assert torch.equal(one, other)

    def test_accumulation_is_one_step(self, callback):
        self.fit(callback, accumulate_grad_batches=2)
        checked(callback.probe, steps=STEPS // 2)

    def test_a_finding_stops_the_trainer(self, callback):
        model = network()
        nn.init.constant_(model[0].weight, math.nan)
        callback.options["stop_on"] = "error"
        self.fit(callback, model=model)
        assert callback.probe.state == "stopped"
        assert callback.probe.number == 1


class TestTransformers:
    def train(self, callback, tmp_path, **options):
        transformers = pytest.importorskip("transformers", reason="transformers is not installed")
        pytest.importorskip("accelerate", reason="accelerate is not installed")

        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.net = network()

            def forward(self, x, labels):
                output = self.net(x)
                return {"loss": nn.functional.mse_loss(output, labels), "logits": output}

        data = [{"x": x, "labels": y} for x, y in zip(X, Y, strict=True)]
        given = transformers.TrainingArguments(
            str(tmp_path), per_device_train_batch_size=BATCH, num_train_epochs=1, use_cpu=True,
            report_to=[], save_strategy="no", logging_strategy="no", disable_tqdm=True, **options,
        )  # fmt: skip
        model = Model()
        trainer = transformers.Trainer(
            model=model, args=given, train_dataset=data, callbacks=[callback]
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer.train()
        return model

    @pytest.fixture
    def callback(self):
        pytest.importorskip("transformers", reason="transformers is not installed")
        return layerscope.TransformersCallback(every=1, to=":memory:")

    def test_every_step_is_recorded(self, callback, tmp_path):
        model = self.train(callback, tmp_path)
        checked(callback.probe)
        assert not model._forward_hooks

    def test_accumulation_is_one_step(self, callback, tmp_path):
        self.train(callback, tmp_path, gradient_accumulation_steps=2)
        checked(callback.probe, steps=STEPS // 2)


class TestFastai:
    @pytest.fixture
    def callback(self):
        pytest.importorskip("fastai", reason="fastai is not installed")
        return layerscope.FastaiCallback(every=1, to=":memory:")

    def learner(self, *callbacks, own=True):
        from functools import partial

        from fastai.basics import SGD, DataLoader, DataLoaders, Learner, OptimWrapper
        from fastai.callback import schedule  # noqa: F401  # gives Learner its fit_one_cycle

        loader = DataLoader(list(zip(X, Y, strict=True)), bs=BATCH, num_workers=0)
        return Learner(
            DataLoaders(loader, loader), network(), loss_func=nn.MSELoss(), cbs=callbacks,
            opt_func=SGD if own else partial(OptimWrapper, opt=torch.optim.SGD),
        )  # fmt: skip

    def fit(self, learner):
        torch.manual_seed(0)  # the order of the samples
        with learner.no_logging():
            learner.fit_one_cycle(1, 0.01)

    @pytest.mark.parametrize("own", [True, False])
    def test_every_step_is_recorded_and_the_bits_stay(self, callback, own):
        learner, alone = self.learner(callback, own=own), self.learner(own=own)
        self.fit(learner)
        self.fit(alone)
        checked(callback.probe)
        rates = [step.learning_rates for step in callback.probe.steps()]
        assert len(rates[0]) == 1
        assert [r for (r,) in rates] == pytest.approx(learner.recorder.lrs)
        assert len(set(learner.recorder.lrs)) > 1
        for one, other in zip(learner.model.parameters(), alone.model.parameters(), strict=True):
            assert torch.equal(one, other)
        assert "step" not in vars(learner.opt)

    def test_gradients_are_those_after_clipping(self, callback):
        from fastai.callback.training import GradientClip

        learner = self.learner(callback, GradientClip(0.01))
        self.fit(learner)
        for step in callback.probe.steps():
            weights = [step.of(i, Quantity.PARAMETER_GRADIENT) for i in (0, 2)]
            assert math.hypot(*(g.rms * math.sqrt(g.count) for g in weights)) < 0.011
            assert step.of(0, Quantity.UNCLIPPED).rms > step.of(0, Quantity.PARAMETER_GRADIENT).rms

    def test_a_copy_of_its_optimiser_steps_by_itself(self, callback):
        from fastai.basics import Callback

        class Copies(Callback):
            def after_batch(self):
                twin, before = copy.deepcopy(self.learn.opt), copy.deepcopy(self.learn.model)
                for p, *_ in twin.all_params():
                    p.grad = torch.ones_like(p)
                there = [p.clone() for p, *_ in twin.all_params()]
                twin.step()
                moved = [p for p, *_ in twin.all_params()]
                assert not any(map(torch.equal, there, moved))
                mine = zip(before.parameters(), self.learn.model.parameters(), strict=True)
                assert all(torch.equal(one, other) for one, other in mine)

        learner = self.learner(callback, Copies())
        self.fit(learner)
        checked(callback.probe)


class Own:
    """An optimiser that is none of PyTorch's, and takes what it likes."""

    def __init__(self, model):
        self.param_groups = [{"params": list(model.parameters()), "lr": 0.1}]

    def step(self, closure=None):
        with torch.no_grad():
            for parameter in self.param_groups[0]["params"]:
                parameter -= self.param_groups[0]["lr"] * parameter.grad
        return closure


def test_an_optimizer_of_fastais_kind_is_called_as_ever():
    # Here, where warnings of fastai's own code end nothing: at the file's head one would.
    from layerscope.engine.probe.callbacks import fastai

    model = network()
    own = Own(model)
    seen = fastai._Seen(own)
    with layerscope.watch(model, seen, every=1, to=":memory:") as probe:
        loss = nn.functional.mse_loss(model(X), Y)
        loss.backward()
        own.param_groups.append({"params": []})  # as where layers are set free
        assert own.step(closure=None) is None
        probe.step(loss)
    (step,) = probe.steps()
    assert step.learning_rates == [0.1]
    assert step.update_ratio(0) > 0
    seen.remove()
    assert "step" not in vars(own)


class TestAccelerate:
    def test_a_prepared_loop(self):
        accelerate = pytest.importorskip("accelerate", reason="accelerate is not installed")
        accelerator = accelerate.Accelerator(cpu=True)
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), 0.01)
        model, optimizer = accelerator.prepare(model, optimizer)
        with layerscope.watch(model, optimizer, every=1, to=":memory:") as probe:
            for x, y in zip(X.split(BATCH), Y.split(BATCH), strict=True):
                loss = nn.functional.mse_loss(model(x), y)
                accelerator.backward(loss)
                optimizer.step()
                optimizer.zero_grad()
                probe.step(loss)
        checked(probe)


def test_a_missing_library_is_named(monkeypatch):
    assert base(("no_such_library_at_all", "Callback")) is object

    class Ours(Watching):
        library = "no_such_library_at_all"

    with pytest.raises(ImportError, match="Ours needs no_such_library_at_all: pip install"):
        Ours()


class Plain(Watching):
    there = nn.Module  # any class that is no ``object``


def test_what_cannot_be_watched_ends_no_training():
    callback = Plain(to=":memory:")
    with pytest.warns(ProbeWarning, match="not recorded: model: ReLU has no parameters"):
        callback.begin(nn.ReLU(), None)
    callback.step(1.0, lambda: None)
    callback.end()


def test_a_copied_callback_has_no_run():
    callback = Plain(to=":memory:", every=3)
    model = network()
    callback.begin(model, torch.optim.SGD(model.parameters(), 0.1))
    for twin in (copy.deepcopy(callback), pickle.loads(pickle.dumps(callback))):  # noqa: S301
        assert (twin.probe, twin.options) == (None, callback.options)
    callback.end()
    callback.end("failed")
    assert callback.probe.state == "finished"


def test_a_callback_holds_no_model_once_its_training_has_ended():
    callback, model = Plain(to=":memory:", every=1), network()
    callback.begin(model, torch.optim.SGD(model.parameters(), 0.1))
    callback.end()
    held = weakref.ref(model)
    callback.probe = None  # whose findings may still be asked for; nobody does
    del model
    gc.collect()
    assert held() is None


def test_a_finding_asks_the_trainer_to_stop():
    callback, stops = Plain(to=":memory:", every=1, stop_on="error"), []
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    callback.begin(model, optimizer)
    loss = model(X / 0).mean()
    loss.backward()
    optimizer.step()
    callback.step(loss, lambda: stops.append(1))
    assert stops == [1]
    assert callback.probe.state == "stopped"
    assert watching.Watching is Watching


class OnTransformers(TransformersCallback):
    """Where the library need not be installed."""

    there = nn.Module


class Answers(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = network()

    def forward(self, x):
        return {"loss": self.net(x).square().mean()}


def interrupted(callback, model):
    """A training whose trainer tells nobody that it was ended by an error."""
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    callback.on_train_begin(None, None, None, model=model, optimizer=optimizer)
    model(X)["loss"].backward()
    optimizer.step()
    callback.on_step_end(None, None, None)
    raise RuntimeError("out of memory")


def hooked(model):
    return bool(model._forward_hooks) or watched_already(model)


def test_a_with_block_leaves_no_hook_where_an_error_ends_the_training():
    model = Answers()
    with (
        pytest.raises(RuntimeError, match="out of memory"),
        OnTransformers(to=":memory:", every=1) as callback,
    ):
        interrupted(callback, model)
    assert not hooked(model)
    assert callback.probe.state == "failed"
    assert callback.probe.steps()[0].loss is not None


def test_the_next_training_leaves_none_of_the_last():
    callback, model, other = OnTransformers(to=":memory:", every=1), Answers(), Answers()
    with pytest.raises(RuntimeError):
        interrupted(callback, model)
    assert hooked(model)
    with pytest.raises(RuntimeError):
        interrupted(callback, other)
    assert not hooked(model)
    callback.on_train_end(None, None, None)
    assert not hooked(other)


def test_no_hook_outlives_its_callback():
    callback, model = OnTransformers(to=":memory:", every=1), Answers()
    with pytest.raises(RuntimeError):
        interrupted(callback, model)
    probe = callback.probe
    assert hooked(model)
    del callback
    gc.collect()
    assert not hooked(model)
    assert probe.state == "stopped"
