"""A loss that is given something else than it expects, and who does the like on purpose."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from layerscope.engine.probe.watch import watch
from tests.faults import accused, data, mlp, train


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def told(model, x, y, loss, lr=0.01, **others):
    """What is said of the loss, in a training by Adam."""
    optimizer = torch.optim.Adam(model.parameters(), lr)
    found = train(model, x, y, loss=loss, optimizer=optimizer, **others)
    return next((f for f in found if f.rule == "wrong_loss"), None)


def test_a_sigmoid_before_a_loss_that_takes_logits():
    x, y = data("classes")
    y = (y > 1).float()[:, None]

    def findings(*last):
        torch.manual_seed(0)
        model = nn.Sequential(*mlp(), *last)
        optimizer = torch.optim.Adam(model.parameters(), 0.01)
        return train(model, x, y, loss=nn.BCEWithLogitsLoss(), optimizer=optimizer)

    assert accused(findings(nn.Sigmoid())) == {"wrong_loss"}
    assert accused(findings()) == set()


def test_probabilities_where_a_divergence_takes_their_logarithms():
    x, _ = data()
    y = torch.randn(64, 4).softmax(1)
    loss = nn.KLDivLoss(reduction="batchmean")
    found = told(nn.Sequential(*mlp(4), nn.Softmax(1)), x, y, loss)
    assert "takes logarithms" in found.title
    assert "log_softmax" in found.fix["code"]
    right = nn.Sequential(*mlp(4), nn.LogSoftmax(1))
    assert told(right, x, y, loss) is None

    def kl_div(output, target):  # of another order, whatever its name
        return (output * (output.clamp_min(1e-6).log() - target.log())).sum(1).mean()

    assert told(nn.Sequential(*mlp(4), nn.Softmax(1)), x, y, kl_div) is None


def test_logits_that_are_all_alike_between_0_and_1_are_no_probabilities():
    x, y = data("classes")
    model = mlp()
    nn.init.constant_(model[2].bias, -50.0)
    nn.init.constant_(model[4].bias, 0.3)
    assert told(model, x, (y > 1).float()[:, None], nn.BCEWithLogitsLoss(), steps=12) is None
    model = mlp()  # a sigmoid that is a function, and no module
    y = (y > 1).float()[:, None]
    assert told(model, x, y, nn.BCEWithLogitsLoss(), forward=lambda x: model(x).sigmoid())


def test_a_bias_of_the_classes_odds_is_no_sigmoid():
    x, _ = data("classes")
    y = (torch.rand(len(x), 1, generator=torch.Generator().manual_seed(0)) < 0.62).float()
    model = mlp()
    nn.init.normal_(model[4].weight, std=0.02)
    nn.init.constant_(model[4].bias, 0.49)
    assert told(model, x, y, nn.BCEWithLogitsLoss(), lr=3e-4, steps=60) is None


def test_a_logarithm_of_a_little_more_than_1_is_one():
    x, y = data("classes")
    model = mlp(3)
    with torch.no_grad():
        model[4].weight.mul_(30)

    def logarithm(x):
        return (model(x).softmax(1) + 1e-6).log()

    assert told(model, x, y, nn.NLLLoss(), forward=logarithm) is None


@pytest.mark.filterwarnings("ignore:Using a target size")
def test_one_number_asked_of_all_outputs_is_told_of_pytorchs_losses_alone():
    x, y = data()
    found = told(mlp(3), x, y, nn.MSELoss(), lr=0.0)
    assert found.severity == "error"
    assert found.evidence["target_shape"] == [64, 1]

    def mse_loss(output, target):  # a pinball loss, whatever its name
        q = torch.tensor([0.1, 0.5, 0.9])
        return torch.maximum(q * (target - output), (q - 1) * (target - output)).mean()

    assert told(mlp(3), x, y, mse_loss) is None


@pytest.mark.filterwarnings("ignore:Using a target size")
def test_numbers_of_classes_are_asked_by_mistake_and_a_quantity_of_an_ensemble():
    x, y = data("classes")
    assert told(mlp(3), x, y[:, None].float(), nn.MSELoss()).severity == "error"
    assert told(mlp(3), *data(), nn.MSELoss()).severity == "info"


@pytest.mark.filterwarnings("ignore:Using a target size")
def test_a_label_for_a_whole_map_or_batch_is_no_column():
    x, y = torch.randn(64, 1, 8, 8), (torch.arange(64) % 2).float().view(-1, 1, 1, 1)
    critic = nn.Sequential(nn.Conv2d(1, 8, 3), nn.LeakyReLU(0.2), nn.Conv2d(8, 1, 3))
    assert told(critic, x + 1.5 * y, y, nn.MSELoss()) is None
    assert told(mlp(), data()[0], torch.ones(1, 1), nn.MSELoss()) is None


@pytest.mark.filterwarnings("ignore:Using a target size")
def test_who_takes_the_axis_away_in_a_loss_of_their_own_does_not_broadcast():
    x, y = data()
    assert told(mlp(), x, y[:, 0], lambda o, t: (o[:, 0] - t).square().mean()) is None
    found = told(mlp(), x, y[:, 0], lambda o, t: (o - t).square().mean())
    assert found.severity == "error"
    assert "(64, 64) pairs" in found.explanation


def test_a_cross_entropy_of_the_users_may_take_probabilities():
    def cross_entropy(chances, y):
        return -chances.gather(1, y[:, None]).log().mean()

    x, y = data("classes")
    model = nn.Sequential(mlp(3), nn.Softmax(1))
    assert told(model, x, y, cross_entropy) is None
    assert told(model, x, y, F.cross_entropy) is not None


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
    found = told(nn.Sequential(mlp(3), Softmax(0, logarithm)), x, y, loss)
    assert "over the batch" in found.title
    assert found.severity == "error"
    if logarithm:
        assert told(nn.Sequential(mlp(3), Softmax(1, logarithm)), x, y, loss) is None


class Similar(nn.Module):
    """Each sample against the first ``others``, and the choice among samples."""

    def __init__(self, others):
        super().__init__()
        self.one, self.other, self.others = nn.Linear(10, 16), nn.Linear(10, 16), others

    def forward(self, x):
        one, other = F.normalize(self.one(x)), F.normalize(self.other(x[: self.others]))
        return (one @ other.T / 0.1).log_softmax(0)[: self.others]


def test_samples_that_are_told_from_one_another_are_no_mistake():
    x = torch.randn(64, 10)
    assert told(Similar(64), x, torch.arange(64), nn.NLLLoss(), steps=60) is None

    class All(Similar):
        def forward(self, x):
            one, other = F.normalize(self.one(x)), F.normalize(self.other(x[: self.others]))
            return (one @ other.T / 0.1).log_softmax(0)

    def first(output, y):
        return F.nll_loss(output[:32], y)

    class First(nn.NLLLoss):
        forward = staticmethod(first)

    assert told(All(32), x, torch.arange(32), First(), steps=60) is None


@pytest.mark.parametrize(("smoothing", "found"), [(1.0, True), (0.2, False)])
def test_labels_that_are_smoothed_away_are_told(smoothing, found):
    loss = nn.CrossEntropyLoss(label_smoothing=smoothing)
    assert (told(mlp(3), *data("classes"), loss) is not None) is found


@pytest.mark.parametrize(
    ("bound", "found"), [(nn.Tanh, True), (nn.Sigmoid, True), (nn.ReLU, False)]
)
def test_logits_that_are_bounded_are_told_with_the_loss_that_is_left(bound, found):
    x = torch.randn(64, 10)
    y = (x[:, 0] > 0).long()
    finding = told(nn.Sequential(mlp(2), bound()), x, y, nn.CrossEntropyLoss())
    assert (finding is not None) is found
    if bound is nn.Tanh:
        assert "below 0.127" in finding.explanation  # ln(1 + e⁻²)


class Capped(nn.Module):
    def __init__(self, cap):
        super().__init__()
        self.body, self.bound, self.cap = mlp(3), nn.Tanh(), cap
        with torch.no_grad():
            self.body[-1].weight.mul_(0.1)  # all logits are small at first

    def forward(self, x):
        return self.cap * self.bound(self.body(x) / self.cap)


class Tied(nn.Module):
    def __init__(self, std):
        super().__init__()
        self.embedding, self.body, self.bound = nn.Embedding(20, 24), nn.Linear(24, 24), nn.Tanh()
        nn.init.normal_(self.embedding.weight, 0, std)

    def forward(self, x):
        return F.linear(self.bound(self.body(self.embedding(x))), self.embedding.weight)


@pytest.mark.parametrize("steps", [12, 60])
@pytest.mark.parametrize("model", [lambda: Capped(30.0), lambda: Tied(0.02), lambda: Tied(1.0)])
def test_what_is_multiplied_behind_its_bound_is_not_bounded_by_it(model, steps):
    x, y = data("classes")
    model = model()
    x, y = (
        (x, y)
        if isinstance(model, Capped)
        else (torch.arange(64) % 20, (torch.arange(64) + 3) % 20)
    )
    assert told(model, x, y, nn.CrossEntropyLoss(), steps=steps) is None


def test_no_floor_is_stated_that_the_loss_has_gone_below():
    """A loss that is given by the user as a share of what it is."""
    x, y = data("classes")
    model, found = nn.Sequential(mlp(3), nn.Tanh()), []
    floor = math.log1p(2 * math.exp(-2))
    for share in (1.0, 0.01):
        optimizer = torch.optim.Adam(model.parameters(), 0.01)
        with watch(model, optimizer, loss=nn.CrossEntropyLoss(), every=1, to=":memory:") as probe:
            for _ in range(20):
                optimizer.zero_grad()
                value = share * probe.loss(model(x), y)
                value.backward()
                optimizer.step()
                probe.step(value)
        found.append([f for f in probe.findings() if f.rule == "wrong_loss"])
    assert value < floor
    assert f"below {floor:.3g}" in found[0][0].explanation
    assert found[1] == []


def unheard(model, x, y, loss):
    """What is found where the loss is called as a function, and given to ``step`` alone."""
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    return train(model, x, y, loss=loss, optimizer=optimizer, heard=False, steps=60)


@pytest.mark.parametrize(
    ("last", "loss", "words"),
    [
        (nn.Softmax(1), F.cross_entropy, "is given probabilities; it takes logits"),
        (nn.Sigmoid(), F.cross_entropy, "is bounded by sigmoid"),
        (nn.Tanh(), F.cross_entropy, "is bounded by tanh"),
        (nn.Identity(), F.nll_loss, "what a linear layer gives; it takes logarithms"),
        (nn.Softmax(1), F.nll_loss, "what softmax gives; it takes logarithms"),
    ],
)
def test_a_loss_that_is_called_elsewhere_is_known_by_its_graph(last, loss, words):
    x, y = data("classes")
    (found,) = [
        f for f in unheard(nn.Sequential(*mlp(3), last), x, y, loss) if f.rule == "wrong_loss"
    ]
    assert words in found.title
    assert found.severity != "info"
    assert found.since == 1
    fine = F.cross_entropy if loss is F.nll_loss else loss
    assert accused(unheard(mlp(3), x, y, fine)) == set()


def test_a_column_against_a_row_by_hand():
    x, y = data()
    found = unheard(mlp(), x, y[:, 0], lambda a, b: ((a - b) ** 2).mean())
    assert found[0].title == "The target broadcasts against the output: (64, 1) gives (64, 64)"
    assert found[0].severity == "error"
    assert accused(unheard(mlp(), x, y, lambda a, b: ((a - b) ** 2).mean())) == set()


def test_equal_chances_are_what_an_unheard_cross_entropy_is_held_against():
    x, y = data("classes")
    (found,) = train(mlp(3), x, y, loss=F.cross_entropy, lr=1e-5, heard=False, steps=120)
    assert found.rule == "learning_rate_low"
    assert found.evidence["constant_loss"] == pytest.approx(math.log(3))


@pytest.mark.parametrize(
    ("loss", "faulty", "words"),
    [
        (nn.BCEWithLogitsLoss(), lambda y: 16 * y, "targets from 0 to 16; it takes chances"),
        (nn.BCEWithLogitsLoss(), lambda y: 2 * y - 1, "targets from −1 to 1; it takes chances"),
        (nn.SoftMarginLoss(), lambda y: y, "targets from 0 to 1; it takes −1 and 1"),
    ],
)
def test_targets_beyond_what_a_loss_takes(loss, faulty, words):
    x, y = data("classes")
    y = (y > 1).float()[:, None]
    found = told(mlp(), x, faulty(y), loss)
    assert words in found.title.replace("-", "−")
    right = 2 * y - 1 if isinstance(loss, nn.SoftMarginLoss) else y
    assert told(mlp(), x, right, loss) is None


def test_a_rectifier_behind_the_last_layer():
    x, y = data()
    found = told(nn.Sequential(*mlp(), nn.ReLU()), x, y, nn.MSELoss(), steps=120)
    assert "bounds the output to 0 upwards" in found.title
    assert told(nn.Sequential(*mlp(), nn.ReLU()), x, y.abs(), nn.MSELoss(), steps=120) is None
    x, y = data("classes")
    model = nn.Sequential(*mlp(3), nn.ReLU())
    with torch.no_grad():
        model[4].bias.copy_(torch.tensor([0.0, -3.0, -3.0]))  # two classes are out of reach
    assert "cut off" in told(model, x, y, nn.CrossEntropyLoss()).title


def test_a_loss_turned_round_falls_without_end():
    torch.manual_seed(0)
    model = mlp(3)
    finding = told(
        model, *data("classes"), lambda output, y: -F.cross_entropy(output, y), steps=80, lr=0.3
    )
    assert finding is not None
    assert finding.title == "The loss falls without end"
    assert finding.evidence["grown"] > finding.threshold["grown"]


def test_a_loss_below_zero_that_has_an_end_is_left_alone():
    """A likelihood of a density: it is below zero where that is narrow, and stays there."""
    torch.manual_seed(0)
    x, y = data()

    def likelihood(output, y):
        return ((output - y) / 0.05).pow(2).mean() / 2 + math.log(0.05)

    assert told(mlp(), x, y, likelihood, steps=80, lr=1e-4) is None


@pytest.mark.parametrize(("end", "told_of"), [(nn.Sigmoid, True), (nn.Tanh, True), (None, False)])
def test_targets_beyond_what_an_activation_gives(end, told_of):
    torch.manual_seed(0)
    x, y = data()
    model = mlp() if end is None else nn.Sequential(mlp(), end())
    finding = told(model, x, 3 * y, nn.MSELoss(), steps=60, lr=0.002)
    assert (finding is not None) is told_of
    if told_of:
        assert f"{end.__name__.lower()} bounds the output" in finding.title
