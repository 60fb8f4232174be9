"""What README shows and names."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from tests.run.commands import call, run

ROOT = Path(__file__).parent.parent


def blocks(language: str) -> list[str]:
    text = (ROOT / "README.md").read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_the_before_and_after_of_the_readme_are_real(tmp_path: Path) -> None:
    copy = tmp_path / "examples"
    shutil.copytree(ROOT / "examples", copy)
    before = (copy / "attention.py").read_text()
    result = run("rewrite", "examples/attention.py", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    shown = blocks("python")
    assert shown[:2] == [before, (copy / "attention.py").read_text()]
    assert result.stdout in blocks("text")


def test_the_readme_names_every_option() -> None:
    text = (ROOT / "README.md").read_text()
    told = re.findall(r"^\s+(?:-\w, )?(--[\w-]+)", call("rewrite", "--help").output, re.MULTILINE)
    missing = [option for option in told if f"`{option}" not in text and option != "--help"]
    assert not missing
