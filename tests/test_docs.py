"""What the documentation says is what the code does."""

from pathlib import Path

from tools.rules_table import PATH, filled

ROOT = Path(__file__).parent.parent


def test_the_rules_in_the_docs_are_those_of_the_code():
    text = PATH.read_text(encoding="utf-8")
    written, today = set(text.splitlines()), set(filled(text).splitlines())
    assert written <= today, "run make tables"  # a rule that was added has no row yet


def test_every_link_to_a_file_leads_somewhere():
    import re

    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
