"""The published table is what the rules find on the corpus today, and it is good enough."""

import pytest

from layerscope.engine.basis.cancellation import Stopped
from layerscope.engine.diagnosis import RULES
from layerscope.engine.diagnosis.evaluation import corpus, evaluate, evaluation
from layerscope.engine.experiment.specification import Experiment


@pytest.fixture(scope="module")
def today():
    return evaluate(corpus())


def test_the_published_table_is_todays(today):
    """Of the rules that it knows: one that was added has a row from the next `make tables` on."""
    published = evaluation()
    known = {row["rule"] for row in published["rules"]}
    rows = [row for row in today["rules"] if row["rule"] in known]
    assert published == {**today, "rules": rows}, "run make tables"


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


def test_every_rule_has_a_row(today):
    assert {row["rule"] for row in today["rules"]} == set(RULES)


def test_it_counts_hits_misses_and_false_alarms():
    healthy, faulty = {"depth": 3}, {"activation": "linear", "init": "normal"}
    table = evaluate(
        [
            {"experiment": healthy, "healthy": True},
            {"experiment": healthy, "healthy": False},
            {"experiment": faulty, "healthy": False},
            {"experiment": faulty, "healthy": True, "held_out": True},
            {"experiment": faulty, "healthy": None},
        ]
    )
    assert (table["healthy"], table["faulty"], table["undecided"]) == (2, 2, 1)
    assert table["recall"] == 0.5
    assert table["false_alarm_rate"] == 0.5
    assert table["held_out"] == {"healthy": 1, "faulty": 0, "missed": 0, "false_alarms": 1}
    row = next(r for r in table["rules"] if r["rule"] == "nonfinite")
    assert (row["hits"], row["false_alarms"]) == (1, 1)


def test_it_can_be_stopped():
    with pytest.raises(Stopped):
        evaluate(corpus(), should_stop=lambda: True)
