"""Several ranks of one training: in two real processes, and without any."""

from __future__ import annotations

import json

import pytest
import torch
from torch import distributed, multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

import layerscope
from layerscope.engine.probe.ranks import Ranks
from layerscope.engine.probe.step import Quantity
from layerscope.engine.probe.watch import watch
from layerscope.engine.statistics import statistics
from layerscope.engine.store import open_store
from tests.trainings import data

STEPS, RANKS = 4, 2


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))


def share(number, rank):
    return data(10 * number + rank, 5 + rank, 4)


def trained(rank, *, wrapped=True, called=None, **options):
    """A rank's part of a training; ``called`` is what its loop calls, the wrapper where None."""
    model = network()
    whole = DistributedDataParallel(model) if wrapped else model
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watch(whole, optimizer, every=1, **options) as probe:
        for number in range(STEPS):
            optimizer.zero_grad()
            loss = (called or (lambda whole: whole))(whole)(share(number, rank)).square().mean()
            loss.backward()
            optimizer.step()
            probe.step(loss)
    assert probe.error is None, probe.error
    return probe


def work(rank, folder):
    """One of two processes."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=RANKS
    )
    to = folder / "runs.db"
    for name, called in (("equal", None), ("apart", lambda whole: whole.module)):
        trained(rank, called=called, to=to, name=name)

    from torch.distributed.fsdp import fully_shard

    model = network()
    fully_shard(model, mesh=distributed.init_device_mesh("cpu", (RANKS,)))
    refused = ""
    try:
        watch(model, to=":memory:")
    except TypeError as error:
        refused = str(error)
    (folder / f"refused{rank}.json").write_text(json.dumps(refused))
    distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_record_apart_and_are_read_together(tmp_path):
    multiprocessing.spawn(work, (tmp_path,), nprocs=RANKS)
    to = tmp_path / "runs.db"
    store = open_store(to)
    configs = {run.name: store.run(run.id).config for run in store.runs()[0]}
    store.close()
    names = {(kind, rank): f"{kind}, rank {rank} of {RANKS}"
             for kind in ("equal", "apart") for rank in range(RANKS)}  # fmt: skip
    assert set(configs) == set(names.values())
    for (_, rank), name in names.items():
        assert (configs[name]["rank"], configs[name]["ranks"]) == (rank, RANKS)

    equal = layerscope.Ranks.of_runs([names["equal", 0], names["equal", 1]], to)
    assert equal.numbers == [1, 2, 3, 4]
    assert equal.findings() == []
    for number in equal.numbers:
        one, other = equal.of(number)
        together = equal.merged(number)
        assert one.of(0, Quantity.ACTIVATION) != other.of(0, Quantity.ACTIVATION)
        assert together.of(0, Quantity.INPUT).count == (5 + 6) * 4
        # What the ranks average is no clipping.
        assert Quantity.UNCLIPPED not in {slot.quantity for slot in one.slots}

    (finding,) = Ranks.of_runs([names["apart", 0], names["apart", 1]], to).findings()
    assert (finding.rule, finding.severity, finding.since) == ("ranks_apart", "error", 2)
    assert finding.modules == ("module.0", "module.2")
    assert finding.evidence["gradients_differ_since"] == 1
    assert "not averaged" in finding.explanation

    for rank in range(RANKS):
        refused = json.loads((tmp_path / f"refused{rank}.json").read_text())
        assert refused.startswith("model: expected whole parameters, got parts of them")


def alone():
    """Two ranks in one process, whose gradients nobody averages."""
    probes = [trained(rank, wrapped=False, to=":memory:") for rank in range(RANKS)]
    return probes, Ranks(probes[0].facts(), [probe.steps() for probe in probes])


def test_ranks_merge_to_what_one_would_have_seen():
    _, ranks = alone()
    model = network()
    both = torch.cat([share(0, rank) for rank in range(RANKS)])
    together = ranks.merged(1)
    expected = {
        (0, Quantity.INPUT): both, (0, Quantity.ACTIVATION): model[0](both),
        (1, Quantity.ACTIVATION): model[:2](both), (2, Quantity.ACTIVATION): model(both),
    }  # fmt: skip
    for (index, quantity), tensor in expected.items():
        found, whole = together.of(index, quantity), statistics(tensor)
        assert (found.count, found.zeros, found.finite) == (whole.count, whole.zeros, whole.finite)
        assert found.histogram == whole.histogram
        assert (found.min, found.max) == (whole.min, whole.max)
        assert found.mean == pytest.approx(whole.mean, rel=1e-6)
        assert found.std == pytest.approx(whole.std, rel=1e-6)
    assert [module.calls for module in together.modules] == [RANKS] * 3
    assert together.loss == pytest.approx(sum(step.loss for step in ranks.of(1)) / RANKS)
    assert together.of(0, Quantity.VALUE) == statistics(model[0].weight)
    assert type(together).from_bytes(together.to_bytes()).slots == together.slots


def test_parameters_that_are_equal_are_no_finding_and_others_are_from_their_step_on():
    probes, ranks = alone()
    facts, steps = probes[0].facts(), probes[0].steps()
    assert Ranks(facts, [steps, steps, steps]).findings() == []
    (finding,) = ranks.findings()
    assert (finding.since, finding.evidence["gradients_differ_since"]) == (2, 1)
    assert finding.evidence["parameters"][0] == "0.weight"


def test_what_began_apart_and_is_averaged_since_is_told_so():
    probes, _ = alone()
    facts, steps = probes[0].facts(), probes[0].steps()
    others = [type(step).from_bytes(step.to_bytes()) for step in steps]
    for step in others:
        place = step.slots.index(next(s for s in step.slots if s.quantity is Quantity.VALUE))
        step.statistics[place] = statistics(torch.ones(8, 4))
    (finding,) = Ranks(facts, [steps, others]).findings()
    assert (finding.since, finding.evidence["gradients_differ_since"]) == (1, None)
    assert "began apart" in finding.explanation


def test_the_parameter_that_is_named_is_one_that_differed_first():
    """In one of three ranks, and the last module before the first."""
    probes, _ = alone()
    facts, steps = probes[0].facts(), probes[0].steps()
    odd = [type(step).from_bytes(step.to_bytes()) for step in steps]
    apart = {(2, 1): 2, (0, 0): 3}  # module, parameter: since which step
    for step in odd:
        for place, slot in enumerate(step.slots):
            since = apart.get((slot.module, slot.parameter))
            if slot.quantity is Quantity.VALUE and since is not None and step.number >= since:
                step.statistics[place] = statistics(torch.full((3,), 7.0))
    (finding,) = Ranks(facts, [steps, odd, steps]).findings()
    assert finding.since == 2
    assert finding.explanation.startswith("In step 2 2.bias is not the same in all ranks.")
    assert finding.title == "2 parameters differ between 3 ranks"


def test_ranks_without_a_step_in_common_are_refused():
    probes, _ = alone()
    steps = probes[0].steps()
    with pytest.raises(ValueError, match="expected steps that all have recorded, got none"):
        Ranks(probes[0].facts(), [steps[:2], steps[2:]])
    with pytest.raises(ValueError, match="expected the steps of two or more, got 1"):
        Ranks(probes[0].facts(), [steps])
    with pytest.raises(KeyError):
        Ranks(probes[0].facts(), [steps, steps]).merged(9)
