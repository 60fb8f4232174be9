"""What a person sees fits the terminal, 80, 100 or 140 columns wide: lines break between words, in colours or none."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.projects.harness import write
from tests.run.commands import COMPAT, EXACT, LEFT, on_a_terminal
from xf2sdpa.flags import table
from xf2sdpa.rewrite import pages
from xf2sdpa.rewrite.class_pages import class_names

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
WIDTHS = (80, 100, 140)
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
PROJECT = {
    "model.py": EXACT, "blocks.py": COMPAT, "parts.py": LEFT, "broken.py": "import xformers.ops\nf'{x'\n",
    "a/rather/long/way/down/to/the/one/module.py": COMPAT, "requirements.txt": "torch==2.0.0\nxformers\n",
    "train.py": "from model import attend\n\nif __name__ == '__main__':\n    print(attend)\n",
    "README.md": "# Attention\n\nInstall xformers.\n",
}  # fmt: skip
CODE = tuple(line for flag in (*table.FLAGS, *table.NOT_SET) for line in flag.code.format(torch="torch").splitlines())
"""Lines of flags, which are to be copied."""
COMMANDS = [
    ("rewrite", "--check", "."),
    ("rewrite", "."),
    ("rewrite", "--check", "-v", "."),
    ("status",),
    ("undo", "--list"),
    ("undo",),
    ("verify", "train.py"),
    ("explain",),
    ("explain", "XF1"),
    ("explain", "classes"),
    ("explain", "XF999"),
    ("rewrite", "--select", "XF99", "."),
    ("rewrite", "--flags", "tf23", "."),
    ("rewrite", "--output-format", "jsn", "."),
    ("rewrite", "--chek", "."),
    ("rewrite", "--torch", "new", "."),
    ("rewrite", "README.md"),
    ("bench", "--only", "shape"),
]
HELP = [(command, "--help") for command in ("rewrite", "verify", "bench", "pr", "undo", "status", "explain")]
"""These are 80 columns wide on any terminal."""


def shown(width: int, *arguments: str, patch: pytest.MonkeyPatch) -> str:
    patch.setenv("COLUMNS", str(width))
    return _CONTROL.sub("", on_a_terminal(*arguments)[1].decode()).replace("\r\n", "\n")


def wide(text: str, width: int) -> list[str]:
    """The lines that do not fit though they could be broken; code is shown as it is, and a progress bar is one line."""
    code = re.sub(r"(?m)^(before|after|example|left as it is):\n(?:(?:    .*)?\n)+", "", text)
    lines = [line.rpartition("\r")[2] for line in code.splitlines()]
    return [line for line in lines if len(line) > width and len(line.split()) > 1 and not line.endswith(CODE)]


@pytest.mark.parametrize("width", WIDTHS)
def test_every_line_of_a_command_fits(width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    write(Path(), PROJECT)
    for command in COMMANDS + (HELP if width == 80 else []):
        told = shown(width, *command, patch=monkeypatch)
        assert told.strip(), command
        assert wide(told, width) == [], command


@pytest.mark.parametrize("word", [*pages.all_codes(), *pages.retired_codes(), *class_names(), "flags", "tf32"])
def test_every_page_fits(word: str) -> None:
    page = pages.explain(word, 80)
    assert page is not None
    assert wide(page, 80) == []
    as_it_is = pages.explain(word)
    assert as_it_is is not None
    assert page.split() == as_it_is.split(), "the words stay"
    assert pages.explain(word, 120) == as_it_is
