"""Our modules as one script: each in its own scope, after what it imports."""

from __future__ import annotations

import subprocess

import pytest

from layerscope.app.bundling import bundle
from layerscope.app.bundling import modules as imported


@pytest.fixture
def modules(tmp_path):
    def write(texts):
        for name, text in texts.items():
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


def test_names_of_two_modules_do_not_meet(modules):
    root = modules({
        "a/main.js": 'import { one as first } from "../b.js";\nimport { two } from "./c.js";\n'
        "const own = 1;\nconsole.log(first + two() + own);\n",
        "b.js": "const own = 10;\nexport const one = own;\n",
        "a/c.js": 'import { one } from "../b.js";\nexport const two = () => 100 * one;\n',
    })  # fmt: skip
    script = bundle("a/main.js", root)
    found = subprocess.run(["node", "-e", script], capture_output=True, text=True, check=True)
    assert found.stdout == "1011\n"


def test_the_modules_of_a_page_are_found_through_all_imports(modules):
    root = modules({
        "a/main.js": 'import { one } from "../b.js";\nimport { two } from "./c.js";\n',
        "b.js": 'import { two } from "./a/c.js";\nexport const one = two;\n',
        "a/c.js": "export const two = 2;\n",
        "other.js": "export const three = 3;\n",
    })  # fmt: skip
    assert imported("a/main.js", root) == ("a/c.js", "b.js", "a/main.js")


@pytest.mark.parametrize(
    ("text", "said"),
    [('import x from "./b.js";', "can't be bundled: import x"),
     ("export default 1;", "can't be bundled: export default"),
     ('import { b } from "./main.js";', "import one another")],
)  # fmt: skip
def test_what_it_does_not_know_is_refused(modules, text, said):
    root = modules({"main.js": text, "b.js": "export const x = 1;"})
    with pytest.raises(ValueError, match=said):
        bundle("main.js", root)


def test_ours_are_bundled_without_a_rest():
    script = bundle("runs/exported.js")
    assert "import {" not in script
    assert "class Picture" in script
