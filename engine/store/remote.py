"""A run over HTTP: to a server while it is there, onto the disk while it is not."""

from __future__ import annotations

import http.client
import json
import math
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from layerscope.engine.store.entries import Batch
from layerscope.engine.store.errors import StoreError, Unavailable
from layerscope.engine.store.location import Server
from layerscope.engine.store.sink import Tell
from layerscope.engine.store.spool import Spool

__all__ = ["MEDIA_TYPE", "PATH", "Away", "RemoteSink", "send"]

PATH = "/api/v1/runs/{run}/entries"
MEDIA_TYPE = "application/vnd.layerscope.batch"
SECONDS = 10.0
"""Longest silence of a server that is thought to be there."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 15.0
"""Seconds between two tries while it is away."""
MOST_ANSWER_BYTES = 1 << 16


class Away(Unavailable):
    """The server does not answer, or not as one that takes batches."""


class RemoteSink:
    """Batches in order, each delivered exactly once: the server ignores what it has already.

    What can't be delivered goes into a file below ``folder``; from there it is delivered when the
    server returns, by this program or by the next one that writes to the same server from there.
    """

    def __init__(self, server: Server, run: str, folder: Path, tell: Tell) -> None:
        self._server = server
        self._run = run
        self._folder = folder
        self._tell = tell
        self._spool = Spool(folder, server.address, run)
        self._looked_for_others = False
        self._pause = FIRST_PAUSE
        self._next_try = 0.0
        self._deadline = math.inf

    def hurry(self, deadline: float) -> None:
        self._deadline = deadline

    def write(self, batch: Batch) -> None:
        data = batch.to_bytes()
        self._deliver()  # what came before; where all of it gets through, this follows at once
        if not self._spool:
            try:
                self._send(self._run, data)
                return
            except Away as away:
                reason = str(away)
        else:
            reason = f"{self._server.address} is away"
        if batch.entries:
            self._keep(data, reason)

    def close(self) -> None:
        self._next_try = 0.0
        try:
            self._deliver()
        except StoreError as error:
            self._tell("left", f"{error}; what was not delivered is in {self._spool.path}")
        if self._spool:
            self._tell(
                "left",
                f"{self._server.address} is still away or slow; the rest of this run is in "
                f"{self._spool.path}, and the next run that is written to it from here delivers it",
            )
        self._spool.release()

    def _keep(self, data: bytes, reason: str) -> None:
        try:
            self._spool.add(data)
        except OSError as error:
            raise Unavailable(f"{reason}, and it can't be kept on the disk: {error}") from None
        self._tell(
            "away",
            f"{reason}; the training goes on, and its steps wait in {self._spool.path}",
        )

    def _deliver(self) -> None:
        """What waits on the disk, if it is time to try."""
        if not self._spool or time.monotonic() < self._next_try:
            return
        try:
            self._empty(self._spool)
        except (Away, OSError) as error:
            if isinstance(error, OSError):
                self._tell("spool", f"{self._spool.path} can't be delivered now: {error}")
            self._next_try = time.monotonic() + self._pause
            self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def _send(self, run: str, data: bytes) -> int:
        received = send(self._server, run, data)
        self._pause = FIRST_PAUSE
        if not self._looked_for_others:
            self._looked_for_others = True
            self._deliver_others()
        return received

    def _deliver_others(self) -> None:
        try:
            for spool in Spool.left(self._folder, self._server.address):
                self._deliver_other(spool)
        except OSError as error:
            self._tell("others", f"{self._folder} can't be read: {error}")

    def _deliver_other(self, spool: Spool) -> None:
        try:
            self._empty(spool)
        except (StoreError, OSError) as error:
            if not isinstance(error, Away):
                self._tell("others", f"{spool.path} can't be delivered: {error}")
        finally:
            spool.release()

    def _empty(self, spool: Spool) -> None:
        """All of it, or as much as there is time for."""
        for data in spool.batches():
            if time.monotonic() > self._deadline:
                return
            self._send(spool.run, data)
        spool.clear()


def send(server: Server, run: str, data: bytes) -> int:
    """One batch to a server; the number of the last entry it has is returned.

    Errors: ``Away`` where trying again is right, else ``StoreError`` with the server's reason.
    """
    headers = {"Content-Type": MEDIA_TYPE, "User-Agent": "layerscope"}
    if server.token:
        headers["Authorization"] = f"Bearer {server.token}"
    url = server.address + PATH.format(run=run)
    request = urllib.request.Request(url, data, headers, method="POST")  # noqa: S310 - http(s) only
    try:
        with _opener.open(request, timeout=SECONDS) as answer:
            return int(_json(answer.read(MOST_ANSWER_BYTES))["received"])
    except urllib.error.HTTPError as error:
        with error:
            raise _refusal(server, error.code, _json(error.read(MOST_ANSWER_BYTES))) from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise Away(f"{server.address} is away ({reason})") from None
    except (KeyError, TypeError, ValueError):
        raise StoreError(f"{server.address} answers, but is no Layerscope") from None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the token elsewhere."""

    def redirect_request(self, *_: Any) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirects)


def _json(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _refusal(server: Server, status: int, problem: dict[str, Any]) -> StoreError:
    detail = str(problem.get("detail", f"status {status}"))[:500]
    if status == 401:
        return Away(f"{server.address} asks for its token: set LAYERSCOPE_TOKEN")
    if status in (408, 429) or status >= 500:
        return Away(f"{server.address} can't take it now ({detail})")
    if status == 409:
        return StoreError(f"{server.address} has lost the beginning of this run ({detail})")
    if status in (404, 405):
        return StoreError(f"{server.address} is no Layerscope that takes runs (status {status})")
    return StoreError(f"{server.address} refuses it: {detail}")
