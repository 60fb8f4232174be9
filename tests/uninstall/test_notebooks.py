"""A notebook is named while its code names xformers, and never breaks a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.projects.harness import write
from tests.run.commands import EXACT, NOTHING, rewrite
from xf2sdpa.model import FindingKind
from xf2sdpa.uninstall.notebooks import naming_xformers


def book(*cells: dict[str, object], **more: object) -> str:
    return json.dumps({"cells": list(cells), "metadata": {}, "nbformat": 4, "nbformat_minor": 5, **more})


def code(*lines: str) -> dict[str, object]:
    return {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [], "source": list(lines)}


def named(folder: Path, text: str) -> bool:
    """Whether a notebook of this text is named."""
    path = folder / "a.ipynb"
    path.write_text(text, "utf-8")
    found = list(naming_xformers([str(path)]))
    assert all(
        f.code == "XF410" and f.kind is FindingKind.KEEPS and f.span.line == 1 for r in found for f in r.findings
    )
    return bool(found)


@pytest.mark.parametrize(
    "line",
    [
        "import xformers.ops as xops",
        "%pip install xformers",
        "!pip install -q 'xformers<0.0.27' torch",
        "pipe.enable_xformers_memory_efficient_attention()",
        "from diffusers import XFormersAttnProcessor",
        'ops = importlib.import_module("xformers.ops")',
        "from mslk.attention import fmha",
    ],
)
def test_code_that_names_it(tmp_path: Path, line: str) -> None:
    assert named(tmp_path, book(code("import torch\n"), code("x = 1\n", line)))


@pytest.mark.parametrize(
    "line", ["print('no xformers here')", "x = 1  # xformers", '"""\nwith xformers\n"""', 'print("it\'s xformers")']
)
def test_code_that_speaks_of_it(tmp_path: Path, line: str) -> None:
    assert not named(tmp_path, book(code(line)))


def test_prose_and_outputs_do_not_count(tmp_path: Path) -> None:
    shown = {**code("x"), "outputs": [{"output_type": "stream", "name": "stdout", "text": ["import xformers\n"]}]}
    assert not named(tmp_path, book(shown, {"cell_type": "markdown", "metadata": {}, "source": "import xformers"}))


def test_other_formats(tmp_path: Path) -> None:
    assert named(tmp_path, book({"cell_type": "code", "source": "import xformers"}))
    assert named(
        tmp_path, json.dumps({"worksheets": [{"cells": [{"cell_type": "code", "input": ["import xformers"]}]}]})
    )


@pytest.mark.parametrize(
    "text",
    [
        '{"cells": [ xformers',
        '"xformers"',
        '["xformers"]',
        '{"cells": "xformers"}',
        '{"cells": [1, "xformers"]}',
        '{"cells": [{"cell_type": "code", "source": [1, "xformers"]}]}',
        '{"worksheets": 3, "a": "xformers"}',
        "[" * 100_000 + '"xformers"',
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, text: str) -> None:
    assert named(tmp_path, text)
    assert not named(tmp_path, text.replace("xformers", "flash"))


def test_a_run_names_it_by_name_and_in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(
        tmp_path, {"a.py": EXACT, "b/demo.ipynb": book(code("import xformers")), "c.ipynb": book(code("import torch"))}
    )
    monkeypatch.chdir(tmp_path)
    for given in ("b/demo.ipynb", "b", "."):
        result = rewrite("--check", given)
        assert "b/demo.ipynb:1: XF410 a notebook that names xformers" in result.output
        assert NOTHING not in result.output
    assert rewrite("c.ipynb").output == NOTHING
    assert rewrite("--exclude", "b", "--check", "b/..").output.count("ipynb") == 0
    assert rewrite("--ignore", "XF410", "b").output == NOTHING
    assert rewrite("b").exit_code == 0


def test_one_outside_the_paths_keeps_the_requirement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"src/a.py": EXACT, "demo.ipynb": book(code("import xformers")), "requirements.txt": "xformers\n"}
    write(tmp_path, files)
    monkeypatch.chdir(tmp_path)
    assert "Lines to drop" not in rewrite("--check", "src").output
    (tmp_path / "demo.ipynb").unlink()
    assert "Lines to drop" in rewrite("--check", "src").output
