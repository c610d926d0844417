"""What is kept of maps: readings by specification, maps as they came, and bounds on both."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest
from sqlalchemy import text, update

from layerscope.engine.basis.refusals import InvalidParameters
from layerscope.engine.experiment import Experiment
from layerscope.engine.maps import kept, readings, tables
from layerscope.engine.maps.axes import Axis
from layerscope.engine.maps.kept import Maps, NoSuchMap
from layerscope.engine.maps.outcomes import Reading
from layerscope.engine.maps.plane import Plane
from layerscope.engine.store import database
from layerscope.engine.store.errors import StoreError

PLANE = Plane(Axis.of("depth", [1, 2]), Axis.of("width", [4, 5]), Experiment(batch=4), "loss")
SAMPLES = list(PLANE.samples())


@pytest.fixture
def maps(tmp_path):
    clock = count(1.0)
    made = Maps(tmp_path / "deep" / "folder", clock=lambda: next(clock))
    yield made
    made.close()


def test_readings_are_found_again_by_specification(maps):
    assert maps.known(SAMPLES) == {}
    readings = [Reading(0.1 + 0.2), Reading(None, "nan"), Reading(5e-324, "rule")]
    maps.keep(zip(SAMPLES, readings, [0.1] * 3, strict=False))
    assert maps.known(SAMPLES) == dict(
        zip((s.place for s in SAMPLES), readings, strict=False)
    )  # fmt: skip
    turned = list(Plane(PLANE.y, PLANE.x, PLANE.base, "loss").samples())
    assert len(maps.known(turned)) == 3
    assert maps.known(list(Plane(PLANE.x, PLANE.y, PLANE.base, "last_std").samples())) == {}


def test_a_map_comes_in_order_and_is_followed_from_anywhere(maps):
    assert maps.begin(PLANE)
    assert not maps.begin(PLANE)
    came = [(s, Reading(float(s.place)), 0.5) for s in SAMPLES]
    assert maps.add(PLANE.id, came[:3]) == "running"
    first = maps.follow(PLANE.id, limit=2)
    assert [c.sequence for c in first.cells] == [1, 2]
    assert first.more
    assert (first.map.done, first.map.total, first.map.seconds) == (3, 4, 1.5)
    maps.add(PLANE.id, came[3:])
    rest = maps.follow(PLANE.id, 2)
    assert [(c.place, c.reading.number) for c in rest.cells] == [
        (s.place, float(s.place)) for s in SAMPLES[2:]
    ]
    assert not rest.more
    maps.end(PLANE.id, "finished")
    assert maps.map(PLANE.id).state == "finished"
    assert maps.map(PLANE.id).plane == PLANE
    assert not maps.begin(PLANE)


def test_a_cancelled_map_goes_on_where_it_was(maps):
    maps.begin(PLANE)
    maps.add(PLANE.id, [(SAMPLES[0], Reading(1.0), 0.1)])
    maps.end(PLANE.id, "cancelled")
    assert maps.add(PLANE.id, []) == "cancelled"
    maps.end(PLANE.id, "finished")
    assert maps.map(PLANE.id).state == "cancelled"
    assert maps.waiting() == []
    assert maps.begin(PLANE)
    assert [each.id for each in maps.waiting()] == [PLANE.id]
    assert maps.follow(PLANE.id).cells[0].reading == Reading(1.0)


def test_what_a_killed_process_left_is_told_and_not_kept(maps):
    maps.begin(PLANE)
    maps.add(PLANE.id, [(SAMPLES[0], None, 0.0)])
    assert "ended" in maps.follow(PLANE.id).cells[0].reading.text
    assert maps.known(SAMPLES) == {}


def test_another_engines_map_is_not_this_ones(maps, monkeypatch):
    other = Plane(PLANE.x, PLANE.y, Experiment(batch=7), "loss")
    maps.begin(PLANE)
    maps.add(PLANE.id, [(SAMPLES[0], Reading(1.0), 0.1)])
    maps.end(PLANE.id, "finished")
    maps.begin(other)
    with monkeypatch.context() as patch:
        patch.setattr(kept, "engine_build", lambda: "f" * 64)
        patch.setattr(tables, "engine_build", lambda: "f" * 64)
        for ask in (maps.map, maps.follow, maps.state, lambda id: maps.add(id, [])):  # noqa: A006
            with pytest.raises(NoSuchMap):
                ask(PLANE.id)
        assert maps.newest() == []
        # Whoever computes it may be gone: it is begun anew, beside the other's.
        (left,) = maps.waiting()
        assert (left.id, left.plane) == (other.id, other)
        assert left.key != tables.map_key(other.id)
        assert maps.begin(PLANE)
        assert maps.map(PLANE.id).done == 0
        maps.leave(left.key, "it goes on")
    assert maps.map(PLANE.id).done == 1
    found = maps.map(other.id)
    assert (found.state, found.detail) == ("failed", "it goes on")


def test_an_older_file_keeps_its_readings(tmp_path):
    maps = Maps(tmp_path)
    maps.keep([(SAMPLES[0], Reading(1.0), 0.1)])
    with maps._database.writing() as connection:
        connection.execute(text("DROP TABLE layerscope_map_cells"))
        connection.execute(text("DROP TABLE layerscope_maps"))
        connection.execute(text("CREATE TABLE layerscope_maps (id VARCHAR(32) PRIMARY KEY)"))
    maps.close()
    assert list(maps.known(SAMPLES)) == [SAMPLES[0].place]
    assert maps.begin(PLANE)
    maps.close()


@pytest.mark.parametrize(
    ("change", "said"),
    [(('"relu"', '"gone"'), "base.activation"), ((", ", ""), "specification")],
)
def test_a_map_that_cannot_be_read_is_passed_over(maps, change, said):
    odd = Plane(PLANE.x, PLANE.y, Experiment(batch=7), "loss")
    maps.begin(PLANE)
    maps.begin(odd)
    with maps._database.writing() as connection:
        odd_text = json.dumps(odd.to_json()).replace(*change)
        row = update(tables.MAPS).where(tables.MAPS.c.id == odd.id)
        connection.execute(row.values(specification=odd_text))
    assert [m.id for m in maps.newest()] == [odd.id, PLANE.id]
    listed = maps.newest()[0]
    assert (listed.state, listed.plane) == ("failed", None)
    assert said in listed.detail
    left = maps.waiting()
    assert [each.id for each in left] == [PLANE.id, odd.id]
    with pytest.raises(NoSuchMap, match="can't be read any more"):
        maps.map(odd.id)
    with pytest.raises(InvalidParameters, match=said):
        _ = left[1].plane
    maps.leave(left[1].key, "a name is gone")
    assert [each.id for each in maps.waiting()] == [PLANE.id]


def test_a_program_that_keeps_few_looks_too(tmp_path, monkeypatch):
    monkeypatch.setattr(readings, "MOST_READINGS", 1)
    for at, sample in enumerate(SAMPLES[:3]):
        maps = Maps(tmp_path, clock=lambda at=at: float(at))
        maps.keep([(sample, Reading(1.0), 0.1)])
        maps.close()
    assert list(Maps(tmp_path).known(SAMPLES)) == [SAMPLES[2].place]


def test_what_is_known_is_told_while_another_program_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.01)
    maps, other = Maps(tmp_path), Maps(tmp_path)
    maps.keep([(SAMPLES[0], Reading(1.0), 0.1)])
    with other._database.writing():
        assert maps.known(SAMPLES) == {SAMPLES[0].place: Reading(1.0)}
    maps.close()
    other.close()


def test_what_is_known_is_told_where_nothing_can_be_written(tmp_path, monkeypatch):
    maps = Maps(tmp_path)
    maps.keep([(SAMPLES[0], Reading(1.0), 0.1)])

    def refused(_):
        raise StoreError("maps.db can't be written")

    monkeypatch.setattr(database.Database, "writing", refused)
    assert maps.known(SAMPLES) == {SAMPLES[0].place: Reading(1.0)}
    maps.keep([])  # nothing to write
    with pytest.raises(StoreError):
        maps.keep([(SAMPLES[1], Reading(1.0), 0.1)])
    maps.close()


def test_both_are_bounded_and_the_oldest_go_first(maps, monkeypatch):
    monkeypatch.setattr(readings, "MOST_READINGS", 2)
    monkeypatch.setattr(readings, "LOOK_EVERY", 1)
    monkeypatch.setattr(kept, "MOST_MAPS", 2)
    for sample in SAMPLES[:2]:
        maps.keep([(sample, Reading(1.0), 0.1)])
    assert len(maps.known(SAMPLES[:1])) == 1  # asked for: the other one is the oldest now
    maps.keep([(SAMPLES[2], Reading(1.0), 0.1)])
    assert sorted(maps.known(SAMPLES)) == sorted(s.place for s in (SAMPLES[0], SAMPLES[2]))
    planes = [Plane(PLANE.x, PLANE.y, Experiment(batch=n), "loss") for n in (1, 2, 3, 4)]
    for plane in planes:
        maps.begin(plane)
        if plane is not planes[0]:
            maps.end(plane.id, "finished")
    # The first is running still: whoever computes it needs it.
    assert [m.id for m in maps.newest()] == [planes[i].id for i in (3, 0)]


@pytest.mark.parametrize("ask", ["map", "follow", "end", "add", "state"])
def test_a_map_that_is_not_there_is_said(maps, ask):
    more = {"end": ["finished"], "add": [[]]}.get(ask, [])
    with pytest.raises(NoSuchMap, match="There is no map nothing"):
        getattr(maps, ask)("nothing", *more)


def test_threads_write_side_by_side(maps):
    maps.begin(PLANE)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda s: maps.add(PLANE.id, [(s, Reading(1.0), 0.1)]), SAMPLES))
    assert sorted(c.sequence for c in maps.follow(PLANE.id).cells) == [1, 2, 3, 4]
