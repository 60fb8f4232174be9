"""Which notebooks name xformers, and where; one that cannot be read is named as well."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.notebooks import book, code, printed, prose
from tests.projects.harness import write
from tests.run.commands import EXACT, NO_CALL, rewrite
from xf2sdpa.files.notebook import Notebook, read_any
from xf2sdpa.uninstall.notebooks import Named, code_names, masked_names


def named(folder: Path, text: str) -> list[Named]:
    path = folder / "a.ipynb"
    path.write_text(text, "utf-8")
    source = read_any(path)
    if not isinstance(source, Notebook):
        return []
    return sorted([*masked_names(source, source.text), *code_names(source.text)], key=lambda n: (n.cell, n.line))


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("import xformers.ops as xops", "code"),
        ("from mslk.attention import fmha", "code"),
        ("pipe.enable_xformers_memory_efficient_attention()", "code"),
        ("from diffusers import XFormersAttnProcessor", "code"),
        ('ops = importlib.import_module("xformers.ops")', "code"),
        ('config = {"xformers": True}', "code"),
        ("train(xformers_attention=True)", "code"),
        ("%pip install xformers", "install"),
        ("!pip install -q 'xformers<0.0.27' torch", "install"),
        ("!python launch.py --xformers", "line"),
        ("%timeit xformers.ops.memory_efficient_attention(q, q, q)", "line"),
    ],
)
def test_code_that_names_it(tmp_path: Path, line: str, kind: str) -> None:
    (found,) = named(tmp_path, book(prose("# A"), code("import torch"), code("x = 1", line)))
    assert (found.cell, found.line, found.kind) == (3, 2, kind)
    assert found.text == line


@pytest.mark.parametrize(
    "line",
    [
        "print('no xformers here')",
        "x = 1  # xformers",
        '"""\nwith xformers\n"""',
        'print("it\'s xformers")',
        "xformers_mask = 1; print(xformers_mask)",
        "def attend_xformers(q):\n    return q\n\nattend_xformers(1)",
        "!pip uninstall -y xformers",
        "!ls  # xformers",
        "%%html\n<b>xformers</b>",
    ],
)
def test_code_that_speaks_of_it(tmp_path: Path, line: str) -> None:
    assert not named(tmp_path, book(code(*line.split("\n"))))


def test_a_cell_that_is_no_python(tmp_path: Path) -> None:
    found = named(tmp_path, book(code("%%bash", "ls", "pip install xformers"), code("print 'a'", "import xformers")))
    assert [(n.cell, n.line, n.kind) for n in found] == [(1, 3, "cell"), (2, 2, "cell")]


def test_prose_and_outputs_do_not_count(tmp_path: Path) -> None:
    assert not named(tmp_path, book(code("x", outputs=printed("import xformers\n")), prose("import xformers")))


def test_another_language_does_not_count(tmp_path: Path) -> None:
    assert not named(tmp_path, book(code("using xformers"), metadata={"language_info": {"name": "julia"}}))


@pytest.mark.parametrize("text", ['{"cells": [ xformers', '"xformers"', '{"cells": [1, "xformers"]}'])
def test_what_cannot_be_read_may_need_it(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"a.py": EXACT, "b.ipynb": text})
    monkeypatch.chdir(tmp_path)
    output = rewrite("a.py").output
    assert output.endswith("because b.ipynb may need it\n")


def test_a_run_names_it_by_name_and_in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(
        tmp_path,
        {
            "a.py": EXACT,
            "b/demo.ipynb": book(code("import xformers.components as c", "print(c)")),
            "c.ipynb": book(code("import torch")),
        },
    )
    monkeypatch.chdir(tmp_path)
    for given in ("b/demo.ipynb", "b", "."):
        result = rewrite("--check", given)
        assert "b/demo.ipynb:cell 1:2: XF402" in result.output
        assert NO_CALL not in result.output
    needed = "xformers can be uninstalled: no, because a.py, b/demo.ipynb need it\n"
    assert rewrite("c.ipynb").output.startswith(NO_CALL)
    assert rewrite("c.ipynb").output.endswith(needed)
    left_out = rewrite("--exclude", "b", "--check", "b/..").output
    assert "XF410" not in left_out
    assert left_out.endswith("no, because b/demo.ipynb needs it\n")
    assert rewrite("--ignore", "XF410", "b").output.endswith("no, because b/demo.ipynb needs it\n")
    assert rewrite("b").exit_code == 0


def test_one_outside_the_paths_keeps_the_requirement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"src/a.py": EXACT, "demo.ipynb": book(code("import xformers")), "requirements.txt": "xformers\n"}
    write(tmp_path, files)
    monkeypatch.chdir(tmp_path)
    assert "Lines to drop" not in rewrite("--check", "src").output
    (tmp_path / "demo.ipynb").write_text(json.dumps(json.loads(book(code("import torch")))))
    assert "Lines to drop" in rewrite("--check", "src").output
