"""Static files: addresses that follow the content, encodings, and nothing from outside."""

from __future__ import annotations

import asyncio
import gzip
import math
import os
import re
from urllib.parse import quote

import brotli
import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from layerscope.app.assets import Assets, accepted_encoding
from layerscope.app.templating import assets

SCRIPT = b"export const answer = 42;\n" * 100


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "js" / "lab").mkdir(parents=True)
    (tmp_path / "js" / "main.js").write_bytes(SCRIPT)
    (tmp_path / "js" / "lab" / "part.js").write_bytes(SCRIPT)
    (tmp_path / "css").mkdir()
    (tmp_path / "css" / "page.css").write_text("a{}")
    (tmp_path.parent / "secret.txt").write_text("secret")
    return tmp_path


def test_the_address_follows_the_content_of_the_first_folder(folder):
    found = Assets(folder)
    before = found.url("js/main.js"), found.url("css/page.css")
    assert re.fullmatch(r"/static/[0-9a-f]{12}/js/main\.js", before[0])
    part = folder / "js" / "lab" / "part.js"
    part.write_bytes(SCRIPT + b"\n")
    assert found.url("js/main.js") != before[0]
    assert found.url("css/page.css") == before[1]
    part.write_bytes(SCRIPT)
    os.utime(part)  # another time, the same content
    assert found.url("js/main.js") == before[0]
    assert Assets(folder).url("js/main.js") == before[0]


def test_an_installed_packages_files_are_digested_once(folder):
    found = Assets(folder, look_seconds=math.inf)
    before = found.url("js/main.js")
    (folder / "js" / "main.js").write_bytes(b"changed")
    assert found.url("js/main.js") == before


def test_a_misspelt_name_is_an_error_in_the_template(folder):
    with pytest.raises(FileNotFoundError, match=r"js/mian\.js"):
        Assets(folder).url("js/mian.js")


def get(folder, path, encoding="identity"):
    static = Route("/static/{path:path}", Assets(folder), methods=["GET"])
    app = Starlette(routes=[static])
    app.router.redirect_slashes = False
    transport = httpx.ASGITransport(app)

    async def ask():
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            address = f"/static/{quote(path, safe='')}"  # or httpx resolves its dots itself
            return await client.get(address, headers={"Accept-Encoding": encoding})

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("encoding", "suffix", "compress"),
    [("br", ".br", brotli.compress), ("gzip", ".gz", gzip.compress)],
)
def test_a_file_compressed_at_build_is_used_unless_it_is_older(folder, encoding, suffix, compress):
    plain = folder / "js" / "main.js"
    built = folder / "js" / f"main.js{suffix}"
    built.write_bytes(compress(SCRIPT))
    now = plain.stat().st_mtime
    os.utime(built, (now, now + 1))
    sent = get(folder, "js/main.js", encoding)
    assert sent.headers["content-encoding"] == encoding
    assert int(sent.headers["content-length"]) == built.stat().st_size < len(SCRIPT) / 5
    assert sent.content == SCRIPT
    assert sent.headers["content-type"] == "text/javascript; charset=utf-8"
    assert "content-encoding" not in get(folder, "js/main.js").headers
    os.utime(built, (now, now - 1))
    assert "content-encoding" not in get(folder, "js/main.js", encoding).headers


def test_a_changed_file_has_another_tag(folder):
    old = get(folder, "js/main.js")
    (folder / "js" / "main.js").write_bytes(SCRIPT + SCRIPT)
    new = get(folder, "js/main.js")
    assert new.content == SCRIPT + SCRIPT
    assert new.headers["etag"] != old.headers["etag"]


@pytest.mark.parametrize(
    "path",
    ["../secret.txt", "js/../../secret.txt", "/etc/passwd", "js//main.js", "js", "", ".", "js/.x",
     "js/main.js/", "js\\main.js", "js/main.js\0", "x" * 5000, "js/nothing.js"],
)  # fmt: skip
def test_nothing_from_outside(folder, path):
    assert get(folder, path).status_code == 404


def test_a_link_out_of_the_folder_is_not_followed(folder):
    (folder / "js" / "link.txt").symlink_to(folder.parent / "secret.txt")
    assert get(folder, "js/link.txt").status_code == 404


@pytest.mark.parametrize(
    ("header", "best"),
    [
        ("br, gzip", "br"),
        ("gzip, br", "br"),
        ("gzip", "gzip"),
        ("GZIP", "gzip"),
        ("br;q=0.1, gzip;q=0.9", "gzip"),
        ("*", "br"),
        ("*;q=0", None),
        ("br;q=0, *", "gzip"),
        ("identity", None),
        ("br;q=x", None),
        ("", None),
        (",,;;=", None),
    ],
)
def test_accept_encoding(header, best):
    assert accepted_encoding(header) == best


def test_served_with_a_year_of_life_under_the_right_digest(server):
    url = assets.url("vendor/htmx.min.js")
    response = server.client.get(url, headers={"Accept-Encoding": "br"})
    assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert response.headers["content-encoding"] == "br"
    assert response.headers["vary"] == "Accept-Encoding"
    assert response.headers["content-type"] == "text/javascript; charset=utf-8"
    known = {"If-None-Match": response.headers["etag"], "Accept-Encoding": "br"}
    assert server.client.get(url, headers=known).status_code == 304
    plain = server.client.get(url, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.content == response.content
    assert plain.headers["etag"] != response.headers["etag"]


@pytest.mark.parametrize("digest", ["000000000000/", ""])
def test_under_another_digest_it_is_asked_for_again(server, digest):
    response = server.client.get(f"/static/{digest}vendor/htmx.min.js")
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-cache"
    assert response.headers["etag"]


@pytest.mark.parametrize(
    "path", ["/static/../pyproject.toml", "/static/%2e%2e/pyproject.toml", "/static/js/%00",
             "/static/..%2fpyproject.toml", "/static/js", "/static/"]
)  # fmt: skip
def test_no_way_out_over_http(server, path):
    response = server.client.get(server.url + path)
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
