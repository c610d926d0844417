"""Settings: from the environment, checked, and all of them documented."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from layerscope.app import settings as module
from layerscope.app.settings import SLACK, Settings, settings_table

DOCUMENT = Path(__file__).parents[2] / "docs" / "settings.md"


ROW = re.compile(r"^\| `LAYERSCOPE_(\w+)` \|.*\| (.*) \|$", re.MULTILINE)


def test_the_document_is_generated_from_the_code():
    text = DOCUMENT.read_text()
    assert "".join(line for line in text.splitlines(True) if line.startswith("|")) == (
        settings_table()
    )
    rows = dict(ROW.findall(text))
    assert [name.lower() for name in rows] == list(Settings.model_fields)
    assert all(len(meaning) > 10 for meaning in rows.values())


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_does_something(name):
    """It is read somewhere: as an attribute, and not only where it is defined."""
    app = DOCUMENT.parents[1] / "app"
    assert any(
        isinstance(node, ast.Attribute) and node.attr == name
        for file in app.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
    )


def test_they_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("LAYERSCOPE_PORT", "9001")
    monkeypatch.setenv("LAYERSCOPE_MAX_FLOPS", "1e9")
    monkeypatch.setenv("LAYERSCOPE_ALLOWED_HOSTS", "a.example,b.example")
    monkeypatch.setenv("LAYERSCOPE_DATA_DIR", "/somewhere")
    found = Settings()
    assert (found.port, found.max_flops) == (9001, 1e9)
    assert found.allowed_hosts == ("a.example", "b.example")
    assert found.data_dir == Path("/somewhere")
    assert Settings(port=1).port == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "70000"), ("PORT", "x"), ("MAX_FLOPS", "0"), ("LOG_FORMAT", "xml"),
     ("MAX_CONCURRENT", "0"), ("MAX_BYTES", "-1"), ("MAX_FLOPS", "inf"), ("MAX_FLOPS", "nan"),
     ("CHECK_MAX_FLOPS", "inf"), ("WRITE_SECONDS", "nan"), ("MAX_HEADER_BYTES", "10")],
)  # fmt: skip
def test_bad_ones_are_named(monkeypatch, name, value):
    monkeypatch.setenv(f"LAYERSCOPE_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()


def test_a_bad_one_does_not_hide_behind_another(monkeypatch):
    monkeypatch.setenv("LAYERSCOPE_WORKERS", "0")
    monkeypatch.setenv("LAYERSCOPE_MAX_BYTES", "1000000")
    with pytest.raises(ValidationError, match="workers"):
        Settings()


def test_they_do_not_change():
    with pytest.raises(ValidationError, match="frozen"):
        Settings().port = 1


@pytest.mark.parametrize("cores", [1, 2, 64])
@pytest.mark.parametrize("usable", [2**28, 2**30, 2**33, 2**40])
@pytest.mark.parametrize("workers", [1, 3])
def test_by_default_all_computations_together_fit_into_memory(monkeypatch, cores, usable, workers):
    monkeypatch.setattr(module, "usable_cores", lambda: cores)
    monkeypatch.setattr(module, "usable_bytes", lambda: usable)
    found = Settings(workers=workers)
    assert 1 <= found.max_concurrent <= cores
    places = found.max_concurrent + 1 + found.max_trainings
    together = workers * places * found.ceiling_bytes
    assert together < usable
    assert found.max_bytes <= 4 * 2**30
    assert found.ceiling_bytes == pytest.approx(found.max_bytes * SLACK, abs=1)


def test_where_memory_is_unknown_there_is_one_computation_for_each_core(monkeypatch):
    monkeypatch.setattr(module, "usable_cores", lambda: 5)
    monkeypatch.setattr(module, "usable_bytes", lambda: None)
    found = Settings()
    assert (found.max_concurrent, found.max_bytes) == (5, 4 * 2**30)
    assert Settings(max_bytes=2**50).max_bytes == 2**50


def test_more_than_there_is_is_refused_with_what_would_fit(monkeypatch):
    monkeypatch.setattr(module, "usable_bytes", lambda: 8 * 2**30)
    monkeypatch.setenv("LAYERSCOPE_MAX_TRAININGS", "0")
    assert Settings(max_concurrent=2, max_bytes=2 * 2**30).max_bytes == 2 * 2**30
    with pytest.raises(ValidationError, match="LAYERSCOPE_MAX_TRAININGS"):
        Settings(max_concurrent=2, max_bytes=2 * 2**30, max_trainings=1)
    with pytest.raises(ValidationError, match=r"(?s)max_bytes.*LAYERSCOPE_MAX_CONCURRENT"):
        Settings(max_concurrent=3, max_bytes=2 * 2**30)
    with pytest.raises(ValidationError, match="6 computations at once could take"):
        Settings(workers=2, max_concurrent=2, max_bytes=2 * 2**30)


@pytest.mark.parametrize(
    "origin", ["*", "localhost:8888", "http://a;script-src *", "http://a b", "http://a/path", ""]
)
def test_a_frame_is_allowed_by_an_origin_alone(origin):
    with pytest.raises(ValueError, match="expected origins such as http://localhost:8888"):
        Settings(frame_origins=(origin,))
    assert Settings(frame_origins="https://a.example, http://[::1]:8888").frame_origins == (
        "https://a.example", "http://[::1]:8888",
    )  # fmt: skip
