"""The published table is what the rules find on the corpus today, and it is good enough."""

import pytest

from layerscope.engine.basis.cancellation import Stopped
from layerscope.engine.diagnosis import RULES
from layerscope.engine.diagnosis.evaluation import corpus, evaluate, evaluation
from layerscope.engine.diagnosis.rule import rule
from layerscope.engine.experiment.specification import Experiment

pytestmark = pytest.mark.slow

KNOWN = [row["rule"] for row in evaluation()["rules"]]


@pytest.fixture(scope="module")
def today():
    """By the rules that the table knows: one that was added has a row from `make tables` on."""
    return evaluate(corpus(), rules=KNOWN)


def test_the_published_table_is_todays(today):
    assert evaluation() == today, "run make tables"


def test_enough_cases_are_found_and_few_are_accused(today):
    assert today["healthy"] >= 150
    assert today["faulty"] >= 150
    assert today["recall"] >= 0.95
    assert today["false_alarm_rate"] <= 0.03


def test_the_corpus_covers_every_choice():
    cases = [Experiment(**case["experiment"]) for case in corpus()]
    for name in ("activation", "init", "norm", "dtype", "data"):
        known = Experiment.options(name)
        assert {getattr(e, name) for e in cases} == set(known), name
    assert {e.residual for e in cases} == {True, False}


def test_every_rule_has_a_row():
    assert [row["rule"] for row in evaluate([])["rules"]] == list(RULES)


CASES = [
    {"experiment": {"depth": 3}, "healthy": True},
    {"experiment": {"depth": 3}, "healthy": False},
    {"experiment": {"activation": "linear", "init": "normal"}, "healthy": False},
    {"experiment": {"activation": "linear", "init": "normal"}, "healthy": True, "held_out": True},
    {"experiment": {"activation": "linear", "init": "normal"}, "healthy": None},
]


def test_it_counts_hits_misses_and_false_alarms():
    table = evaluate(CASES, rules=KNOWN)
    assert (table["healthy"], table["faulty"], table["undecided"]) == (2, 2, 1)
    assert table["recall"] == 0.5
    assert table["false_alarm_rate"] == 0.5
    assert table["held_out"] == {"healthy": 1, "faulty": 0, "missed": 0, "false_alarms": 1}
    row = next(r for r in table["rules"] if r["rule"] == "nonfinite")
    assert (row["hits"], row["false_alarms"]) == (1, 1)


def test_a_further_rule_can_be_left_out():
    """Even one that finds an error everywhere, and that explains what others find."""
    before = evaluate(CASES, rules=KNOWN)
    with RULES.temporarily():

        @rule(formula="always", source="a test", help="A false alarm.", explains=("nonfinite",))
        def alarm(evidence):
            return evidence.finding(
                "alarm", "error", evidence.records, title="Bad", explanation="It is.",
                direction="both", evidence={}, threshold={},
            )  # fmt: skip

        assert evaluate(CASES, rules=KNOWN) == before
        assert evaluate(CASES)["recall"] == evaluate(CASES)["false_alarm_rate"] == 1.0


def test_it_can_be_stopped():
    with pytest.raises(Stopped):
        evaluate(corpus(), should_stop=lambda: True)
