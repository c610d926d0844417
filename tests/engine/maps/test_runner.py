"""The runner: whom works are blamed on, and what is told of those that nobody can do."""

from __future__ import annotations

import io
import json
from collections import Counter

import pytest
from joblib.externals.loky.process_executor import BrokenProcessPool

from layerscope.engine.maps.runner import Runner
from layerscope.engine.maps.work import GivenUp

WORKS = [(place, {}, None, "loss") for place in range(6)]


def told(fate):
    """What a runner tells of `WORKS` that come to ``fate(place, alone, tries)``: True is done."""
    out, tries = io.StringIO(), Counter()
    runner = Runner(2, None, out)

    def parallel(works, _):
        group = list(works)
        for place, *_ in group:
            tries[place] += 1
            came = fate(place, len(group) == 1, tries[place])
            if isinstance(came, Exception):
                raise came
            yield (place, 1.0, "", 0.1) if came is True else came

    runner._parallel = parallel
    runner._all(WORKS, "")
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    cells = [line["cell"][0] for line in lines if "cell" in line]
    lost = [line["lost"] for line in lines if "lost" in line]
    assert sorted(cells + lost) == list(range(6))
    return set(lost), tries


@pytest.mark.parametrize("error", [GivenUp(3, killed=True), BrokenProcessPool()])
def test_what_processes_die_of_is_lost_and_nothing_else(error):
    lost, _ = told(lambda place, alone, tries: error if place == 3 else True)
    assert lost == {3}


def test_whoever_was_beside_it_is_done_alone():
    lost, tries = told(
        lambda place, alone, tries: alone or GivenUp(place, killed=True) if place < 3 else True
    )
    assert lost == set()
    assert [tries[place] for place in range(6)] == [2, 2, 2, 1, 1, 1]


@pytest.mark.parametrize(("times", "lost"), [(3, set()), (10**6, {2})])
def test_what_was_lost_with_its_scheduler_is_handed_out_again(times, lost):
    def fate(place, _, tries):
        return GivenUp(2, killed=False) if place == 2 and tries <= times else True

    assert told(fate)[0] == lost


def test_an_error_of_the_work_itself_ends_it():
    with pytest.raises(ValueError, match="a bug"):
        told(lambda place, alone, tries: ValueError("a bug"))
