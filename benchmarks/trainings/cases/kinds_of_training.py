"""Healthy trainings of kinds of their own: graphs, generators, policies, teachers, experts."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import LambdaLR

from benchmarks.trainings import data
from benchmarks.trainings.case import Training, healthy
from benchmarks.trainings.models import Encoder, Graph, UNet, mlp, transformer

__all__: list[str] = []


@healthy("graph")
def graph_of_means() -> Training:
    """Three layers with skips over a graph"""
    x, y, near = data.graphs()
    model = Graph(near / near.sum(1, keepdim=True))
    return Training(model, x, y, nn.CrossEntropyLoss(), Adam(model.parameters(), 0.005), steps=100)


@healthy("cnn")
def unet_of_squares() -> Training:
    """A U-Net finds bright squares"""
    model = UNet()
    return Training(
        model, *data.squares(), nn.CrossEntropyLoss(), Adam(model.parameters(), 0.003), steps=50,
        batch=16,
    )  # fmt: skip


@healthy("autoencoder")
def variational_autoencoder() -> Training:
    """Noise in the code, and a divergence that costs a little"""
    x, _ = data.low_rank()
    model = Encoder()

    def loss(output: Tensor, x: Tensor) -> Tensor:
        made, mean, spread = output.split([24, 4, 4], 1)
        apart = -0.5 * (1 + spread - mean.square() - spread.exp()).sum(1).mean()
        return F.mse_loss(made, x) + 0.01 * apart

    return Training(model, x, x.clone(), loss, Adam(model.parameters(), 0.005), steps=120)


@healthy("mlp")
def target_network_that_asks_for_gradients() -> Training:
    """A target network in the model, in no optimiser, called without gradients and copied to"""
    net, target = mlp(2, features=4), mlp(2, features=4)
    model = nn.ModuleDict({"net": net, "target": target})
    x = torch.randn(256, 4)
    reward = torch.stack([x[:, 0], -x[:, 1]], 1)
    later = torch.randn(256, 4)

    def each(number: int) -> None:
        if number % 20 == 0:
            target.load_state_dict(net.state_dict())

    def loss(output: Tensor, given: Tensor) -> Tensor:
        with torch.no_grad():
            best = target(given[:, 2:]).amax(1, keepdim=True)
        return F.smooth_l1_loss(output, given[:, :2] + 0.5 * best)

    return Training(
        model, x, torch.cat([reward, later], 1), loss, Adam(net.parameters(), 0.003), each=each,
        steps=120, forward=net, measure=lambda output, given: loss(output, given),
    )  # fmt: skip


@healthy("rnn")
def state_warmed_up_without_gradients() -> Training:
    """A cell's first six moments bring its state there, and only the last four are trained"""
    cell, head = nn.GRUCell(4, 24), nn.Linear(24, 1)
    x, _ = data.sequences(10)

    def forward(x: Tensor) -> Tensor:
        state = x.new_zeros(len(x), 24)
        for place, moment in enumerate(x.unbind(1)):
            with torch.set_grad_enabled(torch.is_grad_enabled() and place >= 6):
                state = cell(moment, state)
        return head(state)

    model = nn.ModuleList([cell, head])
    return Training(
        model, x, x[:, -3:, :1].sum(1) / 2, nn.MSELoss(), Adam(model.parameters(), 0.01),
        forward=forward, steps=100,
    )  # fmt: skip


@healthy("rnn")
def played_three_times_trained_once() -> Training:
    """An LSTM chooses without gradients before every step that trains it"""
    cell, head = nn.LSTM(4, 16, batch_first=True), nn.Linear(16, 2)
    model = nn.ModuleList([cell, head])
    x = torch.randn(256, 6, 4)

    def forward(x: Tensor) -> Tensor:
        return head(cell(x)[0][:, -1])

    def each(_: int) -> None:
        with torch.no_grad():
            for _ in range(3):
                forward(x[torch.randint(256, (64,))])

    return Training(
        model, x, torch.stack([x[:, -1, 0], -x[:, -1, 1]], 1), nn.SmoothL1Loss(),
        Adam(model.parameters(), 0.01), forward=forward, each=each, steps=100,
    )  # fmt: skip


@healthy("mlp")
def second_loss_from_the_middle_on() -> Training:
    """The loss of an auxiliary head weighs nothing in the first half"""
    body, heads = mlp()[:4], nn.ModuleList([nn.Linear(32, 1), nn.Linear(32, 1)])
    model, weight = nn.ModuleList([body, heads]), [0.0]
    x, y = data.regression()

    def each(number: int) -> None:
        weight[0] = 0.3 * (number >= 60)

    def loss(output: Tensor, y: Tensor) -> Tensor:
        more = weight[0] * F.mse_loss(output[:, 1:], y[:, 1:])
        return F.mse_loss(output[:, :1], y[:, :1]) + more

    return Training(
        model, x, torch.cat([y, x[:, 4:5]], 1), loss, Adam(model.parameters(), 0.01), each=each,
        steps=120, forward=lambda x: torch.cat([head(body(x)) for head in heads], 1),
        measure=lambda output, y: F.mse_loss(output[:, :1], y[:, :1]),
    )  # fmt: skip


@healthy("transformer", learnable=False)
def first_hundredth_of_a_long_warm_up() -> Training:
    """120 steps of a warm-up over ten thousand"""
    model = transformer()
    optimizer = AdamW(model.parameters(), 1e-4)
    schedule = LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 10_000))
    first = iter([lambda: None])
    return Training(
        model, *data.tokens(), nn.CrossEntropyLoss(), optimizer, steps=120,
        limit=lambda: next(first, schedule.step)(),
    )  # fmt: skip


@healthy("mlp")
def outputs_around_a_hundred() -> Training:
    """Outputs that are alike but for some percent, by a loss of one's own"""
    model = mlp(4)
    nn.init.constant_(model[-1].bias, 100.0)
    x, _ = data.regression()
    return Training(
        model, x, 100 + x[:, :4], lambda output, y: (output - y).square().mean(),
        Adam(model.parameters(), 0.005), steps=100,
    )  # fmt: skip


@healthy("mlp", learnable=False)
def values_of_a_constant_reward() -> Training:
    """Two values, both 1 but for noise, by a loss of one's own"""
    model = mlp(2)
    x, _ = data.regression()
    y = 1 + 0.3 * torch.randn(256, 2)
    return Training(
        model, x, y, lambda output, y: (output - y).abs().mean(), Adam(model.parameters(), 0.003),
        steps=120,
    )  # fmt: skip


@healthy("mlp")
def generator_and_its_critic() -> Training:
    """Two networks that play against each other, each with an optimiser of its own"""
    maker, critic = mlp(2, features=4), mlp(1, features=2)
    x = torch.tensor([2.0, -1.0]) + 0.5 * torch.randn(256, 2)
    of_critic = Adam(critic.parameters(), 0.002, betas=(0.5, 0.9))

    def each(_: int) -> None:
        real, made = x[torch.randint(256, (64,))], maker(torch.randn(64, 4)).detach()
        of_critic.zero_grad()
        (F.softplus(-critic(real)) + F.softplus(critic(made))).mean().backward()
        of_critic.step()

    return Training(
        maker, torch.randn(256, 4), x, lambda made, _: F.softplus(-critic(made)).mean(),
        Adam(maker.parameters(), 0.002, betas=(0.5, 0.9)), each=each, steps=200,
        measure=lambda made, x: (made.mean(0) - x.mean(0)).norm(),
    )  # fmt: skip


@healthy("mlp")
def noise_told_from_points() -> Training:
    """A small diffusion model: the noise in what is seen at a random time"""
    model = mlp(2, features=3, hidden=64, act=nn.SiLU)
    points = 0.1 * torch.randn(256, 2) + torch.randn(256, 2).sign()
    noise, time = torch.randn(256, 2), torch.rand(256, 1)
    seen = (1 - time).sqrt() * points + time.sqrt() * noise
    return Training(
        model, torch.cat([seen, time], 1), noise, nn.MSELoss(), Adam(model.parameters(), 0.003),
        steps=150,
    )  # fmt: skip


class _Chosen(nn.Module):
    """One of sixteen symbols, drawn; the gradient goes through its chances."""

    def forward(self, x: Tensor) -> Tensor:
        return F.gumbel_softmax(x, 0.7, hard=True)


@healthy("mlp")
def symbols_drawn_by_chance() -> Training:
    """A hard choice in the middle, through which a gradient goes"""
    model = nn.Sequential(
        nn.Linear(10, 16), _Chosen(), nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 1)
    )
    return Training(
        model, *data.regression(), nn.MSELoss(), Adam(model.parameters(), 0.01), steps=200
    )


class _Three(nn.Module):
    """The quantile loss of a tenth, a half and nine tenths."""

    def forward(self, output: Tensor, y: Tensor) -> Tensor:
        share, off = torch.tensor([0.1, 0.5, 0.9]), y - output
        return torch.maximum(share * off, (share - 1) * off).mean()


@healthy("mlp")
def three_quantiles_of_one_number() -> Training:
    """Three outputs of a sample are held against the same number, each in its own way"""
    model = mlp(3)
    return Training(model, *data.regression(), _Three(), Adam(model.parameters(), 0.005), steps=120)


@healthy("mlp")
def policy_that_weighs_nothing_yet() -> Training:
    """A value is learned, and a policy beside it is called and multiplied by zero"""
    body, policy, value = mlp(8, features=4), nn.Linear(8, 3), nn.Linear(8, 1)
    model = nn.ModuleList([body, policy, value])
    x = torch.randn(256, 4)

    def forward(x: Tensor) -> Tensor:
        hidden = body(x)
        return value(hidden) + 0 * policy(hidden).sum()

    return Training(
        model, x, 1.5 * x[:, :1] + x[:, 1:2], nn.MSELoss(), Adam(model.parameters(), 0.005),
        forward=forward, steps=100,
    )  # fmt: skip


@healthy("rnn")
def cell_over_a_set() -> Training:
    """A cell is called for each of five things from the same state, and all of it is added up"""
    cell, head = nn.GRUCell(4, 16), nn.Linear(16, 1)
    model = nn.ModuleList([cell, head])
    x, _ = data.sequences(5)
    return Training(
        model, x, x[:, :, :1].tanh().sum(1), nn.MSELoss(), Adam(model.parameters(), 0.01),
        forward=lambda x: head(sum(cell(each) for each in x.unbind(1))), steps=100,
    )  # fmt: skip


@healthy("mlp")
def steps_there_and_back() -> Training:
    """Sharpness-aware: the gradient of where a first one leads, and the weights moved back"""
    model = mlp(3)
    x, y = data.classes()
    places: list[Tensor] = []

    def limit() -> None:
        grads = [p.grad.clone() for p in model.parameters()]
        size = torch.stack([g.norm() for g in grads]).norm()
        with torch.no_grad():
            places[:] = [0.05 * g / size for g in grads]
            for p, by in zip(model.parameters(), places, strict=True):
                p.add_(by)
        model.zero_grad()
        F.cross_entropy(model(x[:64]), y[:64]).backward()
        with torch.no_grad():
            for p, by in zip(model.parameters(), places, strict=True):
                p.sub_(by)

    return Training(
        model, x, y, nn.CrossEntropyLoss(), SGD(model.parameters(), 0.1, momentum=0.9),
        limit=limit,
    )  # fmt: skip
