"""``make sbom``: what runs, on the server and in the browser, as one CycloneDX document.

    python -m tools.sbom > sbom.cdx.json

Made from the locks alone, so it says what is installed by them: requirements.lock as far as it is
not for development, torch by its version in constraints.txt, and package-lock.json's libraries for
the browser.
"""

from __future__ import annotations

import base64
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from tools.lock import DEVELOPMENT, blocks

__all__ = ["bom", "browser", "server"]

TOP = Path(__file__).parent.parent


def server(lock: str, constraints: str) -> Iterator[Component]:
    """The Python packages that are needed to run."""
    torch = re.search(r"^torch==\S+", constraints, re.MULTILINE)
    for block in [*blocks(lock.partition(DEVELOPMENT)[0]), *([torch[0]] if torch else [])]:
        name, version = re.split(r"==|[ ;\\]", block)[:2]
        hashes = re.findall(r"--hash=sha256:(\w+)", block)
        yield _component("pypi", None, name, version, HashAlgorithm.SHA_256, hashes)


def browser(lock: str) -> Iterator[Component]:
    """The libraries that pages load."""
    for path, package in json.loads(lock)["packages"].items():
        if path and not package.get("dev"):
            group, _, name = path.rpartition("node_modules/")[2].rpartition("/")
            coded = package["integrity"].removeprefix("sha512-")
            digest = base64.b64decode(coded).hex()
            yield _component(
                "npm", group or None, name, package["version"], HashAlgorithm.SHA_512, [digest]
            )


def _component(
    kind: str, group: str | None, name: str, version: str, algorithm: HashAlgorithm,
    hashes: list[str],
) -> Component:  # fmt: skip
    purl = PackageURL(kind, group, name, version)
    return Component(
        name=name, group=group, version=version, purl=purl, type=ComponentType.LIBRARY,
        bom_ref=str(purl), hashes=[HashType(alg=algorithm, content=each) for each in hashes],
    )  # fmt: skip


def bom() -> str:
    """The document."""
    project = tomllib.loads(_text("pyproject.toml"))["project"]
    whole = Component(
        name=project["name"], version=project["version"], type=ComponentType.APPLICATION,
        bom_ref=project["name"],
    )  # fmt: skip
    components = [
        *server(_text("requirements.lock"), _text("constraints.txt")),
        *browser(_text("package-lock.json")),
    ]
    document = Bom(metadata=BomMetaData(component=whole), components=components)
    document.register_dependency(whole, components)
    return JsonV1Dot6(document).output_as_string(indent=1)


def _text(name: str) -> str:
    return (TOP / name).read_text(encoding="utf-8")


if __name__ == "__main__":
    sys.stdout.write(bom() + "\n")
