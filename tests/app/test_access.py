"""Other sites, proxies and the token: who is answered, and what is never told."""

from __future__ import annotations

import logging
import re
from urllib.parse import urlsplit

import httpx
import pytest

from layerscope.app.settings import Settings

SMALL = "/api/v1/experiment?depth=1&width=4&batch=4"
SECRET = "correct horse battery staple"  # noqa: S105
SHORT = "t"


def fetch(site, mode="cors", dest="empty"):
    return {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),  # curl
        (fetch("same-origin"), 200),
        (fetch("none", "navigate", "document"), 200),  # typed in
        (fetch("cross-site", "navigate", "document"), 200),  # a link
        (fetch("cross-site"), 403),
        (fetch("same-site"), 403),  # another port of this machine
        (fetch("cross-site", "no-cors", "image"), 403),
        (fetch("cross-site", "navigate", "iframe"), 403),
        ({"Origin": "http://localhost:8000"}, 200),
        ({"Origin": "http://localhost:9000"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "https://notes.example", **fetch("cross-site")}, 403),
    ],
)
def test_other_sites_are_refused_but_their_links_work(ask, headers, status):
    answer = ask().get(SMALL, headers=headers)
    assert answer.status_code == status
    if status == 403:
        assert answer.json()["type"] == "/docs#problem-origin"


RUN = "/runs/0197f2c31b0e8a4c"


@pytest.mark.parametrize("site", ["same-site", "cross-site"])
def test_a_runs_page_alone_is_framed_and_by_named_origins_alone(ask, site):
    frame = fetch(site, "navigate", "iframe")
    assert ask().get(RUN, headers=frame).status_code == 403
    client = ask(frame_origins="http://localhost:8888, https://notes.example")
    answer = client.get(RUN, headers=frame)
    assert answer.status_code == 404  # no such run, but answered
    policy = answer.headers["content-security-policy"]
    assert "frame-ancestors 'self' http://localhost:8888 https://notes.example" in policy
    for path in (SMALL, "/", "/runs", f"{RUN}/module", f"/api/v1{RUN}"):
        refused = client.get(path, headers=frame)
        assert refused.status_code == 403
        assert refused.headers["content-security-policy"].endswith("frame-ancestors 'self'")
    assert client.get(RUN, headers=fetch(site)).status_code == 403
    assert client.post(RUN, headers=frame).status_code == 403


def test_no_site_posts(ask):
    headers = fetch("cross-site", "navigate", "document")
    assert ask().post("/api/v1/experiment", json={"depth": 0}, headers=headers).status_code == 403
    assert ask().post("/api/v1/experiment", json={"depth": 0}).status_code == 422


def test_an_allowed_site_asks_and_reads(ask):
    client = ask(allowed_origins="https://notes.example")
    headers = {"Origin": "https://notes.example", **fetch("cross-site")}
    answer = client.get(SMALL, headers=headers)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://notes.example"
    assert client.get(SMALL, headers=fetch("cross-site")).status_code == 403
    preflight = {**headers, "Access-Control-Request-Method": "POST",
                 "Access-Control-Request-Headers": "content-type"}  # fmt: skip
    assert client.options("/api/v1/experiment", headers=preflight).status_code == 200


@pytest.fixture
def guarded(ask):
    return ask(token=SECRET)


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz"])
def test_probes_need_no_token(guarded, path):
    guarded.app.state.readiness.state = "ready"
    assert guarded.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/", SMALL, "/docs", "/metrics", "/nothing",
                                  "/api/v1/openapi.json", "/staticx", "/healthz/"])  # fmt: skip
def test_everything_else_does(guarded, path):
    answer = guarded.get(path)
    assert answer.status_code == 401
    assert answer.json()["type"] == "/docs#problem-token"
    assert answer.headers["www-authenticate"] == 'Bearer realm="layerscope"'
    assert "default-src 'self'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (f"Bearer {SECRET}", 200),
        (f"bearer {SECRET}", 200),
        (f"Basic {SECRET}", 401),
        (f"Bearer {SECRET}x", 401),
        ("Bearer", 401),
        ("Bearer \xff".encode("latin-1"), 401),
    ],
)
def test_a_program_sends_it_as_a_bearer(guarded, given, status):
    headers = {"Authorization": given}
    assert guarded.get("/api/v1/presets", headers=headers).status_code == status


def test_a_browser_gets_a_page_and_then_a_cookie(guarded):
    page = guarded.get("/?depth=3", headers={"Accept": "text/html"})
    assert page.status_code == 401
    assert '<input name="token" type="password"' in page.text
    assert guarded.get("/?token=x", headers={"Accept": "text/html"}).status_code == 401

    path = "/api/v1/experiment?depth=1&width=4&batch=4"
    moved = guarded.get(f"{path}&token={SECRET}")
    assert (moved.status_code, moved.headers["location"]) == (303, path)
    cookie = moved.headers["set-cookie"]
    assert SECRET not in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Secure" not in cookie
    assert guarded.get(path).status_code == 200  # the client has the cookie now


def test_the_cookie_is_secure_where_the_address_is(ask):
    client = ask(base_url="https://localhost", token=SECRET)
    assert "Secure" in client.get(f"/?token={SECRET}").headers["set-cookie"]


def test_a_forged_cookie_is_none(guarded):
    name = guarded.get(f"/?token={SECRET}").headers["set-cookie"].partition("=")[0]
    for value in (SECRET, "0" * 64, "", '"'):
        guarded.cookies.clear()
        answer = guarded.get("/api/v1/presets", headers={"Cookie": f"{name}={value}"})
        assert answer.status_code == 401


def test_the_redirect_stays_here(guarded):
    answer = guarded.get(httpx.URL("http://localhost:8000//evil.example/", query=b"token=" +
                                   SECRET.replace(" ", "+").encode()))  # fmt: skip
    assert answer.status_code == 303
    assert urlsplit(answer.headers["location"]).netloc == ""
    assert answer.headers["location"].startswith("/evil.example")


def test_the_token_is_in_no_log(guarded, caplog):
    with caplog.at_level(logging.DEBUG):
        guarded.get(f"/?token={SECRET}")
        guarded.get("/docs", headers={"Authorization": f"Bearer {SECRET}"})
    ours = [str(record.msg) for record in caplog.records if record.name.startswith("layerscope")]
    assert len(ours) == 2
    assert SECRET.split()[0] not in "".join(ours)


@pytest.mark.parametrize(
    ("address", "forwarded", "seen"),
    [
        ("10.0.0.5", "203.0.113.7", "203.0.113.7"),
        ("10.0.0.5", "198.51.100.1, 203.0.113.7, 10.9.9.9", "203.0.113.7"),
        ("10.0.0.5", "[2001:db8::1]:443", "2001:db8::1"),
        ("10.0.0.5", "203.0.113.7:1234", "203.0.113.7"),
        ("10.0.0.5", "evil\x1b[2J, 10.0.0.6", "10.0.0.6"),
        ("10.0.0.5", "x" * 5000, "10.0.0.5"),
        ("192.0.2.1", "203.0.113.7", "192.0.2.1"),  # no proxy of ours
    ],
)
def test_forwarded_addresses_count_from_trusted_proxies_only(ask, caplog, address, forwarded, seen):
    client = ask(address=address, trusted_proxies="10.0.0.0/8, 127.0.0.1")
    headers = {"X-Forwarded-For": forwarded.encode("latin-1")}
    with caplog.at_level(logging.INFO):
        client.get("/api/v1/presets", headers=headers)
    (line,) = [r.msg for r in caplog.records if "presets" in str(r.msg)]
    assert line["client"] == seen


def test_the_scheme_is_taken_from_trusted_proxies_only(ask):
    for address, secure in (("10.0.0.5", True), ("192.0.2.1", False)):
        client = ask(address=address, trusted_proxies="10.0.0.0/8", token=SHORT)
        answer = client.get(f"/?token={SHORT}", headers={"X-Forwarded-Proto": "https"})
        assert ("Secure" in answer.headers["set-cookie"]) is secure


@pytest.mark.parametrize("path", ["/layerscope/docs", "/docs"])  # kept or stripped by the proxy
def test_a_prefix_is_on_every_address(ask, path):
    client = ask(root_path="/layerscope", token=SHORT)
    moved = client.get(f"{path}?token={SHORT}")
    assert moved.headers["location"] == "/layerscope/docs"
    assert "Path=/layerscope;" in moved.headers["set-cookie"] + ";"
    page = client.get(path, headers={"Authorization": f"Bearer {SHORT}"})
    assert page.status_code == 200
    assert 'src="/layerscope/static/' in page.text
    assert 'src="/static/' not in page.text


@pytest.mark.slow
def test_every_page_emits_addresses_below_the_prefix(ask):
    client = ask(root_path="/below", max_flops=1e10)
    paths = [page.path for page in client.app.state.navigation]
    assert len(paths) > 10
    for path in (*paths, "/docs"):
        text = client.get(f"/below{path}").text
        emitted = re.findall(r'(?:href|action|src|hx-get|data-[a-z-]+)="(/[^"]*)"', text)
        assert emitted
        assert [each for each in emitted if not each.startswith("/below/")] == [], path


def test_so_does_the_json_of_a_layer(ask):
    small = {"depth": 1, "width": 4, "batch": 4, "layer": 0}
    answer = ask(root_path="/below").get("/below/api/v1/experiment/layer", params=small).json()
    addresses = [tensor["npy"] for tensor in answer["tensors"].values()]
    assert addresses
    assert all(each.startswith("/below/api/v1/experiment/tensor?") for each in addresses)


def test_which_hosts_are_this_machine():
    loopback = [
        Settings(host=h).is_loopback for h in ("127.0.0.1", "localhost", "::1", "127.1.2.3")
    ]
    assert all(loopback)
    open_ = [Settings(host=h).is_loopback for h in ("0.0.0.0", "::", "", "10.0.0.1", "a.example")]
    assert not any(open_)


@pytest.mark.slow
def test_too_many_errors_are_counted(ask):
    answer = ask().post("/api/v1/experiment", json={f"a{i}": 1 for i in range(3000)})
    assert answer.status_code == 422
    assert len(answer.content) < 10_000
    assert "3000 errors in all, of which the first 20 are listed" in answer.json()["detail"]
    answer = ask().post("/api/v1/experiment", json={"a" * 60_000: 1})
    assert len(answer.content) < 5_000


def test_metrics_are_told_by_route(ask):
    client = ask()
    client.get(SMALL)
    client.get("/nothing")
    client.get("/nothing/else")
    client.head("/api/v1/presets")
    text = client.get("/metrics").text
    found = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    route = 'layerscope_requests_total{method="%s",route="%s",status="%s"}'
    assert found[route % ("GET", "/api/v1/experiment", 200)] == "1.0"
    assert found[route % ("GET", "none", 404)] == "2.0"
    assert found['layerscope_request_seconds_count{route="/api/v1/presets"}'] == "1.0"
    assert found["layerscope_computations_running"] == "0.0"
    assert found["layerscope_sending_bytes"] == "0.0"
    assert float(found["process_resident_memory_bytes"]) > 1e7
