"""What the pages of the documentation show can be done: their code runs, their studies and commands are read."""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from conftest import ROOT
from following import blocks

from autokd.cli import app
from autokd.study import Study

DOCS = ROOT / "docs"
SHOWN = [*ROOT.glob("*.md"), DOCS / "llms.txt", *DOCS.rglob("*.md")]
PAGES = {path.relative_to(ROOT).as_posix(): path for path in sorted(SHOWN) if path.name != "CHANGELOG.md"}
TEXTS = {name: path.read_text(encoding="utf-8") for name, path in PAGES.items()}
SLOW = {"docs/howto/callbacks.md", "docs/index.md", "docs/llms.txt"}
"""Pages whose code searches."""
FOLLOWED = {f"docs/howto/{name}.md" for name in ("choosing", "latency", "own_images", "resuming")}
"""Pages of which another test does all that they say, commands as well: they begin with something of the reader's."""


def code(name: str, language: str) -> list[str]:
    """The code in that language that a page shows, but for what it takes from a file as it is."""
    return [block.text for block in blocks(PAGES[name]) if block.language == language and "--8<--" not in block.text]


def commands(name: str) -> list[str]:
    """The lines of code that call `autokd`."""
    lines = re.sub(r"\\\n\s*", "", TEXTS[name]).splitlines()
    return [
        found[1] for line in lines if (found := re.match(r"(?:    |\$ ?)?(autokd (?!  ).*)", line)) and "|" not in line
    ]


def scripts() -> list[Any]:
    named = [name for name in PAGES if name.startswith("docs/") and code(name, "python")]
    named = [name for name in named if name not in FOLLOWED]
    return [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else [], id=name) for name in named]


@pytest.mark.parametrize("page", scripts())
def test_the_code_of_a_page_runs_from_its_first_line_to_its_last(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for beside in PAGES[page].parent.glob("*.py"):
        shutil.copy(beside, tmp_path)
    script = tmp_path / "page.py"
    script.write_text("\n\n".join(code(page, "python")), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    known = set(sys.modules)
    try:
        runpy.run_path(str(script))
    finally:
        for name in set(sys.modules) - known:
            if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]


@pytest.mark.parametrize("page", [name for name in PAGES if code(name, "yaml")])
def test_what_a_page_shows_of_a_study_file_has_keys_that_there_are(page: str) -> None:
    for block in code(page, "yaml"):
        study = yaml.safe_load(block)
        assert set(study) <= set(Study.model_fields), block
        if "name" in study:
            Study.model_validate(study)


@pytest.mark.parametrize("page", [name for name in PAGES if commands(name)])
def test_a_command_that_a_page_shows_has_words_that_it_takes(page: str) -> None:
    group: Any = typer.main.get_command(app)
    for line in commands(page):
        words = shlex.split(line.split(" && ")[0], comments=True)[1:]
        if words[0].startswith("-"):
            continue
        command = group.commands[words[0]]
        context = command.make_context(words[0], words[1:])
        for override in context.params.get("overrides") or ():
            key, _, value = override.partition("=")
            assert key.split(".")[0] in Study.model_fields, line
            assert value, line
