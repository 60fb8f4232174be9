"""`xf2sdpa undo` after a run that edited code, notebooks and requirement files and made a helper module."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.notebooks import book, code, printed, prose
from tests.run.commands import COMPAT, EXACT, call, rewrite

NOTEBOOK = book(
    prose("# Try it\n"),
    code("!pip install torch xformers==0.0.22"),
    code(*EXACT.splitlines(), outputs=printed("done\n")),
)
FILES = {
    "pkg/__init__.py": "",
    "pkg/exact.py": EXACT,
    "pkg/helped.py": COMPAT,
    "try it.ipynb": NOTEBOOK,
    "helped.ipynb": book(code(*COMPAT.splitlines())),
    "requirements.txt": "torch==2.3.0\r\nxformers==0.0.26  # attention\r\neinops\r\n",
    "pyproject.toml": '[project]\nname = "pkg"\ndependencies = ["torch", "xformers>=0.0.24"]\n',
    "environment.yml": "dependencies:\n  - python=3.10\n  - xformers::xformers=0.0.18\n",
    "setup.py": "from setuptools import setup\n\nsetup(name='pkg', install_requires=['torch', 'xformers'])\n",
}
REQUIREMENTS = ("requirements.txt", "pyproject.toml", "environment.yml", "setup.py")
HELPER = "pkg/_attention_compat.py"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    folder = tmp_path / "project"
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    monkeypatch.chdir(folder)
    return folder


def held(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_whole_tree_comes_back(project: Path) -> None:
    before = held(project)
    done = rewrite("--jobs", "1", ".")
    assert done.exit_code == 0, done.output
    after = held(project)
    assert {name for name in after if after[name] != before.get(name)} == {*FILES, HELPER} - {"pkg/__init__.py"}
    assert not any(b"xformers" in after[name] for name in REQUIREMENTS)
    result = call("undo")
    assert result.exit_code == 0, result.output
    assert held(project) == before


@pytest.mark.parametrize("mine", sorted({*FILES, HELPER} - {"pkg/__init__.py"}))
def test_a_file_that_has_changed_since_stays_and_no_other(project: Path, mine: str) -> None:
    before = held(project)
    rewrite("--jobs", "1", ".")
    after = held(project)
    (project / mine).write_bytes(after[mine] + b" ")
    result = call("undo")
    assert result.exit_code == 1
    assert f"{mine}: has changed since, and stays as it is" in result.output
    stay = {mine: after[mine] + b" "}
    if mine == "pkg/helped.py":  # which needs the helper module
        stay[HELPER] = after[HELPER]
    assert held(project) == {**before, **stay}
    (project / mine).write_bytes(after[mine])
    result = call("undo")
    assert result.exit_code == 0, result.output
    assert held(project) == before
