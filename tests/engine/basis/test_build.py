"""Which engine it is: other sources or other libraries, another engine."""

from __future__ import annotations

import pytest

from layerscope.engine.basis import build
from layerscope.engine.basis.build import LIBRARIES, engine_build, sources


def test_sources_are_told_by_name_and_text(tmp_path):
    path = tmp_path / "a.py"
    path.write_text("x = 1")
    found = {sources(tmp_path)}
    path.write_text("x = 2")
    found.add(sources(tmp_path))
    path.rename(tmp_path / "b.py")
    found.add(sources(tmp_path))
    assert len(found) == 3
    (tmp_path / "notes.txt").write_text("no source")
    assert sources(tmp_path) in found


@pytest.mark.parametrize("library", LIBRARIES)
def test_with_another_version_of_a_library_it_is_another(monkeypatch, library):
    real, known = build.version, engine_build()
    monkeypatch.setattr(build, "version", lambda name: "0" if name == library else real(name))
    assert engine_build.__wrapped__() != known
