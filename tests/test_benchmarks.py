"""A benchmark that misses a target says so to whoever runs it."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from benchmarks import maps, page


@pytest.mark.parametrize(("throughput", "slider"), [(True, True), (True, False), (False, True)])
def test_maps_fail_with_a_target(
    monkeypatch: pytest.MonkeyPatch, throughput: bool, slider: bool
) -> None:
    monkeypatch.setattr("sys.argv", ["maps"])
    monkeypatch.setattr(maps, "throughput", lambda cells: throughput)
    monkeypatch.setattr(maps, "slider", lambda requests: slider)
    assert maps.main() == int(not (throughput and slider))


@pytest.mark.parametrize(
    ("painted", "first", "status"), [(21.0, 500.0, 0), (19.0, 500.0, 1), (21.0, 900.0, 1)]
)
def test_the_page_fails_with_a_target(
    monkeypatch: pytest.MonkeyPatch, painted: float, first: float, status: int
) -> None:
    monkeypatch.setattr("sys.argv", ["page"])
    for name, found in {
        "serving": nullcontext("http://localhost"), "chromium": nullcontext(), "engine": 20.0,
        "cold": first, "slider": [50.0, 60.0], "drag": (painted, 0.03, 20.0),
    }.items():  # fmt: skip
        monkeypatch.setattr(page, name, lambda *_, found=found: found)
    assert page.main() == status


def test_a_drag_at_defaults_fails_by_what_one_stream_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(page.LEAST) == {("defaults", "× alone"), ("depth 5, width 10", "painted/s")}
    assert {name for name, _ in page.LEAST} == set(page.DRAGS)
