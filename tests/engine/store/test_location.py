"""What ``to`` means, and what it says to everything else."""

from __future__ import annotations

from pathlib import Path

import pytest

from layerscope.app.settings import Settings
from layerscope.engine.store.location import Server, data_dir, default_url, located, open_store


def test_by_default_it_is_the_servers_own(monkeypatch, tmp_path):
    assert located(None, {}).database == str(Path("data/runs.db"))
    monkeypatch.setenv("LAYERSCOPE_DATA_DIR", str(tmp_path))
    assert data_dir() == Settings().data_dir == tmp_path
    assert located(None).database == str(tmp_path / "runs.db")
    assert default_url(tmp_path) == located(None)


def test_files_urls_and_servers():
    assert located("runs.db", {}).render_as_string() == "sqlite:///runs.db"
    assert located(Path("/a b/runs.db"), {}).database == "/a b/runs.db"
    assert located(":memory:", {}).database == ":memory:"
    assert located("sqlite:///x.db", {}).database == "x.db"
    assert located("http://host:8000", {}) == Server("http://host:8000")
    assert located("https://host/layerscope/", {}) == Server("https://host/layerscope")
    assert located("http://[::1]:8000", {}).address == "http://[::1]:8000"
    given = {"LAYERSCOPE_TOKEN": "one"}
    assert located("http://host", given) == Server("http://host", "one")
    assert located("http://host/?token=two", given) == Server("http://host", "two")
    assert "two" not in repr(located("http://host/?token=two", given))


@pytest.mark.parametrize(
    ("to", "said"),
    [
        (3, "expected a file, a URL or None, got 3"),
        ("", "expected a file, a URL or None, got ''"),
        ("a\0b", "expected a file"),
        ("oracel://user:secret@host/x", "an SQLAlchemy URL such as postgresql.*got 'oracel://…'"),
        ("mysql+pymysql://u:secret@h/x", "driver of mysql.pymysql is not installed"),
        ("http://:80", "expected http://host:port"),
        ("http://host:x", "expected http://host:port, got 'http://host:x'"),
        ("http://user:secret@host", "its token as .token= or LAYERSCOPE_TOKEN"),
    ],
)
def test_anything_else_is_refused_with_a_sentence(to, said):
    with pytest.raises(ValueError, match=f"to: .*{said}|to: {said}") as refused:
        located(to, {})
    assert "secret" not in str(refused.value)


def test_a_servers_runs_are_read_there():
    with pytest.raises(ValueError, match="http://host is a server"):
        open_store("http://host")
