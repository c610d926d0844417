"""``make fuzz``: a server of its own asked thousands of times, by schemathesis and by ``Fuzzer``.

    python -m tools.fuzz [--cases 5000] [--own 5000] [--seed 0]

Prints what was asked and answered; exits with 1 if anything was a failure: an answer of 500 or
above that is not a documented 503, no answer, a broken one, or a traceback in the server's log.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tools.fuzzing import Fuzzer

TOOLS = Path(__file__).parent
BOUNDS = {
    "MAX_FLOPS": "1e12", "CHECK_MAX_FLOPS": "4e9", "MAX_BYTES": str(2**28), "MAX_WAITING": "64",
    "LOG_FORMAT": "json", "HEADER_SECONDS": "5", "BODY_SECONDS": "5",
}  # fmt: skip
"""The default experiment is allowed with all its fixes, and little more: every case is cheap."""
START_SECONDS = 240.0


@contextmanager
def server(log: Path) -> Iterator[str]:
    """The address of a server that is ready; it must end by itself when told to."""
    program = [sys.executable, "-c", "from layerscope.app.cli import main; main()"]
    environment = {f"LAYERSCOPE_{name}": value for name, value in BOUNDS.items()}
    with log.open("wb") as errors:
        process = subprocess.Popen(  # noqa: S603 - our own program
            [*program, "serve", "--port", "0"], stderr=errors, env={**os.environ, **environment}
        )
    try:
        yield _when_ready(process, log)
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    finally:
        process.kill()
        process.wait()


def _when_ready(process: subprocess.Popen[bytes], log: Path) -> str:
    end = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        text = log.read_text()
        if '"event": "ready"' in text and (found := re.search(r"http://[\d.]+:\d+", text)):
            return found[0]
        time.sleep(0.1)
    raise RuntimeError(f"the server did not start:\n{log.read_text()[-2000:]}")


def schemathesis(url: str, cases: int, seed: int) -> tuple[int, int]:
    """Every check over every address; how many cases there were, and the exit code."""
    paths = json.loads(_get(f"{url}/api/v1/openapi.json"))["paths"]
    each = math.ceil(cases / 2 / sum(map(len, paths.values())))  # as many are systematic
    done = subprocess.run(  # noqa: S603 - installed beside this interpreter
        [
            Path(sys.executable).with_name("st"), "--config-file", TOOLS / "schemathesis.toml",
            "--no-color", "run", f"{url}/api/v1/openapi.json", "--checks", "all",
            "--phases", "examples,coverage,fuzzing", "--max-examples", str(each),
            "--seed", str(seed), "--continue-on-failure", "--no-shrink",
            "--workers", "1",  # CPython 3.11 can't parse source in two threads at once
        ],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    generated = re.search(r"(\d+) generated", done.stdout)
    if done.returncode or generated is None:
        print("\n".join(line[:300] for line in (done.stdout + done.stderr).splitlines()))
    return int(generated[1]) if generated else 0, done.returncode


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url) as answer:  # noqa: S310 - our own server
        body: bytes = answer.read()
    return body


def complaints(log: Path) -> list[str]:
    """Lines of the server's log that no request may cause."""
    lines = log.read_text().splitlines()
    return [
        line[:1000] + " … " + line[-4000:] for line in lines
        if not line.startswith("{")
        or "Traceback" in line
        or (record := json.loads(line))["level"] in ("error", "critical")
        or (record["event"] == "request" and record["status"] >= 500 and record["status"] != 503)
    ]  # fmt: skip


def main() -> int:
    """The program."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cases", type=int, default=5000, help="of schemathesis, at least")
    parser.add_argument("--own", type=int, default=5000, help="of our own fuzzer")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with server(log) as url:
            cases, code = schemathesis(url, asked.cases, asked.seed) if asked.cases else (0, 0)
            fuzzer = Fuzzer(urlsplit(url).port or 80, asked.seed)
            failures = fuzzer.ask(asked.own)
        wrong = complaints(log)
        logged = Counter(
            record["status"] for line in log.read_text().splitlines() if line.startswith("{")
            if (record := json.loads(line))["event"] == "request"
        )  # fmt: skip
    print(f"schemathesis: {cases} cases, exit code {code}")
    print(
        f"our own: {asked.own} cases, {len(failures)} failures; {dict(sorted(fuzzer.seen.items()))}"
    )
    print(f"the server's log: {dict(sorted(logged.items()))}, {len(wrong)} complaints")
    for line in [*failures[:20], *wrong[:20]]:
        print(line)
    return 1 if code or failures or wrong or cases < asked.cases else 0


if __name__ == "__main__":
    sys.exit(main())
