"""``make audit``: known holes in what the locks name, as pip-audit and npm audit know them.

Exits with 1 for a hole that is known. Where nobody can be asked - no network, or an index that has
no advisories - it says so in one line and exits with 0: that is no statement about the packages.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

__all__ = ["npm_verdict", "pip_verdict"]

TOP = Path(__file__).parent.parent
PIP = (
    sys.executable, "-m", "pip_audit", "--requirement", "constraints.txt", "--disable-pip",
    "--no-deps", "--format", "json", "--progress-spinner", "off", "--timeout", "20",
)  # fmt: skip
NPM = ("npm", "audit", "--json", "--package-lock-only", "--fetch-retries", "0")
SECONDS = 300
Verdict = tuple[bool, str]
"""Whether a hole is known, and what to print."""


def pip_verdict(output: str, complaint: str) -> Verdict:
    """What pip-audit found."""
    found = _json(output)
    if found is None or "dependencies" not in found:
        return False, f"pip-audit: not checked: {_last_line(complaint)}"
    packages = found["dependencies"]
    unknown = sum("skip_reason" in package for package in packages)
    holes = [
        f"  {package['name']} {package['version']}: {hole['id']}, "
        f"mended in {', '.join(hole['fix_versions']) or 'no version'}"
        for package in packages for hole in package.get("vulns", ())
    ]  # fmt: skip
    if unknown == len(packages):
        return False, f"pip-audit: not checked: the index knows none of {unknown} packages"
    told = f"pip-audit: {len(packages) - unknown} packages checked, {len(holes)} known holes"
    if unknown:
        told += f"; {unknown} not checked, since the index does not know them"
    return bool(holes), "\n".join([told, *holes])


def npm_verdict(output: str, complaint: str) -> Verdict:
    """What npm audit found; of less than moderate severity it only tells."""
    found = _json(output)
    if found is None or "vulnerabilities" not in found:
        why = found.get("message") if found else None
        return False, f"npm audit: not checked: {_last_line(why or complaint)}"
    holes = found["vulnerabilities"].values()
    listed = [f"  {hole['name']} {hole['range']}: {hole['severity']}" for hole in holes]
    serious = [hole for hole in holes if hole["severity"] in ("moderate", "high", "critical")]
    told = f"npm audit: {found['metadata']['dependencies']['total']} packages checked, "
    return bool(serious), "\n".join([f"{told}{len(listed)} known holes", *listed])


def _json(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "no answer"


def _asked(command: tuple[str, ...]) -> tuple[str, str]:
    try:
        done = subprocess.run(  # noqa: S603 - written above
            command, check=False, capture_output=True, text=True, cwd=TOP, timeout=SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", str(error)
    return done.stdout, done.stderr


def main() -> int:
    """The program."""
    verdicts = [pip_verdict(*_asked(PIP)), npm_verdict(*_asked(NPM))]
    for _, told in verdicts:
        print(told)
    return int(any(holes for holes, _ in verdicts))


if __name__ == "__main__":
    sys.exit(main())
