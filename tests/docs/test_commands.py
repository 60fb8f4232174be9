"""Every command and program that README and docs show, tried in a project, with what it prints.

docs/bot.md needs a forge: `tests/bot/test_docs.py`. What installs is only written down here: the wheel is installed and
run by `.ci/run`, the hooks by `tests/test_hook.py`, the action by `tests/test_action.py`.
`XF2SDPA_UPDATE_DOCS=1` writes what was printed into the pages, where no `…` leaves something out.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
from pathlib import Path

import click
import pytest

from tests.docs.named import wrong, wrong_option
from tests.docs.pages import DOCS, PAGES, ROOT, WRITTEN, Block, Desk, blocks, fits, inline, name, prose, steps
from xf2sdpa.cli import cli

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
TRIED = [page for page in WRITTEN if page.name != "bot.md" and any(steps(page))]


@pytest.mark.parametrize("page", TRIED, ids=name)
def test_each_command_does_what_the_page_shows(page: Path, tmp_path: Path) -> None:
    desk = Desk(tmp_path, page)
    if page.name == "notebooks.md":
        desk.notebook()
    for block, shown in steps(page):
        told = tried(desk, block)
        if shown and os.environ.get("XF2SDPA_UPDATE_DOCS") and not re.search(r"(^| )…$", shown.text, re.MULTILINE):
            text = page.read_text("utf-8")
            page.write_text(text.replace(f"```text\n{shown.text}```", f"```text\n{told}```"), "utf-8")
        elif shown:
            assert fits(told, shown.text), f"{block.text}prints\n{told}"


def tried(desk: Desk, block: Block) -> str:
    """What the last command of a block prints, or the program that it is; the others must end well."""
    if block.language == "python":
        (desk.place / "tried.py").write_text(block.text)
        done = desk.type("python tried.py 2>&1")
        (desk.place / "tried.py").unlink()
    else:
        *before, last = block.text.splitlines()
        for line in before:
            done = desk.type(line)
            assert done.returncode == 0, (line, done.stdout, done.stderr)
        done = desk.type(last)
    assert done.returncode == int(block.wishes.get("status", "0")), (block.text, done.stdout, done.stderr)
    return done.stdout


def test_what_readme_installs_is_what_ci_installs(tmp_path: Path) -> None:
    desk = Desk(tmp_path, ROOT / "README.md")
    (lines,) = (block.text for block in blocks(ROOT / "README.md") if "venv .venv" in block.text)
    done = desk.type(lines)
    assert done.returncode == 0, done.stderr
    assert desk.asked.read_text() == "install .\n"
    assert "scaled_dot_product_attention" in done.stdout
    script = (ROOT / ".ci/run").read_text()
    assert os.access(ROOT / ".ci/run", os.X_OK)
    assert "pip wheel" in script
    assert "python -m pytest" in script


def test_the_configuration_is_one_that_the_command_takes(tmp_path: Path) -> None:
    desk = Desk(tmp_path, DOCS / "options.md")
    (table,) = (block.text for block in blocks(DOCS / "options.md") if block.language == "toml")
    (desk.place / "pyproject.toml").write_text(table)
    done = desk.type("xf2sdpa rewrite")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 call sites" in done.stdout


def test_the_hooks_that_the_page_names_exist() -> None:
    yaml = pytest.importorskip("yaml")
    ids = {hook["id"] for hook in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())}
    shown = [yaml.safe_load(block.text) for block in blocks(DOCS / "hook.md") if block.language == "yaml"]
    (repository,) = shown[0]["repos"]
    assert {hook["id"] for hook in repository["hooks"]} <= ids
    assert set(re.findall(r"^\| `(xf2sdpa[\w-]*)` \|", (DOCS / "hook.md").read_text(), re.MULTILINE)) == ids


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_code_that_is_only_shown_parses(page: Path) -> None:
    for block in blocks(page):
        if block.language == "py":
            ast.parse(block.text)


CONTRIBUTING = ROOT / "CONTRIBUTING.md"
_FOLDERS = re.compile(r"(?:\.ci|benchmarks|docs|examples|fixtures|tests|xf2sdpa)/[\w./-]*\w/?")


def commands(page: Path) -> list[str]:
    """Every command that a page names, in its blocks or in passing."""
    shown = [line for block in blocks(page) if block.language in ("sh", "yaml") for line in block.text.splitlines()]
    indented = re.findall(r"^ {4,}(.*)$", prose(page), re.MULTILINE) if page == CONTRIBUTING else []
    lines = [*inline(page), *indented, *(line.strip().removeprefix("- run: ").removeprefix("- ") for line in shown)]
    found = (re.sub(r"^(?:[A-Z0-9_]+=\S+ )+", "", part) for line in lines for part in line.split(" && "))
    return [line for line in found if line.startswith(("xf2sdpa ", "python "))]


@pytest.mark.parametrize("page", [*PAGES, CONTRIBUTING], ids=name)
def test_what_is_named_in_passing_exists(page: Path) -> None:
    assert {line: told for line in commands(page) if (told := wrong(line))} == {}
    pieces = inline(page)
    assert {line: told for line in pieces if line.startswith("-") and (told := wrong_option(line))} == {}
    files = [line for line in pieces if _FOLDERS.fullmatch(line) and "torch-sdpa" not in line]
    assert [line for line in files if not (ROOT / line).exists()] == []


@pytest.mark.parametrize("line", [
    "xf2sdpa statuss", "xf2sdpa rewrite --chek .", "xf2sdpa verify src --device gpu -- python train.py --any",
    "xf2sdpa rewrite --output-format jsn", "xf2sdpa rewrite --flags fast", "xf2sdpa explain XF999",
    "xf2sdpa explain exat",
    "python benchmarks/nothing.py", "python benchmarks/shapes.py --nothing", "python -m tests.verify.nothing",
    "python -m nothing", "python docs/make/nothing.py", "python -m pytest tests/nothing",
])  # fmt: skip
def test_a_wrong_command_is_seen(line: str) -> None:
    assert wrong(line)


@pytest.mark.parametrize("line", ["--nothing", "--flags fast", "--helper somewhere", "-z"])
def test_a_wrong_option_is_seen(line: str) -> None:
    assert wrong_option(line)


@pytest.mark.parametrize(("command", "page"), [
    ("rewrite", "options.md"), ("verify", "verify.md"), ("bench", "bench.md"), ("pr", "bot.md"),
    ("status", "finishing.md"), ("undo", "finishing.md"),
])  # fmt: skip
def test_a_page_names_every_option(command: str, page: str) -> None:
    found = cli.get_command(click.Context(cli), command)
    assert found is not None
    shown = (parameter for parameter in found.params if not getattr(parameter, "hidden", False))
    options = {option for parameter in shown for option in parameter.opts if option.startswith("--")}
    named = set(re.findall(r"--[a-z][a-z-]*", (DOCS / page).read_text()))
    missing = options - named - {"--help", "--output-format", "--jobs"}
    assert not missing
