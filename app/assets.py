"""Static files under content-hashed URLs, cached by browsers for a year.

``js/lab.js`` is served as ``/static/<digest>/js/lab.js``, where the digest is over every file of
the first-level folder (``js``): a module's relative imports stay inside the same digest, so that
one changed file renames them all and no browser ever mixes two versions.
"""

from __future__ import annotations

import hashlib
import mimetypes
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import anyio.to_thread
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response
from starlette.staticfiles import NotModifiedResponse, PathLike, StaticFiles
from starlette.types import Scope

__all__ = ["Assets", "accepted_encoding", "resources"]

DIGEST = re.compile(r"[0-9a-f]{12}")
SUFFIXES = {"br": ".br", "gzip": ".gz"}
mimetypes.add_type("text/javascript", ".js")  # on some systems it is application/javascript


def resources() -> Path:
    """The folder that holds ``templates/`` and ``static/``: in a wheel or in a checkout."""
    return Path(__file__).resolve().parents[1]


@dataclass(slots=True)
class _Folder:
    """What is known of a folder: its digest, its files, and by what they were known when."""

    digest: str
    files: frozenset[str]
    state: object
    looked: float


class Assets(StaticFiles):
    """The files below ``root``, by their path relative to it; one made compressed beside a file
    (``npm run assets`` does) is sent in its place.

    Args:
        root: the folder of static files.
        look_seconds: how long a digest holds before the files' sizes and times are looked at again;
            infinite where they can't change while the process runs (an installed package).
    """

    def __init__(self, root: Path, *, look_seconds: float = 0.0) -> None:
        super().__init__(directory=root)
        self.root = root
        self.look_seconds = look_seconds
        self._known: dict[str, _Folder] = {}

    def url(self, path: str) -> str:
        """The address of ``path``, for example ``/static/0f3a…/js/lab.js``.

        Errors: ``FileNotFoundError``, so that a template's typing error shows at once.
        """
        folder = path.partition("/")[0]
        digest = self.digest(folder)
        if path not in self._known[folder].files:
            raise FileNotFoundError(f"no static file {path!r} below {self.root}")
        return f"/static/{digest}/{path}"

    def digest(self, folder: str) -> str:
        """Twelve hexadecimal digits over the names and contents of everything in ``folder``."""
        known, now = self._known.get(folder), time.monotonic()
        if known is not None and now - known.looked < self.look_seconds:
            return known.digest
        files = sorted(p for p in self._walk(self.root / folder) if p.suffix not in (".br", ".gz"))
        stats = [(p, p.stat()) for p in files]
        state = [(str(p), stat.st_size, stat.st_mtime_ns) for p, stat in stats]
        if known is not None and known.state == state:
            known.looked = now
            return known.digest
        names = [p.relative_to(self.root).as_posix() for p in files]
        total = hashlib.sha256()
        for name, path in zip(names, files, strict=True):
            total.update(name.encode() + b"\0")
            total.update(hashlib.sha256(path.read_bytes()).digest())
        digest = total.hexdigest()[:12]
        self._known[folder] = _Folder(digest, frozenset(names), state, now)
        return digest

    def get_path(self, scope: Scope) -> str:
        """The route's ``path``; `lookup_path` refuses one that leads out of the folder."""
        path: str = scope["path_params"]["path"]
        return path

    async def get_response(self, path: str, scope: Scope) -> Response:
        """One file; kept for a year under its content's digest, asked for again otherwise."""
        digest, _, rest = path.partition("/")
        hashed = DIGEST.fullmatch(digest) is not None
        path = rest if hashed else path
        if PurePosixPath(path).as_posix() != path:  # one file has one address
            raise HTTPException(404)
        response = await super().get_response(path, scope)
        folder = PurePosixPath(path).parts[0]
        kept = hashed and digest == await anyio.to_thread.run_sync(self.digest, folder)
        response.headers["Cache-Control"] = (
            "public, max-age=31536000, immutable" if kept else "no-cache"
        )
        return response

    def file_response(
        self, full_path: PathLike, stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """The file, or the one made compressed that the client accepts; 304 where it has that."""
        asked = Headers(scope=scope)
        kind = mimetypes.guess_type(full_path)[0]
        headers = {}
        encoding = accepted_encoding(asked.get("accept-encoding", ""))
        if encoding is not None:
            built = Path(f"{os.fspath(full_path)}{SUFFIXES[encoding]}")
            if built.is_file() and built.stat().st_mtime >= stat_result.st_mtime:
                full_path, stat_result = built, built.stat()
                headers = {"Content-Encoding": encoding, "Vary": "Accept-Encoding"}
        response = FileResponse(full_path, status_code, headers, kind, stat_result=stat_result)
        if self.is_not_modified(response.headers, asked):
            return NotModifiedResponse(response.headers)
        return response

    @staticmethod
    def _walk(folder: Path) -> list[Path]:
        if folder.is_file():
            return [folder]
        return [Path(at) / name for at, _, names in os.walk(folder) for name in names]


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
