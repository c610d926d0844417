"""Screenshots of every page, light and dark, from a phone to a projector, into ``shots/``.

python tests/browser/shots.py [page …]
"""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import Browser

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.browser.serving import TOP, chromium, serving

SIZES = {
    "phone": (390, 844), "tablet": (1024, 768), "laptop": (1366, 768), "desk": (1600, 900),
    "projector": (1920, 1080),
}  # fmt: skip
SCHEMES = ("light", "dark")
NAN = "/?init=normal&activation=linear#layer=12"
VIEWS = {
    "lab": "/",
    "lab-nan": NAN,
    "lab-zeros": "/?init=normal&activation=linear&init_scale=0.01",
    "lab-pinned": "/?init=xavier_normal#layer=20&pin=",
    "lab-deep": "/?depth=400&width=32&batch=32#side=before",
    "lab-refused": "/?depth=5000&init_scale=one",
    "lab-present": "/#present=1",
}


def views() -> dict[str, str]:
    """The Lab's views, and every other page of the header under its path."""
    from layerscope.app.pages import pages

    others = {page.path.strip("/").replace("/", "-"): page.path for page in pages()}
    return {**VIEWS, **{name: path for name, path in others.items() if name}}


def shoot(browser: Browser, address: str, name: str) -> None:
    """Every size and scheme of one view, the whole page."""
    for scheme in SCHEMES:
        for size, (width, height) in SIZES.items():
            page = browser.new_page(
                viewport={"width": width, "height": height},
                color_scheme="dark" if scheme == "dark" else "light",
            )
            page.goto(address)
            page.wait_for_load_state("networkidle")
            # What is below the fold is drawn when it is seen.
            for chart in page.locator("[data-chart]").all():
                chart.scroll_into_view_if_needed()
                page.wait_for_timeout(120)
            page.evaluate("scrollTo(0, 0)")
            page.wait_for_timeout(120)
            page.screenshot(path=TOP / "shots" / f"{name}-{size}-{scheme}.png", full_page=True)
            page.close()


def main(wanted: list[str]) -> None:
    """Shoot all views, or those whose names were given."""
    (TOP / "shots").mkdir(exist_ok=True)
    with serving() as url, chromium() as browser:
        for name, path in views().items():
            if not wanted or name in wanted:
                shoot(browser, url + path, name)
                sys.stdout.write(f"{name}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
