"""What the documentation says is what the code does."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from layerscope.app.settings import Settings
from layerscope.engine.experiment import Experiment
from tools.rules_table import TABLES, filled

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
PAGES = [
    README, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", ROOT / "examples" / "README.md",
    *(ROOT / "docs").glob("*.md"),
]  # fmt: skip


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.M)


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.name)
def test_the_rules_in_the_docs_are_those_of_the_code(path):
    text = path.read_text(encoding="utf-8")
    written, today = set(text.splitlines()), set(filled(path, text).splitlines())
    assert written <= today, "run make tables"  # a rule that was added has no row yet
    table = text.partition("<!-- rules:")[2].partition("<!-- /rules -->")[0]
    found = set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))
    assert found
    assert found <= set(TABLES[path][0])


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.name)
def test_a_page_without_its_table_is_filled(path):
    """What `filled` would leave alone, the test above could not tell from what is right."""
    text = path.read_text(encoding="utf-8")
    name = sorted(TABLES[path][0])[0]
    assert filled(path, text.replace(f"| `{name}` |", "| `another` |")) == text


def test_every_parameter_is_told_as_it_is():
    table = (ROOT / "docs" / "experiment.md").read_text("utf-8")
    rows = {
        r[0]: r for r in re.findall(r"^\| `(\w+)` \|(.*)\|(.*)\| (.*) \|$", table, re.MULTILINE)
    }
    for name, field in Experiment.model_fields.items():
        _, values, default, meaning = rows.pop(name)
        assert meaning == field.description
        assert {f"`{option}`" for option in Experiment.options(name)} >= set(
            re.findall(r"`\w+`", values) if Experiment.options(name) else ()
        )
        assert field.default in (None, "") or f"`{field.default}`".lower() in default
    assert not rows


LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_link_to_a_file_leads_somewhere(page):
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_the_links_are_seen():
    assert {"docs/diagnosis.md", "docs/settings.md"} <= set(LINK.findall(README.read_text("utf-8")))


TARGETS = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
MAKE = re.compile(r"(?<![\w./-])make ([a-z-]+)")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_make_target_that_is_told_exists(page):
    text = page.read_text(encoding="utf-8")
    told = [*blocks(page, "sh"), *re.findall(r"`([^`\n]+)`", text)]
    for name in MAKE.findall("\n".join(told)):
        assert name in TARGETS, name


def test_the_two_commands_are_told():
    told = MAKE.findall("\n".join(blocks(README, "sh")))
    assert told[:2] == ["serve", "test"]


def test_every_variable_that_is_told_is_a_setting():
    for page in PAGES:
        for name in re.findall(r"LAYERSCOPE_([A-Z_]*[A-Z])\b", page.read_text(encoding="utf-8")):
            assert name.lower() in Settings.model_fields, f"{page.name}: LAYERSCOPE_{name}"


def lines(page):
    """Every command of a page's shell blocks."""
    for block in blocks(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            yield from filter(None, (part.strip() for part in line.split(" #")[0].split("&&")))


COMMANDS = {page: list(lines(page)) for page in PAGES}
PROGRAM = "from layerscope.app.cli import main; main()"
RUN_ELSEWHERE = ("make ", "docker ", "pip ", "python examples/")
"""Commands of set-up, whose targets, image, requirements and programs other tests hold."""


def test_every_command_is_run_or_held_elsewhere():
    for page, commands in COMMANDS.items():
        for command in commands:
            known = ("curl ", ".venv/bin/layerscope ", ".venv/bin/python ", *RUN_ELSEWHERE)
            assert command.startswith(known), f"{page.name}: {command}"


@pytest.mark.parametrize("command", [c for c in COMMANDS[README] if c.startswith("curl ")])
def test_the_readmes_calls_are_answered(command, server, tmp_path):
    words = shlex.split(command.replace("http://127.0.0.1:8000", server.url))
    assert any(word.startswith(server.url) for word in words)
    done = subprocess.run([*words, "--fail", "--silent", "--show-error"], cwd=tmp_path,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    files = [path.stat().st_size for path in tmp_path.iterdir()]
    assert all(files) if files else len(done.stdout) > 100


@pytest.mark.parametrize(
    "command", [c for c in COMMANDS[README] if c.startswith(".venv/bin/layerscope ")]
)
def test_the_readmes_program_does_what_is_told(command, interpreter, tmp_path):
    arguments = shlex.split(command.removeprefix(".venv/bin/layerscope"))
    done = interpreter.run("-c", PROGRAM, *arguments, cwd=tmp_path)
    code = re.search(rf"{re.escape(command)}.*exit code (\d)", README.read_text("utf-8"))
    assert done.returncode == (int(code[1]) if code else 0), done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize(
    "code", [b for page in PAGES for b in blocks(page, "python")], ids=lambda b: b.split("\n")[0]
)
def test_python_in_the_docs_runs(code, interpreter, tmp_path):
    done = interpreter.run("-W", "error", "-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = re.findall(r"print\(.*\)  # (.+)$", code, re.MULTILINE)
    assert told == done.stdout.splitlines()


def test_the_readme_shows_python():
    assert blocks(README, "python")
