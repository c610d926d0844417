"""What pyproject.toml can't say: which folder installs under which name, and the browser's files.

The wheel puts one name into site-packages. Folders at the repository's top become its rooms:
``engine/`` is ``layerscope.engine``, ``app/`` is ``layerscope.app``; templates and static files lie
beside them.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

TOP = Path(__file__).resolve().parent
ROOMS = ("engine", "app")
RESOURCES = ("templates", "static")
NEEDED = "static/vendor/plotly-cartesian.min.js"


class BuildWithBrowserFiles(build_py):
    """Copies ``templates/`` and ``static/`` too, after npm has fetched what is not there yet."""

    def run(self) -> None:
        # An editable install serves the checkout's own static/, which `make assets` fills.
        if not self.editable_mode:
            fetch_vendor_files()
        super().run()
        if not self.editable_mode:
            for folder in RESOURCES:
                target = Path(self.build_lib) / "layerscope" / folder
                shutil.copytree(TOP / folder, target, dirs_exist_ok=True)


def fetch_vendor_files() -> None:
    """``npm ci`` and ``npm run assets`` when ``static/vendor`` is missing."""
    if (TOP / NEEDED).is_file():
        return
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit(
            f"{NEEDED} is missing and npm was not found: install Node.js 20 or newer and build "
            "again, or run `npm ci --ignore-scripts && npm run assets` elsewhere and copy "
            "static/vendor here."
        )
    for command in (["ci", "--ignore-scripts", "--no-audit", "--no-fund"], ["run", "assets"]):
        subprocess.run([npm, *command], cwd=TOP, check=True)  # noqa: S603 - our own arguments


def packages() -> list[str]:
    """Every package under the one name."""
    found = ["layerscope"]
    for room in ROOMS:
        name = f"layerscope.{room}"
        found += [name, *(f"{name}.{inner}" for inner in find_packages(room))]
    return found


if __name__ == "__main__":
    setup(
        packages=packages(),
        package_dir={"layerscope": "layerscope", **{f"layerscope.{room}": room for room in ROOMS}},
        package_data={
            "layerscope": ["py.typed"],
            "layerscope.engine": ["diagnosis/*.json", "probe/*.json"],
        },
        cmdclass={"build_py": BuildWithBrowserFiles},
    )
