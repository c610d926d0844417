"""Charting: whatever goes wrong with one map, no other waits for it, and none for ever."""

from __future__ import annotations

import errno
import threading

import pytest

from layerscope.app import charting, mapped
from layerscope.app.charting import Charting
from layerscope.app.errors import Problem
from layerscope.app.settings import Settings
from layerscope.engine.experiment import Experiment
from layerscope.engine.maps import kept, tables
from layerscope.engine.maps import plane as plane_module
from layerscope.engine.maps.axes import Axis
from layerscope.engine.maps.kept import Maps
from layerscope.engine.maps.measuring import reading
from layerscope.engine.maps.outcomes import Reading
from layerscope.engine.maps.plane import Plane
from layerscope.engine.store import patience
from layerscope.engine.store.errors import StoreError, Unavailable
from tests.mapping import Here

BASE = Experiment(width=4, batch=4)
PLANE = Plane(Axis.of("depth", [1, 2, 3]), Axis.of("seed", [0, 1]), BASE, "loss")
OTHER = Plane(Axis.of("depth", [1, 2]), Axis.of("seed", [0, 1]), BASE, "last_std")
OLD = "f" * 64


@pytest.fixture
def gate(monkeypatch):
    """Maps wait before their first experiment, until it is opened."""
    made = threading.Event()
    monkeypatch.setattr(Here, "gate", made)
    monkeypatch.setattr(Here, "before", 0)
    yield made
    made.set()


@pytest.fixture
def make(monkeypatch, tmp_path):
    """Charts maps in its own threads."""
    monkeypatch.setattr(charting, "Crew", Here)
    monkeypatch.setattr(patience, "RETRY_SECONDS", 0.0)
    made = []

    def start(**settings):
        made.append(Charting(Settings(data_dir=tmp_path, **settings)))
        return made[-1]

    yield start
    for each in made:
        each.close()


def leave(folder, *planes, build=None, cells=1, state="running"):
    """Maps as a server left them, some cells of each computed."""
    with pytest.MonkeyPatch.context() as patch:
        if build:
            for each in (kept, plane_module, tables):
                patch.setattr(each, "engine_build", lambda: build)
        maps = Maps(folder)
        for plane in planes:
            maps.begin(plane)
            maps.add(plane.id, [(s, Reading(-1.0), 0.1) for s in list(plane.samples())[:cells]])
            if state != "running":
                maps.end(plane.id, state)
        maps.close()


def spoil(folder, plane):
    """Let the specification name what is not registered any more."""
    maps = Maps(folder)
    with maps._database.writing() as connection:
        row = tables.MAPS.update().where(tables.MAPS.c.id == plane.id)
        connection.execute(row.values(specification='{"x": {"parameter": "gone"}}'))
    maps.close()


def state_of(folder, id):  # noqa: A002
    maps = Maps(folder)
    with maps._database.reading() as connection:
        chosen = tables.MAPS.select().where(tables.MAPS.c.id == id)
        row = connection.execute(chosen).one()
    maps.close()
    return row.state, row.detail


def test_a_resumed_map_is_of_one_engine(make, tmp_path, until):
    leave(tmp_path, PLANE, build=OLD)
    made = make()
    made.resume()
    until(lambda: made.kept.map(PLANE.id).state == "finished")
    cells = {c.place: c.reading for c in made.kept.follow(PLANE.id).cells}
    assert cells == {
        s.place: reading(s.experiment, None, "loss") for s in PLANE.samples()
    }  # fmt: skip


def test_an_older_engines_map_is_computed_anew_when_asked(make, tmp_path, gate, until):
    leave(tmp_path, PLANE, build=OLD, cells=6, state="finished")
    made = make()
    assert made.start(PLANE).done == 0
    gate.set()
    until(lambda: made.kept.map(PLANE.id).state == "finished")
    assert all(c.reading.number != -1.0 for c in made.kept.follow(PLANE.id).cells)


def test_servers_of_two_engines_share_a_folder(make, tmp_path, monkeypatch, until):
    """Each computes its own map, and neither ends the other's."""
    leave(tmp_path, PLANE)
    mine = charting._Owned.taken(tmp_path, tables.map_key(PLANE.id))
    with monkeypatch.context() as patch:
        for each in (kept, plane_module, tables):
            patch.setattr(each, "engine_build", lambda: OLD)
        newer = make()
        newer.resume()  # the other server computes it
        assert not newer.active
        for plane in (OTHER, PLANE):
            newer.start(plane)
            until(lambda of=plane: newer.kept.map(of.id).state == "finished")
        newer.close()
    resumed = make()
    assert (found := resumed.kept.map(PLANE.id)).state == "running"
    assert found.done == 1
    mine.free()
    resumed.resume()
    until(lambda: resumed.kept.map(PLANE.id).state == "finished")


def test_without_room_an_older_engines_map_keeps_its_cells(make, tmp_path, gate, monkeypatch):
    leave(tmp_path, PLANE, build=OLD, cells=6, state="finished")
    made = make(max_maps=1)
    made.start(OTHER)
    with pytest.raises(Problem, match="as many as this server takes"):
        made.start(PLANE)
    monkeypatch.setattr(tables, "engine_build", lambda: OLD)
    assert made.kept.map(PLANE.id).done == 6


def test_without_room_nothing_is_checked(make, gate, monkeypatch):
    made = make(max_maps=1)
    made.start(OTHER)
    monkeypatch.setattr(made, "check", lambda plane: pytest.fail("it takes seconds"))
    with pytest.raises(Problem, match="as many as this server takes"):
        made.start(PLANE)
    assert made.start(OTHER).state == "running"


def test_a_known_map_is_not_checked(make, monkeypatch, until):
    made = make()
    made.start(OTHER)
    until(lambda: made.kept.map(OTHER.id).state == "finished" and not made.active)
    monkeypatch.setattr(made, "check", lambda plane: pytest.fail("it takes seconds"))
    assert made.start(OTHER).state == "finished"


def test_one_that_cannot_be_read_stops_no_other(make, tmp_path, until):
    leave(tmp_path, OTHER, PLANE)
    spoil(tmp_path, OTHER)
    made = make()
    made.resume()
    until(lambda: made.kept.map(PLANE.id).state == "finished")
    state, detail = state_of(tmp_path, OTHER.id)
    assert state == "failed"
    assert "x.parameter" in detail


def test_a_specification_that_reads_otherwise_goes_on_under_its_name(make, tmp_path, until):
    leave(tmp_path, PLANE)
    maps = Maps(tmp_path)
    with maps._database.writing() as connection:
        connection.execute(tables.CELLS.delete())
        row = tables.MAPS.update().where(tables.MAPS.c.id == PLANE.id)
        connection.execute(row.values(key="1" * 32, id="0" * 32))
    maps.close()
    made = make()
    made.resume()
    until(lambda: made.kept.map(PLANE.id).state == "finished")
    assert state_of(tmp_path, "0" * 32) == ("failed", f"it goes on as {PLANE.id}")


def test_what_is_left_to_another_build_says_so_and_its_lock_is_free_again(
    make, tmp_path, monkeypatch, until
):
    leave(tmp_path, PLANE)
    made = make()
    (left,) = made.kept.waiting()
    monkeypatch.setattr(tables, "engine_build", lambda: OLD)

    def busy(*_):
        raise Unavailable("maps.db is locked by another program")

    with monkeypatch.context() as locked:
        locked.setattr(made.kept, "leave", busy)
        made.resume()
    assert list(made.kept.folder.glob("*.lock")) == []
    made.resume()
    until(lambda: made.kept.map(PLANE.id).state == "finished")
    with made.kept._database.reading() as connection:
        row = connection.execute(tables.MAPS.select().where(tables.MAPS.c.key == left.key)).one()
    words = "another build of the engine computes it anew"
    assert (row.state, row.detail) == ("failed", words)


class Broken(Here):
    """Cannot start a process."""

    def done(self, _):
        raise OSError(errno.EAGAIN, "no process left")


def test_an_error_that_nobody_expected_fails_the_map(make, monkeypatch, until):
    monkeypatch.setattr(charting, "Crew", Broken)
    made = make()
    made.start(PLANE)
    until(lambda: not made.active)
    found = made.kept.map(PLANE.id)
    assert found.state == "failed"
    assert "no process left" in found.detail


@pytest.mark.parametrize(("times", "state"), [(2, "finished"), (patience.TRIES, "failed")])
def test_a_store_that_is_busy_is_asked_again(make, monkeypatch, until, times, state):
    refused = []
    add = Maps.add

    def busy(self, *args):
        if len(refused) < times:
            refused.append(args)
            raise Unavailable("maps.db is locked by another program")
        return add(self, *args)

    monkeypatch.setattr(Maps, "add", busy)
    made = make()
    made.start(PLANE)
    until(lambda: not made.active)
    found = made.kept.map(PLANE.id)
    assert found.state == state
    assert ("locked" in found.detail) == (state == "failed")
    assert found.done == (6 if state == "finished" else 0)


def test_a_store_that_is_lost_leaves_the_map_to_be_resumed(make, monkeypatch, until):
    made = make()
    for name in ("add", "end"):
        monkeypatch.setattr(Maps, name, lambda *_: lost())

    def lost():
        raise StoreError("maps.db is damaged")

    made.start(PLANE)
    until(lambda: not made.active)
    assert made.kept.map(PLANE.id).state == "running"


def test_a_folder_without_locks_is_said(make, monkeypatch):
    made = make()

    def none(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(charting.fcntl, "flock", none)
    with pytest.raises(StoreError, match="No locks available"):
        made.start(PLANE)


@pytest.mark.parametrize("broken", ["crew", "thread"])
def test_what_cannot_begin_is_said_and_gives_its_right_back(make, monkeypatch, tmp_path, broken):
    made = make()

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    def none(*_):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        if broken == "crew":
            patch.setattr(charting, "Crew", full)
            made.get_ready()
        else:
            patch.setattr(charting.threading.Thread, "start", none)
        with pytest.raises(StoreError, match=r"No space left|new thread"):
            made.start(PLANE)
    assert not made.active
    assert not list(tmp_path.glob("*.lock"))
    assert not made.kept.waiting()
    assert made.start(PLANE).state in ("running", "finished")


def test_cancelled_while_it_is_begun_it_is_ended(make, monkeypatch, gate):
    """Whoever cancels meanwhile waits until there is a thread that can be waited for."""
    made = make()
    began = threading.Thread.start
    cancelling = threading.Thread(target=made.cancel, args=[PLANE.id])

    def start(thread):
        if thread.name == f"map {PLANE.id}":
            began(cancelling)
            cancelling.join(0.05)
        began(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    made.start(PLANE)
    cancelling.join()
    assert made.kept.map(PLANE.id).state == "cancelled"
    assert not made.active


def test_begun_while_its_end_is_under_way_it_goes_on(make, monkeypatch, gate, until):
    made = make()
    made.start(PLANE)
    crew, stop = made._running[PLANE.id].crew, Here.stop
    halfway, go_on = threading.Event(), threading.Event()

    def slowly(self):
        self.stopped = True
        halfway.set()
        go_on.wait()
        stop(self)

    monkeypatch.setattr(Here, "stop", slowly)
    cancelling = threading.Thread(target=made.cancel, args=[PLANE.id])
    cancelling.start()
    halfway.wait()
    again = threading.Thread(target=made.start, args=[PLANE])
    again.start()
    go_on.set()
    cancelling.join()
    again.join()
    assert made.kept.map(PLANE.id).state == "running"
    gate.set()
    until(lambda: made.kept.map(PLANE.id).state == "finished")
    assert crew.stopped


def test_how_long_it_takes_is_not_told_of_a_cluster(make, gate):
    local = make(map_jobs=2)
    found = local.start(PLANE)
    assert (local.jobs, mapped.seconds_left(found, None)) == (2, None)
    assert make(dask="tcp://127.0.0.1:1").jobs is None
