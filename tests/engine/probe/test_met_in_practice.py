"""The mechanism of each mistake that people make and rules did not know of, and who is like it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from layerscope.engine.probe.asking import LEAST_SAMPLES, AskedLoss
from layerscope.engine.probe.history import History
from layerscope.engine.probe.task import task_of
from layerscope.engine.probe.watch import watch

STEPS = 30


def trained(model, x, y, loss, lr=0.01, optimizer=None, steps=STEPS):
    """What is found of a training, watched in every step."""
    optimizer = optimizer or torch.optim.Adam(model.parameters(), lr)
    with watch(model, optimizer, loss=loss, every=1, to=":memory:") as probe:
        for _ in range(steps):
            optimizer.zero_grad()
            value = probe.loss(model(x), y)
            value.backward()
            optimizer.step()
            probe.step(value)
    assert probe.error is None, repr(probe.error)
    return probe.findings()


def named(findings, rule):
    return next((f for f in findings if f.rule == rule), None)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def line(n=64):
    x = torch.randn(n, 10)
    return x, x[:, :1] - x[:, 1:2]


def mlp(outputs=1):
    return nn.Sequential(nn.Linear(10, 24), nn.ReLU(), nn.Linear(24, outputs))


@pytest.mark.parametrize(
    ("loss", "outputs", "targets", "known"),
    [
        (nn.MSELoss(), (LEAST_SAMPLES, 1), torch.zeros(LEAST_SAMPLES, 1), True),
        (nn.MSELoss(), (1, 5), torch.zeros(1, 5), False),
        (nn.CrossEntropyLoss(), (1, 3), torch.zeros(1, dtype=torch.int64), False),
        (nn.CrossEntropyLoss(), (1, 3, 8), torch.zeros(1, 8, dtype=torch.int64), True),
    ],
)
def test_a_constant_answer_to_a_few_samples_is_no_measure(loss, outputs, targets, known):
    asked = AskedLoss(loss)
    asked.looks((torch.randn(outputs), targets), {})
    assert asked.task is not None
    assert (asked.constant is not None) is known


def test_who_has_come_far_within_the_first_losses_has_learned():
    losses = [1.0, 0.9, 0.8, 0.3, 0.1, *[0.0] * 75]
    known = History([], [], list(enumerate(losses, 1)), losses[:16])
    assert known.first_loss == 0.9
    assert known.learns


def test_who_shot_up_and_came_back_down_has_not_learned():
    losses = [2.3, 500.0, 90.0, 5.0, *[2.3] * 76]
    known = History([], [], list(enumerate(losses, 1)), losses[:16])
    assert known.first_loss == 2.3
    assert not known.learns


@pytest.mark.filterwarnings("ignore:Using a target size")
def test_one_number_asked_of_all_outputs_is_told_of_pytorchs_losses_alone():
    x, y = line()
    found = named(trained(mlp(3), x, y, nn.MSELoss(), lr=0.0), "wrong_loss")
    assert found is not None
    assert found.evidence["target_shape"] == [64, 1]

    def pinball(output, target):
        q = torch.tensor([0.1, 0.5, 0.9])
        return torch.maximum(q * (target - output), (q - 1) * (target - output)).mean()

    assert named(trained(mlp(3), x, y, pinball), "wrong_loss") is None


class Softmax(nn.Module):
    def __init__(self, axis, logarithm):
        super().__init__()
        self.axis, self.of = axis, F.log_softmax if logarithm else F.softmax

    def forward(self, x):
        return self.of(x, self.axis)


@pytest.mark.parametrize("logarithm", [True, False])
def test_a_softmax_over_the_batch_is_told(logarithm):
    x, y = torch.randn(64, 10), torch.randint(3, (64,))
    loss = nn.NLLLoss() if logarithm else nn.CrossEntropyLoss()
    found = trained(nn.Sequential(mlp(3), Softmax(0, logarithm)), x, y, loss)
    assert "over the batch" in named(found, "wrong_loss").title
    if logarithm:
        found = trained(nn.Sequential(mlp(3), Softmax(1, logarithm)), x, y, loss)
        assert named(found, "wrong_loss") is None


def test_rows_and_columns_that_both_add_up_to_one_are_over_the_classes():
    even = torch.full((4, 4), 0.25)
    assert not task_of(F.cross_entropy, (even, torch.arange(4))).over_batch


@pytest.mark.parametrize(("smoothing", "told"), [(1.0, True), (0.2, False)])
def test_labels_that_are_smoothed_away_are_told(smoothing, told):
    x = torch.randn(64, 10)
    y = (x[:, 0] > 0).long()
    found = trained(mlp(2), x, y, nn.CrossEntropyLoss(label_smoothing=smoothing))
    assert (named(found, "wrong_loss") is not None) is told
    asked = task_of(F.cross_entropy, (torch.randn(8, 2), y[:8]), {"label_smoothing": smoothing})
    assert asked.smoothing == smoothing


class LastState(nn.Module):
    def __init__(self, nonlinearity, gain):
        super().__init__()
        self.cell = nn.RNN(4, 16, nonlinearity=nonlinearity, batch_first=True)
        self.head = nn.Linear(16, 1)
        with torch.no_grad():
            self.cell.weight_hh_l0.copy_(gain * torch.eye(16))

    def forward(self, x):
        return self.head(self.cell(x)[0][:, -1])


@pytest.mark.parametrize(
    ("nonlinearity", "gain", "told"),
    [("relu", 2.5, True), ("relu", 0.7, False), ("tanh", 9, False)],
)
def test_a_state_that_grows_with_the_time_steps_explodes(nonlinearity, gain, told):
    x = torch.randn(64, 25, 4)
    model = LastState(nonlinearity, gain)
    found = named(trained(model, x, x[:, 0, :1], nn.MSELoss()), "exploding_activation")
    assert (found is not None) is told
    if told:
        assert found.modules == ("cell",)
        assert "output_scale" in {f.rule for f in found.consequences}


def test_a_module_replaced_after_the_optimizer_was_made_is_not_a_head_trained_alone():
    x, y = line()
    replaced, alone = mlp(), mlp()
    optimizer = torch.optim.Adam(replaced.parameters(), 0.02)
    replaced[0] = nn.Linear(10, 24)
    found = named(trained(replaced, x, y, nn.MSELoss(), optimizer=optimizer), "frozen")
    assert found.severity != "info"
    assert "replaced" in found.explanation
    head = torch.optim.Adam(alone[2].parameters(), 0.02)
    assert named(trained(alone, x, y, nn.MSELoss(), optimizer=head), "frozen").severity == "info"


class Listed(nn.Module):
    def __init__(self, trains=True):
        super().__init__()
        self.layers = [nn.Linear(10, 24).requires_grad_(trains)]
        self.head = nn.Linear(24, 1)

    def forward(self, x):
        return self.head(self.layers[0](x).relu())


def test_layers_in_a_list_of_pythons_are_in_no_optimizer():
    x, y = line()
    found = named(trained(Listed(), x, y, nn.MSELoss(), steps=12), "frozen")
    assert found.severity != "info"
    assert found.evidence["parameters"] == ["layers[0].weight", "layers[0].bias"]
    assert named(trained(Listed(trains=False), x, y, nn.MSELoss(), steps=12), "frozen") is None
    stepped = Listed()
    optimizer = torch.optim.Adam([*stepped.parameters(), *stepped.layers[0].parameters()], 0.01)
    assert named(trained(stepped, x, y, nn.MSELoss(), optimizer=optimizer), "frozen") is None


@pytest.mark.parametrize(("p", "told"), [(0.97, True), (0.5, False)])
def test_a_dropout_that_leaves_next_to_nothing_is_told(p, told):
    x, _ = line(256)
    model = nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Dropout(p), nn.Linear(64, 1))
    found = named(trained(model, x, torch.randn(256, 1), nn.MSELoss()), "dropout")
    assert (found is not None) is told
    if told:
        assert found.modules == ("2",)
        assert found.since == 1
        assert found.evidence["worst_share"] == pytest.approx(p, abs=0.02)


def test_what_is_dropped_in_eval_mode_is_nothing():
    model = nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Dropout(0.97), nn.Linear(64, 1)).eval()
    assert named(trained(model, *line(), nn.MSELoss()), "dropout") is None


def test_steps_that_together_change_no_weight_are_too_small():
    x, y = line()
    slow = torch.optim.SGD((model := mlp()).parameters(), 2e-5)
    assert named(trained(model, x, y, nn.MSELoss(), optimizer=slow), "learning_rate_low")
    # Whoever is where it was to come may take small steps there.
    done = mlp()
    with torch.no_grad():
        y = done(x) + 0.01 * torch.randn(64, 1)
    slow = torch.optim.SGD(done.parameters(), 2e-3)
    assert named(trained(done, x, y, nn.MSELoss(), optimizer=slow), "learning_rate_low") is None


class Masked(nn.Module):
    def __init__(self, rows):
        super().__init__()
        self.scores, self.mask, self.head = nn.Linear(10, 6), Mask(rows), nn.Linear(6, 1)

    def forward(self, x):
        return self.head(self.mask(self.scores(x)).softmax(-1))


class Mask(nn.Module):
    def __init__(self, upto):
        super().__init__()
        self.register_buffer("hidden", torch.arange(6) >= upto)

    def forward(self, x):
        return x.masked_fill(self.hidden, float("-inf"))


def test_minus_infinities_of_a_mask_are_told_only_if_something_comes_of_them():
    x, y = line()
    assert named(trained(Masked(3), x, y, nn.MSELoss()), "nonfinite") is None
    found = named(trained(Masked(0), x, y, nn.MSELoss()), "nonfinite")  # a softmax of nothing
    assert found.modules == ("mask",)


def test_minus_infinities_are_not_told_late_either():
    model = Masked(3)
    x, y = line()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watch(model, optimizer, every=1, to=":memory:") as probe:
        for _ in range(10):
            optimizer.zero_grad()
            probe._recorder.modules.checks = False  # as where following calls is too dear
            value = F.mse_loss(model(x), y)
            value.backward()
            optimizer.step()
            probe.step(value)
    assert named(probe.findings(), "nonfinite") is None


@pytest.mark.parametrize(("bound", "told"), [(nn.Tanh, True), (nn.Sigmoid, True), (nn.ReLU, False)])
def test_logits_that_are_bounded_are_told_with_the_loss_that_is_left(bound, told):
    x = torch.randn(64, 10)
    y = (x[:, 0] > 0).long()
    found = trained(nn.Sequential(mlp(2), bound()), x, y, nn.CrossEntropyLoss())
    assert (named(found, "wrong_loss") is not None) is told
    if bound is nn.Tanh:
        assert "below 0.127" in named(found, "wrong_loss").explanation  # ln(1 + e⁻²)
