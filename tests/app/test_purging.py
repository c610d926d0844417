"""Deleted runs: removed for good after the time in which they can be brought back."""

from __future__ import annotations

from contextlib import closing

import pytest

from layerscope.app.trainings import FOLDER
from layerscope.engine.experiment import Experiment
from layerscope.engine.store import Batch, NoSuchRun, Store, StoreError
from layerscope.engine.store.entries import Finish, Start
from layerscope.engine.store.location import default_url
from layerscope.engine.training import Training
from layerscope.engine.training.folder import TrainingFolder
from tests.serving import wait_until

HOUR = 3600.0


def deleted(folder, run, seconds_ago, now):
    """A training of ours that was deleted so long ago, and what it kept."""
    with closing(Store(default_url(folder), clock=lambda: now - seconds_ago)) as store:
        store.append(run, Batch(1, [Start(run, {}, 0.0), Finish("finished", 0.0)]))
        store.delete(run)
    kept = TrainingFolder(folder / FOLDER, run)
    kept.create(Experiment(), Training())
    return kept


def there(store, run):
    try:
        return store.run(run).id == run
    except NoSuchRun:
        return False


def test_what_was_deleted_long_ago_is_removed_with_what_it_kept(ask, tmp_path):
    app = ask(data_dir=tmp_path).app
    store, trainings = app.state.store, app.state.trainings
    now = store._clock()
    old, new = (deleted(tmp_path, r, s, now) for r, s in (("old", 2 * HOUR), ("new", HOUR / 2)))
    trainings._beginning.add("old")
    assert trainings.purge(HOUR) == 0
    trainings._beginning.clear()
    assert trainings.purge(HOUR) == 1
    assert (there(store, "old"), old.path.exists()) == (False, False)
    assert (there(store, "new"), new.exists) == (True, True)
    store.restore("new")
    assert trainings.purge(0) == 0
    store.close()


def test_a_run_that_is_brought_back_meanwhile_has_its_training_still(ask, tmp_path, monkeypatch):
    app = ask(data_dir=tmp_path).app
    store, trainings = app.state.store, app.state.trainings
    kept = deleted(tmp_path, "old", 2 * HOUR, store._clock())
    purge = store.purge

    def brought_back(run, seconds):
        store.restore(run)
        return purge(run, seconds)

    monkeypatch.setattr(store, "purge", brought_back)
    assert trainings.purge(HOUR) == 0
    assert (there(store, "old"), trainings.ours("old") is not None) == (True, True)
    assert [path.name for path in kept.path.parent.iterdir()] == ["old"]
    store.close()


def test_what_a_removal_left_half_way_is_settled_by_the_next(ask, tmp_path, monkeypatch):
    app = ask(data_dir=tmp_path).app
    store, trainings = app.state.store, app.state.trainings
    new, gone = (deleted(tmp_path, run, 0, store._clock()) for run in ("new", "gone"))
    assert store.purge("gone", -1)
    for folder in (new, gone):
        folder.put_aside()
    assert trainings.purge(HOUR) == 0
    assert [path.name for path in new.path.parent.iterdir()] == ["new"]

    def unavailable(run, seconds):
        raise StoreError("away")

    monkeypatch.setattr(store, "purge", unavailable)
    with pytest.raises(StoreError):
        trainings.purge(-1)
    assert new.exists
    store.close()


def test_a_server_removes_them_by_itself(serve, tmp_path):
    with closing(Store(default_url(tmp_path))) as store:
        now = store._clock()
        old = deleted(tmp_path, "old", 30 * HOUR, now)
        new = deleted(tmp_path, "new", HOUR, now)
        with serve(data_dir=tmp_path, warm_up=False):
            wait_until(lambda: not there(store, "old"))
        assert not old.path.exists()
        assert (there(store, "new"), new.exists) == (True, True)
