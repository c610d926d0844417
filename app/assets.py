"""Static files under content-hashed URLs, compressed once, cached by browsers for a year.

``js/lab.js`` is served as ``/static/<digest>/js/lab.js``, where the digest is over every file of
the first-level folder (``js``): a module's relative imports stay inside the same digest, so that
one changed file renames them all and no browser ever mixes two versions.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import brotli

__all__ = ["Asset", "Assets", "accepted_encoding", "matches", "resources"]

DIGEST = re.compile(r"[0-9a-f]{12}")
COMPRESSIBLE = re.compile(r"text/|application/(json|javascript|manifest\+json)|image/svg")
MIN_COMPRESSED = 512
"""Smaller files are sent as they are: a compressed one would fill a packet all the same."""
SUFFIXES = {"br": ".br", "gzip": ".gz"}


def resources() -> Path:
    """The folder that holds ``templates/`` and ``static/``: in a wheel or in a checkout."""
    return Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Asset:
    """One file in one encoding, ready to be sent."""

    body: bytes
    media_type: str
    encoding: str | None
    etag: str


class Assets:
    """The files below ``root``, by their path relative to it.

    Args:
        root: the folder of static files.
        frozen: the files can't change while the process runs (an installed package), so that
            digests are computed once; otherwise they follow the files' size and time.
    """

    def __init__(self, root: Path, *, frozen: bool = False) -> None:
        self.root = root
        self.frozen = frozen
        self._digests: dict[str, tuple[object, str]] = {}
        self._read: dict[tuple[str, str | None], tuple[tuple[int, int], Asset]] = {}

    def url(self, path: str) -> str:
        """The address of ``path``, for example ``/static/0f3a…/js/lab.js``.

        Errors:
            ``FileNotFoundError`` naming the path, so that a template's typing error shows at once.
        """
        if self._file(path) is None:
            raise FileNotFoundError(f"no static file {path!r} below {self.root}")
        return f"/static/{self.digest(PurePosixPath(path).parts[0])}/{path}"

    def digest(self, folder: str) -> str:
        """Twelve hexadecimal digits over the names and contents of everything in ``folder``."""
        known = self._digests.get(folder)
        if known is not None and self.frozen:
            return known[1]
        files = sorted(p for p in self._walk(self.root / folder) if p.suffix not in (".br", ".gz"))
        state = [(str(p), *_stamp(p)) for p in files]
        if known is not None and known[0] == state:
            return known[1]
        total = hashlib.sha256()
        for path in files:
            total.update(str(path.relative_to(self.root)).encode() + b"\0")
            total.update(hashlib.sha256(path.read_bytes()).digest())
        self._digests[folder] = (state, total.hexdigest()[:12])
        return self._digests[folder][1]

    def is_current(self, digest: str, path: str) -> bool:
        """Whether ``digest`` is that of the folder ``path`` is in: then it may be kept for ever."""
        return self.digest(PurePosixPath(path).parts[0]) == digest

    def read(self, path: str, encoding: str | None) -> Asset | None:
        """The file, in ``encoding`` where that is worth it; ``None`` when there is no such file.

        A compressed file that lies beside it (made when the package was built) is used; otherwise
        it is compressed once and kept in memory.
        """
        file = self._file(path)
        if file is None:
            return None
        media_type = mimetypes.guess_type(path)[0] or "application/octet-stream"
        if path.endswith((".js", ".mjs")):
            media_type = "text/javascript"
        stamp = _stamp(file)
        if not COMPRESSIBLE.match(media_type) or stamp[0] < MIN_COMPRESSED:
            encoding = None
        held = self._read.get((path, encoding))
        if held is not None and held[0] == stamp:
            return held[1]
        plain = file.read_bytes()
        etag = hashlib.sha256(plain).hexdigest()[:16]
        body = _compressed(file, plain, encoding) if encoding else plain
        if media_type.startswith("text/"):
            media_type += "; charset=utf-8"
        asset = Asset(body, media_type, encoding, f'"{etag}-{encoding or "plain"}"')
        self._read[path, encoding] = (stamp, asset)
        return asset

    def _file(self, path: str) -> Path | None:
        parts = path.split("/")
        # Refused before the file system is asked: no parent folders, no hidden or odd names.
        if any(not re.fullmatch(r"[A-Za-z0-9_@-][A-Za-z0-9._@-]*", part) for part in parts):
            return None
        if len(path) > 255:
            return None
        file = self.root.joinpath(*parts)
        inside = file.resolve().is_relative_to(self._resolved_root)
        return file if inside and file.is_file() else None

    @cached_property
    def _resolved_root(self) -> Path:
        return self.root.resolve()

    @staticmethod
    def _walk(folder: Path) -> list[Path]:
        if folder.is_file():
            return [folder]
        return [Path(at) / name for at, _, names in os.walk(folder) for name in names]


def _stamp(file: Path) -> tuple[int, int]:
    stat = file.stat()
    return stat.st_size, stat.st_mtime_ns


def _compressed(file: Path, plain: bytes, encoding: str) -> bytes:
    built = file.with_name(file.name + SUFFIXES[encoding])
    if built.is_file() and built.stat().st_mtime_ns >= file.stat().st_mtime_ns:
        return built.read_bytes()
    if encoding == "br":
        return bytes(brotli.compress(plain, quality=9))
    return gzip.compress(plain, 9, mtime=0)


def accepted_encoding(header: str) -> str | None:
    """The best encoding that an ``Accept-Encoding`` header allows: ``br``, ``gzip`` or none.

    >>> accepted_encoding("gzip, deflate, br"), accepted_encoding("br;q=0, gzip;q=0.5")
    ('br', 'gzip')
    >>> accepted_encoding("") is None, accepted_encoding("identity") is None
    (True, True)
    """
    allowed: dict[str, float] = {}
    for part in header.lower().split(","):
        name, _, parameters = part.partition(";")
        quality = re.fullmatch(r"\s*q=(\d(?:\.\d{0,3})?)\s*", parameters)
        allowed[name.strip()] = float(quality[1]) if quality else (0.0 if parameters else 1.0)
    usable = [e for e in ("br", "gzip") if allowed.get(e, allowed.get("*", 0.0)) > 0]
    return max(usable, key=lambda e: allowed.get(e, allowed.get("*", 0.0)), default=None)


def matches(if_none_match: str | None, etag: str) -> bool:
    """Whether an ``If-None-Match`` header names ``etag``, by RFC 9110's weak comparison.

    >>> matches('"a", W/"b"', '"b"'), matches("*", '"b"'), matches(None, '"b"')
    (True, True, False)
    """
    if if_none_match is None:
        return False
    named = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in named or etag.removeprefix("W/") in named
