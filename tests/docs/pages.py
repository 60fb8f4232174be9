"""README and the pages of docs/ as data: their blocks of code, headings and links, and a place to try them in.

A comment right above a block says what a reader need not see: `<!-- status: 1 -->`, how its last command ends;
`<!-- from: FILE -->`, the stored result that a text is from. A block `text` below commands is what the last of them
prints; a line `…` stands for any lines.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.notebooks import book, code
from tests.run.commands import COMPAT, EXACT

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
WRITTEN = [page for page in PAGES if page.parent.name != "codes"]
"""Those that a person wrote."""

_FENCE = re.compile(r"((?:^<!-- [a-z]+: [^\n]* -->\n)*)^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_WISH = re.compile(r"<!-- ([a-z]+): (.*) -->")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
_LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A block of code; `start` and `end` are the places of its text in the page."""

    language: str
    text: str
    start: int
    end: int
    wishes: dict[str, str] = field(default_factory=dict)


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    return [
        Block(found[2], found[3], found.start(3), found.end(3), dict(_WISH.findall(found[1])))
        for found in _FENCE.finditer(page.read_text("utf-8"))
    ]


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return _FENCE.sub("", page.read_text("utf-8"))


def anchors(page: Path) -> set[str]:
    """What a link may name of a page, as GitHub and the site make it from headings."""
    bare = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in _HEADING.findall(prose(page)))
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in bare}


def links(page: Path) -> list[str]:
    return [found[1] for found in _LINK.finditer(prose(page))]


def inline(page: Path) -> list[str]:
    """The pieces of code in the prose, in one line each."""
    return [" ".join(found.split()) for found in re.findall(r"`([^`]+)`", prose(page))]


# -- trying --------------------------------------------------------------------------------------------

PROGRAM = """\
import argparse

import torch
from src.model import attend

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=1)
for _ in range(parser.parse_args().steps):
    attend(torch.randn(2, 5, 16), torch.randn(48, 16, requires_grad=True), 2, 5, 2).sum().backward()
"""
XF2SDPA = '#!/bin/sh\nexec "{python}" -m xf2sdpa "$@"\n'
PYTHON = """#!/bin/sh
if [ "$1 $2" = "-m venv" ]; then
    mkdir -p "$3/bin"
    touch "$3/bin/activate"
    cp "{bin}/xf2sdpa" "{bin}/pip" "$3/bin/"
else
    exec "{python}" "$@"
fi
"""
PIP = '#!/bin/sh\necho "$@" >> "{asked}"\n'


class Desk:
    """A folder and a shell to try the lines of one page in; what installs is only written down, in `asked`."""

    def __init__(self, folder: Path, page: Path) -> None:
        self.place = folder / "clone"
        self.asked = folder / "asked"
        bin_folder = folder / "bin"
        for made in (self.place, bin_folder, folder / "home"):
            made.mkdir()
        texts = {"python": PYTHON, "python3": PYTHON, "pip": PIP, "xf2sdpa": XF2SDPA}
        for script, text in texts.items():
            file = bin_folder / script
            file.write_text(text.format(python=sys.executable, bin=bin_folder, asked=self.asked))
            file.chmod(0o755)
        (folder / "home/.gitconfig").write_text("[user]\n\tname = Ada\n\temail = ada@example.com\n")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "XF2SDPA_"))}
        self.around = kept | {
            "HOME": str(folder / "home"),
            "XDG_STATE_HOME": str(folder / "state"),
            "PATH": os.pathsep.join([str(bin_folder), os.environ["PATH"]]),
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",  # what is shown is what a machine without a GPU prints
        }
        if page == ROOT / "README.md":
            self._clone()
        else:
            self._project()
        self.type('git init -q && git add . && git commit -qm "as it was"')

    def _clone(self) -> None:
        shutil.copytree(ROOT / "examples", self.place / "examples", ignore=shutil.ignore_patterns("__pycache__"))
        (self.place / ".ci").mkdir()
        (self.place / ".ci/run").write_text("#!/bin/sh\n")
        (self.place / ".ci/run").chmod(0o755)

    def _project(self) -> None:
        (self.place / "src").mkdir()
        files = {"src/__init__.py": "", "src/model.py": EXACT, "src/blocks.py": COMPAT, "train.py": PROGRAM}
        files["requirements.txt"] = "torch>=1.13\nxformers==0.0.22\n"
        for path, text in files.items():
            (self.place / path).write_text(text)

    def notebook(self) -> None:
        """Lay a notebook beside the project."""
        (self.place / "demo.ipynb").write_text(book(code(EXACT)))

    def type(self, lines: str) -> subprocess.CompletedProcess[str]:
        """Type lines into one shell, which stays where `cd` leads; it ends with the first that fails."""
        script = f"set -e\ncd '{self.place}'\n{lines}\n"
        done = subprocess.run(
            ["bash", "-c", f"{script}pwd > '{self.asked}.pwd'"],
            env=self.around, capture_output=True, text=True, check=False,
        )  # fmt: skip
        where = Path(f"{self.asked}.pwd")
        if done.returncode == 0:
            self.place = Path(where.read_text().strip())
        return done


def fits(told: str, shown: str) -> bool:
    """Whether a text shows what was told; `…` stands for any lines, or for the rest of one."""
    pattern = "".join(_pattern(line) for line in shown.splitlines())
    return re.fullmatch(pattern, told if told.endswith("\n") else told + "\n", re.DOTALL) is not None


def _pattern(line: str) -> str:
    if line == "…":
        return "(?:.*\n)?"
    if line.endswith(" …"):
        return re.escape(line[:-1]) + "[^\n]*\n"
    return re.escape(line) + "\n"


def steps(page: Path) -> Iterator[tuple[Block, Block | None]]:
    """Blocks to try, each with the block that shows what it prints, if there is one."""
    found = blocks(page)
    for block, following in zip(found, [*found[1:], None], strict=False):
        if block.language in ("sh", "python"):
            shown = following and following.language == "text" and "from" not in following.wishes
            yield block, following if shown else None
