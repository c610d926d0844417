"""Over HTTP: each entry delivered exactly once, whatever the server and the program do."""

from __future__ import annotations

import json
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from sqlalchemy import make_url

from layerscope.engine.store import Batch, Store, StoreError, StoreWarning, open_run
from layerscope.engine.store.entries import Start, StepEntry
from layerscope.engine.store.location import Server
from layerscope.engine.store.remote import RemoteSink, send
from layerscope.engine.store.spool import Spool

pytestmark = pytest.mark.filterwarnings("ignore::layerscope.engine.store.StoreWarning")


SECRET = "x" * 20


class Stub:
    """A server that keeps what it is sent, and answers as badly as a test wants.

    ``moods`` says how the next requests are answered: "ok", "lost answer" (kept, then cut), "cut"
    (nothing kept), or a status; "ok" when there are none left, or ``always`` instead.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.moods: list[object] = []
        self.always: object = "ok"
        self.requests = 0
        self.tokens: set[str | None] = set()
        self.url = ""

    def mood(self) -> object:
        self.requests += 1
        return self.moods.pop(0) if self.moods else self.always


@contextmanager
def stub(store: Store) -> Iterator[Stub]:
    about = Stub(store)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            about.tokens.add(self.headers["Authorization"])
            mood = about.mood()
            if mood == "cut":
                self.close_connection = True
                return
            if isinstance(mood, int):
                self.answer(mood, {"detail": f"mood {mood}"})
                return
            received = about.store.append(self.path.split("/")[-2], Batch.from_bytes(body))
            if mood == "lost answer":
                self.close_connection = True
                return
            self.answer(200, {"received": received})

        def answer(self, status: int, document: dict[str, object]) -> None:
            self.send_response(status)
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    about.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield about
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def far(tmp_path, monkeypatch):
    monkeypatch.setenv("LAYERSCOPE_DATA_DIR", str(tmp_path / "here"))
    monkeypatch.setattr("layerscope.engine.store.remote.FIRST_PAUSE", 0.01)
    monkeypatch.setattr("layerscope.engine.store.remote.LONGEST_PAUSE", 0.05)
    monkeypatch.setattr("layerscope.engine.store.writer.ALIVE_SECONDS", 0.05)
    store = Store(make_url(f"sqlite:///{tmp_path}/there.db"))
    with stub(store) as about:
        yield about
    store.close()


def numbers(far, run):
    return [step.number for step in far.store.steps(run)]


def waiting(tmp_path):
    folder = tmp_path / "here" / "spool"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_a_run_arrives(far, tmp_path):
    far.always = "ok"
    with open_run(f"{far.url}/?token=secret", "digits") as writer:
        for number in range(50):
            writer.step(number, 1.0, b"x" * number)
    assert writer.store is None
    assert writer.lost == 0
    assert numbers(far, writer.id) == list(range(50))
    assert far.store.run(writer.id).state == "finished"
    assert far.tokens == {"Bearer secret"}
    assert waiting(tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "moods",
    [["cut"], ["lost answer"], [503, 502], ["ok", "cut", "lost answer", "ok", "cut", 401, 429],
     ["lost answer"] * 3 + ["cut"] * 3],
)  # fmt: skip
def test_each_entry_is_kept_once_however_answers_are_lost(far, tmp_path, moods, until):
    far.moods = list(moods)
    writer = open_run(far.url)
    for number in range(30):
        writer.step(number, 1.0, bytes([number]))
    until(lambda: not far.moods)
    writer.finish()
    assert numbers(far, writer.id) == list(range(30))
    assert [s.payload for s in far.store.steps(writer.id)] == [bytes([n]) for n in range(30)]
    assert far.store.run(writer.id).state == "finished"
    assert waiting(tmp_path) == []
    assert writer.lost == 0


def test_what_an_away_server_missed_waits_on_the_disk_and_is_delivered_by_the_next_run(
    far, tmp_path
):
    far.always = "cut"
    first = open_run(far.url, "first")
    for number in range(10):
        first.step(number, None, b"x")
    with pytest.warns(StoreWarning, match="is still away or slow; the rest of this run is in"):
        first.finish()
    assert waiting(tmp_path) == [f"{first.id}.spool"]
    far.always = "ok"
    with open_run(far.url, "second") as second:
        pass
    assert numbers(far, first.id) == list(range(10))
    assert far.store.run(first.id).state == "finished"
    assert {run.name for run in far.store.runs()[0]} == {"first", "second"}
    assert far.store.run(second.id).steps == 0
    assert waiting(tmp_path) == []


def test_another_servers_and_a_living_programs_files_are_left_alone(tmp_path):
    other, ours = (Spool(tmp_path, f"http://{name}", name) for name in ("other", "ours"))
    for spool in (other, ours):
        spool.add(b"batch")
    other.release()
    assert list(Spool.left(tmp_path, "http://ours")) == []  # still held by who writes it
    ours.release()
    (found,) = Spool.left(tmp_path, "http://ours")
    assert list(found.batches()) == [b"batch"]
    found.clear()
    assert [path.name for path in tmp_path.iterdir()] == ["other.spool"]


@pytest.mark.parametrize("left", [1, 9, 20])
def test_a_torn_tail_is_left_out(tmp_path, left):
    spool = Spool(tmp_path, "http://host", "run")
    spool.add(b"first")
    whole = spool.path.stat().st_size
    spool.add(b"second" * 10)
    spool.release()
    with spool.path.open("r+b") as file:
        file.truncate(whole + left)
    (found,) = Spool.left(tmp_path, "http://host")
    assert list(found.batches()) == [b"first"]
    found.release()


def test_what_was_delivered_is_not_delivered_again(tmp_path):
    spool = Spool(tmp_path, "http://host", "run")
    for batch in (b"first", b"second", b"third"):
        spool.add(batch)
    batches = spool.batches()
    assert [next(batches), next(batches)] == [b"first", b"second"]  # and the second failed
    batches.close()
    assert next(iter(spool.batches())) == b"second"
    spool.release()
    (found,) = Spool.left(tmp_path, "http://host")
    assert list(found.batches()) == [b"second", b"third"]
    found.add(b"fourth")
    assert list(found.batches()) == [b"fourth"]
    found.clear()


def test_what_there_is_no_time_for_is_left_to_the_next(far, tmp_path):
    sink = RemoteSink(Server(far.url), "run", tmp_path, lambda *_: None)
    far.moods = ["cut"]
    sink.write(Batch(1, [Start(None, {}, 0.0)]))
    sink.hurry(0.0)
    sink.close()
    assert far.requests == 1
    assert [path.name for path in tmp_path.glob("*.spool")] == ["run.spool"]


@pytest.mark.parametrize("broken", ["batches", "clear", "left"])
def test_a_spool_that_fails_ends_no_recording(far, tmp_path, monkeypatch, broken):
    def fails(*_):
        raise OSError("input/output error")

    told = []
    sink = RemoteSink(Server(far.url), "run", tmp_path, lambda *words: told.append(words))
    far.moods = ["cut"]
    sink.write(Batch(1, [Start(None, {}, 0.0)]))
    with monkeypatch.context() as patched:
        patched.setattr(Spool, broken, fails)
        sink._next_try = 0.0
        sink.write(Batch(2, [StepEntry(1, 0.0, None, b"")]))
    sink._next_try = 0.0
    sink.write(Batch(3, []))
    sink.close()
    assert numbers(far, "run") == [1]
    assert any("input/output error" in sentence for _, sentence in told)


def test_a_server_that_is_back_is_asked_before_a_disk_that_is_full(far, tmp_path, monkeypatch):
    def full(*_):
        raise OSError("no space left on device")

    told = []
    sink = RemoteSink(Server(far.url), "run", tmp_path, lambda *words: told.append(words[0]))
    far.moods = ["cut"]
    sink.write(Batch(1, [Start(None, {}, 0.0)]))
    monkeypatch.setattr(Spool, "add", full)
    sink.write(Batch(2, [StepEntry(1, 0.0, None, b"")]))
    sink.close()
    assert numbers(far, "run") == [1]
    assert told == ["away"]
    assert list(tmp_path.glob("*.spool")) == []


def test_where_files_have_no_locks_it_waits_in_memory(far, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.delattr(os, "O_CLOEXEC")  # nor this, nor ``pread``
    sink = RemoteSink(Server(far.url), "run", tmp_path, lambda *_: None)
    far.moods = ["cut"]
    batch = Batch(1, [Start(None, {}, 0.0), StepEntry(1, 0.0, None, b"")])
    with pytest.raises(StoreError, match="has no locks that a spool could be held by"):
        sink.write(batch)
    sink.write(batch)
    sink.close()
    assert numbers(far, "run") == [1]


def test_told_once_while_it_is_away(far):
    far.always = "cut"
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        writer = open_run(far.url)
        for number in range(20):
            writer.step(number, None, b"")
        writer.finish()
    sentences = [str(warning.message) for warning in told]
    assert len(sentences) == 2, sentences
    assert "is away" in sentences[0]
    assert "the training goes on, and its steps wait in" in sentences[0]
    assert "is still away" in sentences[1]


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "asks for its token: set LAYERSCOPE_TOKEN"),
        (307, "refuses it: mood 307"),
        (404, "is no Layerscope that takes runs"),
        (409, "has lost the beginning of this run .mood 409"),
        (422, "refuses it: mood 422"),
        (500, "can't take it now .mood 500"),
    ],
)
def test_refusals_are_sentences(far, status, said):
    far.always = status
    with pytest.raises(StoreError, match=said):
        send(Server(far.url), "run", Batch(1, []).to_bytes())
    assert far.requests == 1  # a redirect is not followed


def test_a_refusal_for_good_ends_the_recording_and_not_the_training(far):
    far.always = 422

    def opened_and_ended():  # it may be told as soon as the run is open
        writer = open_run(far.url)
        writer.finish()
        return writer

    with pytest.warns(StoreWarning, match="refuses it: mood 422. The training goes on; this run"):
        writer = opened_and_ended()
    writer.step(1, 1.0, b"")


def test_where_the_disk_takes_nothing_either_it_waits_in_memory(far, tmp_path, until):
    (tmp_path / "here").write_text("a file where the folder would be")
    told = []
    sink = RemoteSink(Server(far.url), "run", tmp_path / "here", lambda *words: told.append(words))
    far.moods = ["cut"]
    batch = Batch(1, [Start(None, {}, 0.0), StepEntry(1, 0.0, None, b"")])
    with pytest.raises(StoreError, match=r"is away .* and it can't be kept on the disk"):
        sink.write(batch)
    sink.write(batch)
    sink.close()
    assert numbers(far, "run") == [1]
    assert told == []


@pytest.mark.slow
def test_a_real_server_with_its_token(serve, tmp_path, monkeypatch):
    monkeypatch.setenv("LAYERSCOPE_TOKEN", SECRET)
    with serve(data_dir=tmp_path, warm_up=False, token=SECRET) as server:
        with open_run(server.url) as writer:
            writer.step(1, 2.0, bytes(200_000))  # beyond what other bodies may have
            writer.finding({"rule": "nonfinite", "severity": "error", "title": "NaN"})
        assert writer.lost == 0
        store = server.app.state.store
        assert [len(s.payload) for s in store.steps(writer.id)] == [200_000]
        assert store.run(writer.id).verdict == {"severity": "error", "title": "NaN"}
