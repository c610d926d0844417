"""The corpus of real trainings: what is published is about it, and it is what it says."""

from __future__ import annotations

import math
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from benchmarks.trainings import cases as _registered  # noqa: F401  fills the registry
from benchmarks.trainings.beside import counted, heard, told
from benchmarks.trainings.case import CASES, Case, Training, pair
from benchmarks.trainings.evaluate import totals, wrong
from benchmarks.trainings.peers import PEERS, Peer
from benchmarks.trainings.running import accused, carried_out
from layerscope.engine.diagnosis import RULES
from layerscope.engine.probe.evaluation import evaluation
from layerscope.engine.probe.rules import TRAINING_RULES

REFRESH = "run `python -m benchmarks.trainings --write`"


def test_the_published_table_names_exactly_the_corpus_cases():
    published = {
        row["name"]: (row["kind"], row["title"], row["held_out"], row["rule"])
        for row in evaluation()["cases"]
    }
    today = {
        c.name: (c.kind, c.title, c.held_out, c.rules[0] if c.rules else None)
        for c in CASES.values()
    }
    assert published == today, REFRESH


def test_the_published_rates_are_those_of_the_published_cases():
    table = evaluation()
    assert totals(table["cases"], table["seeds"]) == table, REFRESH


def test_the_documented_rates_are_the_published_ones():
    text = (Path(__file__).parent.parent / "docs" / "probe.md").read_text(encoding="utf-8")
    names = {
        "all": "all", "thresholds": "by which thresholds may be chosen", "held_out": "held out",
    }  # fmt: skip
    for half, name in names.items():
        of = evaluation()[half]
        found, named, apart = (f"{of[r]:.1%}"[:-1] for r in ("recall", "right_kind", "apart"))
        accused = f"{of['false_alarms']:.1%}"[:-1]
        row = f"| {name} | {of['pairs']} | {found} % | {named} % | {apart} % | {of['healthy']} | "
        assert f"{row}{accused} % |" in text


def test_the_corpus_is_large_and_of_every_kind():
    faults = [c for c in CASES.values() if c.rules]
    assert len(faults) >= 50
    assert len(CASES) + len(faults) >= 100
    assert {"mlp", "cnn", "rnn", "transformer", "autoencoder", "embedding"} <= {
        c.kind for c in faults
    }
    known = {*RULES, *TRAINING_RULES}
    assert {rule for c in faults for rule in c.rules} <= known
    assert set(TRAINING_RULES) <= {c.rules[0] for c in faults}


def test_about_half_of_the_cases_is_held_out():
    held = sum(c.held_out for c in CASES.values())
    assert 0.4 * len(CASES) <= held <= 0.6 * len(CASES)


@pytest.mark.parametrize("half", ["all", "held_out"])
def test_the_corpus_is_told_well_enough(half):
    rates = evaluation()[half]
    assert rates["recall"] >= 0.95
    assert rates["right_kind"] >= 0.85
    assert rates["false_alarms"] <= 0.03
    assert rates["apart"] >= 0.85


SOME = (
    "mlp_sgd_rate_of_3", "mlp_sgd_rate_of_a_millionth", "target_broadcasts", "mlp_never_zeroed",
    "detached_between", "trained_in_eval_mode", "years_as_they_are", "all_weights_zero",
    "deep_tanh_drawn_small", "descent_in_bfloat16", "output_without_the_input",
    "half_overflows", "all_kernels_alike",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", SOME)
def test_a_fault_is_named_shown_to_be_one_and_its_twin_is_healthy(name):
    case = CASES[name]
    sound, faulty = (carried_out(case.build, broken, seed=0) for broken in (False, True))
    assert set(accused(faulty.findings)) & set(case.rules), faulty.findings
    assert accused(sound.findings) == []
    assert sound.after < sound.before
    assert math.isnan(faulty.after) or sound.after < 0.8 * faulty.after


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sparse_rectifiers", "packed_sequences", "low_rank_adaption"])
def test_who_only_looks_wrong_is_not_accused(name):
    assert accused(carried_out(CASES[name].build, False, seed=0).findings) == []


def row(name: str, **facts: object) -> dict[str, object]:
    return {
        "name": name, "rule": "frozen", "held_out": False, "is_healthy": True, "is_fault": True,
        "alarms": 0, "accused_of": [], "found": 3, "named": 3, "apart": 3, "told": ["frozen"],
        "faulty_loss": [1.0] * 3, **facts,
    }  # fmt: skip


def test_what_a_twin_does_not_show_to_be_a_fault_counts_as_none():
    rows = [row("good"), row("missed", found=1, named=0, apart=0), row("no fault", is_fault=False)]
    table = totals(rows, seeds=3)
    assert table["all"]["pairs"] == 2
    assert table["all"]["healthy"] == 3
    assert table["all"]["recall"] == pytest.approx(4 / 6, abs=1e-4)
    assert table["all"]["right_kind"] == table["all"]["apart"] == 0.5
    assert table["held_out"]["recall"] is None
    assert "not shown to be a fault: no fault" in list(wrong(rows))
    assert "missed: missed (frozen), found with 1 seeds" in list(wrong(rows))


def test_an_accused_healthy_one_is_a_false_alarm():
    rows = [row("a"), row("b", alarms=2, accused_of=["symmetry"])]
    table = totals(rows, seeds=3)
    assert table["all"]["false_alarms"] == pytest.approx(2 / 6, abs=1e-4)
    assert [r["accuses_healthy"] for r in table["rules"] if r["rule"] == "symmetry"] == [1]


def test_a_name_is_given_once():
    def mlp_never_zeroed(faulty: bool) -> Training:
        raise AssertionError(faulty)

    with pytest.raises(ValueError, match="mlp_never_zeroed: there is a training of this name"):
        pair("mlp", "frozen")(mlp_never_zeroed)


def test_the_same_seed_is_the_same_training():
    case: Case = CASES["mlp_sgd_rate_of_a_millionth"]
    once, again = (carried_out(case.build, False, seed=2) for _ in range(2))
    assert (once.before, once.after) == (again.before, again.after)


class Fake:
    """A peer whose words are those that are told of each (faulty, seed), or who raises them."""

    package = module = "fake"
    kinds: ClassVar = {"shrinks": ("vanishing_gradient",), "grows": ("exploding_gradient",)}
    rules = Peer.rules

    def __init__(self, *said: list[str] | Exception) -> None:
        self.said = iter(said)

    def trained(self, training: Training) -> list[str]:
        assert isinstance(training, Training)
        said = next(self.said)
        if isinstance(said, Exception):
            raise said
        return said


def test_peers_are_counted_by_any_alarm_by_its_kind_and_where_they_do_not_raise():
    case = CASES["mlp_sgd_rate_of_a_millionth"]
    case = replace(case, rules=("vanishing_gradient",))
    twins = [], ["It grows"], ["It shrinks"], [], ValueError("no such layer")
    faulty = ["It Shrinks in 0"], ["It shrinks"], ["It shrinks"], ["It grows"], []
    peer = Fake(*twins, *faulty)
    found = heard(peer, case, seeds=5)
    assert found["sound"] == [[], ["It grows"], ["It shrinks"], [], None]
    assert found["raised"] == ["ValueError: no such layer"]
    counts = counted(peer, [found], faults={case.name}, sound={case.name})
    assert counts == {
        "recall": 0.8, "right_kind": 0.6, "apart": 0.5, "apart_by_kind": 0.5,
        "false_alarms": 0.5, "not_judged": 1, "of": 10,
    }  # fmt: skip
    assert list(told([found], {case.name})) == [
        "about 1 healthy ones: It grows",
        "about 1 healthy ones: It shrinks",
        f"not judged: {case.name}: ValueError: no such layer",
    ]


def test_what_no_twin_shows_to_be_a_fault_counts_for_no_peer():
    said = {"name": "a", "rules": ("frozen",), "sound": [["x"]], "broken": [["x"]], "raised": []}
    counts = counted(Fake(), [said], faults=set(), sound=set())
    assert counts["recall"] is counts["apart"] is counts["false_alarms"] is None
    assert counts["of"] == 0


def test_the_releases_that_are_told_are_those_of_the_group():
    project = Path(__file__).parents[1] / "pyproject.toml"
    group = tomllib.loads(project.read_text())["dependency-groups"]["peers"]
    assert sorted(f"{peer.package}=={peer.release}" for peer in PEERS[1:]) == group


def test_every_word_of_a_peer_means_a_rule_and_ours_is_one_of_them():
    known = {*RULES, *TRAINING_RULES}
    assert {rule for peer in PEERS for rules in peer.kinds.values() for rule in rules} <= known
    assert all(part == part.lower() for peer in PEERS for part in peer.kinds)
    ours = PEERS[0]
    assert ours.installed
    assert ours.rules(["frozen"]) == {"frozen"}
    training = CASES["mlp_sgd_rate_of_3"].build(True)
    training.steps = 20
    assert ours.rules(ours.trained(training)) == {"learning_rate_high"}
