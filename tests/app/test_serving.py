"""The program as an operator starts it: IPv6, and below a path behind a proxy."""

from __future__ import annotations

import contextlib
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx
import pytest

from layerscope.engine.maps.kept import Maps
from layerscope.engine.maps.measuring import reading
from layerscope.engine.maps.plane import Plane
from tests.mapping import alive, children

pytestmark = pytest.mark.slow

TOP = Path(__file__).resolve().parents[2]
PROGRAM = [sys.executable, "-c", "from layerscope.app.cli import main; main()", "serve"]
SMALL = {"depth": 2, "width": 8, "batch": 4}
NGINX = """
pid {folder}/pid; error_log stderr; daemon off; worker_processes 1;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
    uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
    server {{
        listen 127.0.0.1:{port};
        {location}
    }}
}}
"""


def has_ipv6():
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@contextlib.contextmanager
def served(*arguments, **environment):
    """A program that is asked to end afterwards; its address, and the lines it has said."""
    chosen = {f"LAYERSCOPE_{name.upper()}": str(value) for name, value in environment.items()}
    process = subprocess.Popen(
        [*PROGRAM, "--port", "0", *arguments], stderr=subprocess.PIPE,
        env={**os.environ, "LAYERSCOPE_WARM_UP": "0", "LAYERSCOPE_LOG_FORMAT": "json", **chosen},
    )  # fmt: skip
    lines = []
    try:
        yield until_said(process, lines, r'"address": "(http://[^"]+)"'), process, lines
        process.send_signal(signal.SIGTERM)
        lines += process.communicate(timeout=120)[1].decode().splitlines()
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
    assert not [line for line in lines if "Traceback" in line]


MAP = {
    "x": {"parameter": "init_scale", "from": 0.5, "to": 2, "steps": 8, "scale": "log"},
    "y": {"parameter": "depth", "from": 40, "to": 60, "steps": 6},
    "base": {"width": 64, "batch": 128}, "outcome": "last_std",
}  # fmt: skip


def test_killed_in_the_middle_of_a_map_it_goes_on_where_it_was(tmp_path, until):
    """Of what was done nothing is lost, nor computed again."""
    plane = Plane.from_json(MAP)
    told = []

    def some_are_done():
        told.append(client.get(f"/api/v1/maps/{plane.id}").json()["done"])
        return told[-1] >= 4

    with (
        served(data_dir=tmp_path, map_jobs=1) as (url, process, _),
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        assert client.post("/api/v1/maps", json=MAP).json()["id"] == plane.id
        until(some_are_done)
        below = children(process.pid)
        process.kill()
        process.wait()
    kept = Maps(tmp_path)
    before = kept.follow(plane.id)
    assert before.map.state == "running"
    assert told[-1] <= len(before.cells) == before.map.computed < plane.total
    until(lambda: not any(alive(pid) for pid in below))
    with served(data_dir=tmp_path, map_jobs=1):
        until(lambda: kept.state(plane.id) == "finished")
    after = kept.follow(plane.id)
    kept.close()
    assert after.cells[: len(before.cells)] == before.cells
    assert sorted(cell.place for cell in after.cells) == list(range(plane.total))
    assert after.map.computed == plane.total
    found = {cell.place: cell.reading for cell in after.cells}
    for sample in list(plane.samples())[::16]:
        assert found[sample.place] == reading(sample.experiment, None, "last_std")


def until_said(process, lines, pattern):
    """The first group of ``pattern`` in the next line that has it."""
    while True:
        assert select.select([process.stderr], [], [], 120)[0], lines
        lines.append(process.stderr.readline().decode())
        assert lines[-1], lines
        if found := re.search(pattern, lines[-1]):
            return found[1]


def events(client, path):
    with client.stream("GET", path, params=SMALL) as answer:
        assert answer.status_code == 200
        return [line for line in answer.iter_lines() if line.startswith("event: ")]


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 on this machine")
@pytest.mark.parametrize("host", ["::1", "::"])
def test_ipv6(host):
    with (
        served("--host", host, token="") as (url, _, _),
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        assert urlsplit(url).hostname == "::1"
        assert client.get("/api/v1/presets").status_code == 200
        assert events(client, "/api/v1/experiment/stream")[-1] == "event: end"
        page = client.get("/", params=SMALL)
        assert page.status_code == 200
        foreign = client.get("/api/v1/presets", headers={"Host": "[2001:db8::1]"})
        assert foreign.status_code == (200 if host == "::" else 400)
        name = client.get("/api/v1/presets", headers={"Host": "evil.example"})
        assert name.status_code == 400


@contextlib.contextmanager
def behind_nginx(tmp_path, upstream, location):
    """Nginx as the documentation has it; its address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    location = location.replace("http://127.0.0.1:8000", upstream)
    conf = tmp_path / "nginx.conf"
    conf.write_text(NGINX.format(folder=tmp_path, port=port, location=location))
    process = subprocess.Popen(["nginx", "-p", tmp_path, "-c", conf], stderr=subprocess.PIPE)
    try:
        for _ in range(600):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            assert process.poll() is None, process.stderr.read().decode()
            select.select([], [], [], 0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGQUIT)
        process.wait(60)
        process.stderr.close()


def documented(language):
    """The block of docs/deploy.md that an operator copies."""
    text = (TOP / "docs" / "deploy.md").read_text()
    return re.search(rf"```{language}\n(.*?)```", text, re.DOTALL)[1]


@pytest.mark.skipif(not shutil.which("nginx"), reason="nginx is not installed")
@pytest.mark.parametrize("strips", [False, True], ids=["as documented", "strips the prefix"])
def test_below_a_path_behind_the_documented_nginx(tmp_path, strips):
    with served("--root-path", "/layerscope", trusted_proxies="127.0.0.1") as (url, _, lines):
        location = documented("nginx")
        if strips:
            location = location.replace("127.0.0.1:8000;", "127.0.0.1:8000/;")
        with (
            behind_nginx(tmp_path, url, location) as outside,
            httpx.Client(base_url=outside, timeout=60) as client,
        ):
            page = client.get("/layerscope/", params=SMALL)
            assert page.status_code == 200
            own = re.findall(r'(?:href|src|hx-get|action|content)="(/[^"]*)"', page.text)
            assert len(own) > 10
            assert all(each.startswith("/layerscope/") for each in own), own
            for each in {each for each in own if "/static/" in each}:
                assert client.get(each).status_code == 200, each
            for each in ("foundations/einsum", "why/phase", "docs", "healthz"):
                assert client.get(f"/layerscope/{each}").status_code == 200
            assert events(client, "/layerscope/api/v1/experiment/stream")[-1] == "event: end"
            posted = client.post("/layerscope/api/v1/experiment", json=SMALL)
            assert posted.status_code == 200
            link = urljoin(str(posted.url), posted.headers["content-location"])
            assert client.get(link).json()["loss"] == posted.json()["loss"]
            forwarded = client.get(
                "/layerscope/api/v1/presets", headers={"X-Forwarded-For": "203.0.113.7"}
            )
            assert forwarded.status_code == 200
    # Who asked nginx was this machine, which is trusted: what it says of its own client counts.
    assert any('"client": "203.0.113.7"' in line for line in lines)


def test_several_processes_answer_alike_and_end_together():
    with served("--workers", "2") as (url, process, lines):
        first = until_said(process, lines, r"Started server process \[(\d+)\]")
        second = until_said(process, lines, r"Started server process \[(\d+)\]")
        assert len({first, second, str(process.pid)}) == 3
        found = set()
        for _ in range(12):  # each on a connection of its own: whichever process takes it
            with httpx.Client(base_url=url, timeout=60) as client:
                result = client.get("/api/v1/experiment", params=SMALL)
                found.add((result.status_code, result.headers["etag"], result.json()["loss"]))
                assert client.get("/healthz").status_code == 200
                assert events(client, "/api/v1/experiment/stream")[-1] == "event: end"
        assert len(found) == 1
    assert process.returncode in (0, -signal.SIGTERM)
    for pid in (first, second):
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)
