"""joblib's Dask backend: whatever becomes of a task, its works are answered."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip("distributed")

from distributed import KilledWorker
from distributed.client import CancelledError
from joblib._dask import DaskDistributedBackend

from layerscope.engine.maps.cluster import Cluster
from layerscope.engine.maps.work import GivenUp, ready

TOLD = [(3, 1.0, "", 0.1), (5, 2.0, "", 0.1)]
LAST = SimpleNamespace(address="tcp://127.0.0.1:9")


@pytest.fixture
def answered(monkeypatch):
    """What the works 3 and 5 of a batch are answered by that has come to ``out``."""
    backend = Cluster.__new__(Cluster)
    handed = []
    monkeypatch.setattr(DaskDistributedBackend, "submit", lambda _, func, tell: handed.append(tell))

    def call(out, items=None):
        items = items or [(None, ((place, {}, None, "loss"), "build"), {}) for place in (3, 5)]
        answers = []
        backend.submit(SimpleNamespace(items=items), answers.append)
        handed.pop()(out)
        return backend.retrieve_result_callback(*answers)

    return call


def test_results_are_what_the_works_told(answered):
    assert answered(TOLD) == TOLD


@pytest.mark.parametrize(
    ("error", "killed"), [(KilledWorker("key", LAST, 3), True), (CancelledError("key"), False)]
)
def test_what_the_scheduler_gives_up_is_told_of_each(answered, error, killed):
    assert answered(error) == [GivenUp(3, killed=killed), GivenUp(5, killed=killed)]


def test_what_no_worker_can_read_is_an_error(answered):
    with pytest.raises(ModuleNotFoundError, match="layerscope"):
        answered(ModuleNotFoundError("No module named 'layerscope'"))


@pytest.mark.parametrize("out", [[None, None], CancelledError("key")])
def test_workers_that_only_get_ready_are_no_works(answered, out):
    answered(out, [(ready, (), {})] * 2)
