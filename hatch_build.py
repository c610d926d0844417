"""Build hook: a wheel carries the browser's libraries, fetched by npm if they are not there yet."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NEEDED = "static/vendor/plotly-cartesian.min.js"


class VendorBuildHook(BuildHookInterface[Any]):
    """Runs ``npm ci`` and ``npm run assets`` when ``static/vendor`` is missing."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        top = Path(self.root)
        # An editable install serves the checkout's own static/, which `make assets` fills.
        if version == "editable" or (top / NEEDED).is_file():
            return
        npm = shutil.which("npm")
        if npm is None:
            raise RuntimeError(
                f"{NEEDED} is missing and npm was not found: install Node.js 20 or newer and build "
                "again, or run `npm ci --ignore-scripts && npm run assets` elsewhere and copy "
                "static/vendor here."
            )
        for command in (["ci", "--ignore-scripts", "--no-audit", "--no-fund"], ["run", "assets"]):
            subprocess.run([npm, *command], cwd=top, check=True)  # noqa: S603 - our own arguments
