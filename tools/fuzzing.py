"""Requests that no browser sends: pages, fragments, streams, headers, bodies, methods, encodings.

Each goes over a socket of its own, as bytes, so that nothing is mended on the way.
"""

from __future__ import annotations

import gzip
import json
import random
import re
import socket
import threading
import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote, urlencode

__all__ = ["Fuzzer"]

PAGES = (
    "/", "/lab/stream", "/lab/drawing", "/lab/layer", "/docs", "/foundations", "/why/diagnosis",
    "/foundations/schemes/stream", "/readyz",
)  # fmt: skip
METHODS = ("HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get", "BREW")
SMALL = {"depth": 6, "width": 24, "inputs": 24, "batch": 24}
"""Largest values that most cases use, so that most of them are computed."""
HOSTILE = (
    "", "0", "-1", "1e999", "-0.0", "nan", "NaN", "Infinity", "٣", "1_0", " 5", "5 ", "+5", "0x10",
    "\x00", "\r\nX: y", "\ud800", "\U0001f9e0" * 20, "a" * 5000, "<script>alert(1)</script>", "'\"",
    "{{7*7}}", "../../etc/passwd", "__class__", "9" * 40, "[[[[[[[[", "ij,jk->ik", "None", "...",
    "1,2,3", "(9999999,9999999)", "\u202e", "%", "%00", "&", "=",
)  # fmt: skip
HEADERS: dict[str, tuple[str, ...]] = {
    "HX-Request": ("true", "false", "1"),
    "HX-Target": ("main", "", "x" * 300, "<b>"),
    "HX-Boosted": ("true",),
    "HX-History-Restore-Request": ("true",),
    "HX-Current-URL": ("http://localhost/", "javascript:alert(1)", "\xff"),
    "Accept": ("text/html", "application/json", "text/event-stream", "*/*;q=0", "garbage", ""),
    "Accept-Encoding": ("gzip", "br", "identity;q=0", "gzip;q=nan", "*"),
    "Accept-Language": ("de", "x" * 500),
    "If-None-Match": ("*", '"x"', 'W/"x", W/"y"', '"'),
    "If-Modified-Since": ("Thu, 01 Jan 1970 00:00:00 GMT", "yesterday"),
    "Range": ("bytes=0-9", "bytes=-1", "bytes=9-0", "lines=1-2"),
    "Last-Event-ID": ("1", "\xff", "x" * 900),
    "Cookie": ("layerscope=x", ";;;=", "a=b; a=b"),
    "Authorization": ("Bearer x", "Basic !!!", ""),
    "Origin": ("null", "http://evil.example", "http://localhost"),
    "Sec-Fetch-Site": ("cross-site", "same-origin", "none", "x"),
    "X-Forwarded-For": ("1.2.3.4", "::1, garbage", "\xff"),
    "X-Forwarded-Proto": ("https", "gopher"),
    "X-Request-ID": ("a", "b\tc", "x" * 400),
    "Host": ("evil.example", "localhost:99999", "[::1", "", "127.0.0.1"),
    "Expect": ("100-continue", "x"),
    "Upgrade": ("websocket", "h2c"),
    "Transfer-Encoding": ("identity", "gzip, chunked"),
    "Content-Length": ("-1", "5", "99999999999999999999", "x"),
    "Method-Override": ("DELETE",),
}
CONTENT_TYPES = (
    "application/json", "application/json; charset=utf-16", "application/json;;", "text/plain", "",
    "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
)  # fmt: skip
TIMEOUT_SECONDS = 60.0
MOST_READ = 1 << 22
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


class Fuzzer:
    """Asks a server on 127.0.0.1; the same seed asks the same.

    Args:
        port: where it listens.
        seed: of everything that is drawn.
    """

    def __init__(self, port: int, seed: int = 0) -> None:
        self.port = port
        self.seed = seed
        self.seen: Counter[str] = Counter()
        """Answers by status, and ``cut`` for requests that were never finished."""
        self._lock = threading.Lock()
        described = self._exchange(b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: localhost\r\n"
                                   b"Connection: close\r\n\r\n")  # fmt: skip
        self._paths: dict[str, Any] = json.loads(described.partition(b"\r\n\r\n")[2])["paths"]
        self._targets = sorted(
            {*PAGES, *self._paths, *(p.removeprefix("/api/v1") for p in self._paths)}
        )

    def ask(self, count: int, threads: int = 4) -> list[str]:
        """Send ``count`` requests; what was wrong with the answers, with each request's start."""
        with ThreadPoolExecutor(threads) as pool:
            found = pool.map(self._one, range(count))
            return [failure for failure in found if failure]

    def _one(self, number: int) -> str:
        draw = random.Random(f"{self.seed}:{number}")  # noqa: S311 - drawn anew, not guessed
        request = self._request(draw)
        cut, most = draw.random() < 0.15, MOST_READ
        if cut:  # leaves in the middle of the answer, or of its own request
            most = draw.choice((0, 1, 2000))
            request = request if most else request[: draw.randrange(len(request))]
        try:
            answer = self._exchange(request, most)
        except TimeoutError:
            return f"case {number}: no answer within {TIMEOUT_SECONDS:g} s to {request[:300]!r}"
        except OSError:  # reset while we still wrote: as good as refused
            answer, cut = b"", True
        answer = answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
        status = STATUS.match(answer)
        with self._lock:
            self.seen["cut" if cut else status[1].decode() if status else "nothing"] += 1
        wrong = "" if cut else _judge(answer, request)
        return f"case {number}: {wrong}: {request[:600]!r}" if wrong else ""

    def _exchange(self, request: bytes, most: int = MOST_READ) -> bytes:
        parts = []
        with socket.create_connection(("127.0.0.1", self.port), TIMEOUT_SECONDS) as connection:
            connection.sendall(request)
            while most > 0 and (part := connection.recv(min(most, 65536))):
                parts.append(part)
                most -= len(part)
        return b"".join(parts)

    # What is asked

    def _request(self, draw: random.Random) -> bytes:
        target = draw.choice(self._targets)
        method = draw.choice(METHODS) if draw.random() < 0.2 else "GET"
        body, coded = b"", {}
        if method == "GET" and "post" in self._paths.get(target, {}) and draw.random() < 0.7:
            method = "POST"
        if method in ("POST", "PUT", "PATCH", "DELETE") or draw.random() < 0.03:
            body, coded = self._body(draw)
        headers = {"Host": "localhost", "Connection": "close", **coded}
        for name in draw.sample(sorted(HEADERS), draw.choice((0, 0, 1, 1, 2, 5))):
            headers[name] = draw.choice(HEADERS[name])
        if draw.random() < 0.01:
            headers |= {f"X-{n}": "y" * 200 for n in range(draw.choice((50, 120, 300)))}
        query = self._query(draw, target)
        where = target + (f"?{query}" if query else "")
        if draw.random() < 0.03:
            where = draw.choice(("*", "//", "/%2e%2e/", "http://localhost/", where + "/", "/%ff"))
        lines = [f"{method} {where} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
        return "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n" + body

    def _parameters(self, target: str) -> dict[str, dict[str, Any]]:
        """The parameters of an address, or of its twin."""
        for path in (target, f"/api/v1{target}", "/api/v1/experiment"):
            if given := self._paths.get(path, {}).get("get", {}).get("parameters"):
                return {each["name"]: each["schema"] for each in given}
        return {}

    def _query(self, draw: random.Random, target: str) -> str:
        parameters = self._parameters(target)
        chosen = {n for n in parameters if n in SMALL or draw.random() < 0.35}
        pairs = [(n, _value(draw, n, parameters[n])) for n in parameters if n in chosen]
        if target.endswith(("/layer", "/tensor")) and "layer" not in parameters:
            pairs.append(("layer", str(draw.randrange(14))))
        if pairs and draw.random() < 0.25:
            pairs[draw.randrange(len(pairs))] = (draw.choice(pairs)[0], draw.choice(HOSTILE))
        if draw.random() < 0.05:
            pairs.append((draw.choice(HOSTILE), draw.choice(HOSTILE)))
        if draw.random() < 0.05:
            pairs.append(("run", "true"))
        if draw.random() < 0.03:
            return quote("&".join(draw.choices(HOSTILE, k=4)), "&=%", errors="surrogatepass")
        return urlencode(pairs, errors="surrogatepass")

    def _body(self, draw: random.Random) -> tuple[bytes, dict[str, str]]:
        parameters = self._parameters("/api/v1/experiment")
        asked: dict[str, Any] = {}
        for name, schema in parameters.items():
            if name in SMALL or draw.random() < 0.3:
                text = _value(draw, name, schema)
                asked[name] = _typed(text) if draw.random() < 0.95 else draw.choice(HOSTILE)
        text = json.dumps(asked, ensure_ascii=draw.random() < 0.5)
        strange = draw.random()
        if strange < 0.05:
            text = "[" * draw.choice((10, 5000, 50000))
        elif strange < 0.1:
            text = draw.choice(
                ("null", "[]", "NaN", "1e999", '{"depth": NaN}', '{"a":1,"a":2}', "")
            )
        elif strange < 0.13:
            text = text * draw.choice((2, 2000))
        coding = draw.choice(("utf-8",) * 8 + ("utf-16", "utf-7", "utf-8-sig", "utf-32"))
        body = text.encode(coding, "surrogatepass" if coding[:3] == "utf" and coding != "utf-7"
                           else "replace")  # fmt: skip
        kind = "application/json" if draw.random() < 0.7 else draw.choice(CONTENT_TYPES)
        headers = {"Content-Type": kind}
        if draw.random() < 0.06:
            how = draw.choice((gzip.compress, zlib.compress, bytes))
            body, headers["Content-Encoding"] = how(body), draw.choice(("gzip", "deflate", "br"))
        if draw.random() < 0.1:
            headers["Transfer-Encoding"] = "chunked"
            size = f"{len(body):x}" if draw.random() < 0.8 else draw.choice(("zz", "-1", "f" * 20))
            ends = b"\r\n0\r\n\r\n" if body else b"0\r\n\r\n"
            return (f"{size}\r\n".encode() if body else b"") + body + ends, headers
        headers["Content-Length"] = str(len(body))
        return body, headers


def _value(draw: random.Random, name: str, schema: dict[str, Any]) -> str:
    """Something that ``schema`` allows, at its ends more often than between them."""
    schema = {**schema, **next((s for s in schema.get("anyOf", ()) if s["type"] != "null"), {})}
    if "enum" in schema:
        return str(draw.choice(schema["enum"]))
    if schema.get("type") == "boolean":
        return draw.choice(("true", "false"))
    if schema.get("type") == "string" or "type" not in schema:
        return draw.choice((str(schema.get("default", "")), draw.choice(HOSTILE)))
    low, high = schema.get("minimum", 0), schema.get("maximum", 100)
    if schema["type"] == "integer":
        most = min(high, SMALL.get(name, 50)) if draw.random() < 0.97 else high
        return str(draw.choice((low, most, draw.randint(low, most))))
    between = low + (high - low) * draw.random() ** draw.choice((1, 8))
    return f"{draw.choice((low, high, between, between, between)):.6g}"


def _typed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


# What is answered


def _judge(answer: bytes, request: bytes) -> str:
    """What is wrong with an answer, or nothing."""
    status = STATUS.match(answer)
    if status is None:
        return f"no HTTP answer but {answer[:80]!r}"
    head, _, body = answer.partition(b"\r\n\r\n")
    code, fields = int(status[1]), head.lower()
    if code >= 500 and (code != 503 or b"retry-after" not in fields):
        return f"answered {code}"
    if b"Traceback (most recent" in body:
        return "a traceback in the answer"
    if b"x-content-type-options" not in fields:
        return "no security headers"
    if b"\r\nx: y" in fields:
        return "a header of the request's own making"
    if code in (422, 413, 415) and b"problem+json" in fields and b"content-encoding" not in fields:
        whole = request[:4] != b"HEAD" and b"content-length: %d" % len(body) in fields
        if whole and json.loads(body)["status"] != code:
            return "a problem that says another status"
    return ""
