"""A server of our own and a Chromium, for tests, screenshots and benchmarks alike."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

__all__ = ["PATIENCE_MS", "TOP", "chromium", "frames", "inaccessible", "serving", "until"]

TOP = Path(__file__).resolve().parents[2]
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
PATIENCE_SECONDS = 300  # the first start compiles the statistics' kernel
PATIENCE_MS = 60_000  # what a page may take on a machine that others use too

# Of several such lists Chromium hears the last one. This is Playwright's own, and the popups of the
# address bar: pages of the browser's, made anew with every window, that nobody can see.
FEATURES_OFF = (
    "AimEnabled", "AvoidCorsURLLoaderRestartOnRedirect", "AvoidUnnecessaryBeforeUnloadCheckSync",
    "DestroyProfileOnBrowserClose", "HttpsFirstBalancedModeAutoEnable", "HttpsUpgrades",
    "LensOverlay", "MediaRouter", "NetworkTimeServiceQuerying", "OptimizationHints",
    "PaintHolding", "PreconnectToSearch", "ThirdPartyStoragePartitioning",
    "WebUIOmniboxAimPopup", "WebUIOmniboxFullPopup", "WebUIOmniboxPopup",
    "WebUIOmniboxSimplification",
)  # fmt: skip

expect.set_options(timeout=PATIENCE_MS)


@contextmanager
def serving(**settings: str) -> Iterator[str]:
    """The address of a server on a free port, ready to answer, with these settings."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    variables = {f"LAYERSCOPE_{name.upper()}": value for name, value in settings.items()}
    server = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "--factory", "layerscope.app.main:create_app",
         "--port", str(port)],
        cwd=TOP, env={**os.environ, **variables},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}"
        _await_health(server, url)
        yield url
    finally:
        server.terminate()
        server.wait()


def _await_health(server: subprocess.Popen[bytes], url: str) -> None:
    give_up = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < give_up:
        if server.poll() is not None:
            raise RuntimeError(f"the server ended with status {server.returncode}")
        try:
            with urllib.request.urlopen(f"{url}/healthz") as answer:  # noqa: S310 - our own server
                if answer.status == 200:
                    return
        except (urllib.error.URLError, ConnectionError):
            pass
        time.sleep(0.1)
    raise RuntimeError(f"the server was not ready within {PATIENCE_SECONDS} s")


@contextmanager
def chromium() -> Iterator[Browser]:
    """The system's Chromium, without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", f"--disable-features={','.join(FEATURES_OFF)}"],
        )
        yield browser
        browser.close()


def until(page: Page, expression: str) -> None:
    """Wait until a JavaScript ``expression`` is true; one of parts that are not there yet is not.

    Playwright's own ``wait_for_function`` evaluates text in the page, which its policy forbids.
    """
    page.evaluate(f"""new Promise((done, fail) => {{
      const since = performance.now();
      const look = () => {{
        let wrong = "false";
        try {{ if ({expression}) return done(); }} catch (error) {{ wrong = error; }}
        if (performance.now() - since > {PATIENCE_MS}) return fail(new Error(`still ${{wrong}}`));
        setTimeout(look, 20);
      }};
      look();
    }})""")


def frames(page: Page, count: int) -> None:
    """Wait until so many frames were drawn, and what hangs on the last of them."""
    page.evaluate(
        """async (count) => {
          for (let i = 0; i < count; i++) await new Promise(requestAnimationFrame);
          await new Promise((done) => setTimeout(done));
        }""",
        count,
    )


def inaccessible(page: Page, within: str = "html") -> list[tuple[str, ...]]:
    """What axe finds in a part of the page, in light and in dark: rule, elements, and why."""
    page.evaluate((TOP / "node_modules" / "axe-core" / "axe.min.js").read_text())
    found: list[tuple[str, ...]] = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        # No more of it than that: what is in order is longer than the page.
        violations = page.evaluate(
            "async within => (await axe.run(within, {resultTypes: ['violations']})).violations",
            within,
        )
        for violation in violations:
            nodes = violation["nodes"]
            shown = [node["html"][:120] for node in nodes[:3]]
            found.append((scheme, violation["id"], *shown, nodes[0]["failureSummary"]))
    return found
