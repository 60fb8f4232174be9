"""A copy of the helper module: what it holds, and that it stands alone."""

from __future__ import annotations

import ast
import sys
import types
from pathlib import Path
from unittest import mock

import pytest

from tests.helper.samples import CALLS_HELPER
from tests.projects.harness import (
    COPY,
    rewrite,
    write,
)
from xf2sdpa.helper import in_notebook
from xf2sdpa.helper import text as copyin
from xf2sdpa.helper.pruning import Uses
from xf2sdpa.model import Copy


@pytest.mark.parametrize("name", sorted(copyin.exported()))
def test_a_copy_for_any_one_name_stands_alone(name: str) -> None:
    text = copyin.assemble([name])
    module = types.ModuleType("copy_of_one")
    with mock.patch.dict(sys.modules, {"copy_of_one": module}):  # dataclasses look their module up
        exec(compile(text, "copy.py", "exec"), vars(module))
    assert hasattr(module, name)
    assert "xf2sdpa" not in {part for node in ast.walk(ast.parse(text)) for part in [getattr(node, "module", "")]}
    imported = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom)]
    for node in imported:  # the standard library and torch, nothing else
        module = node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
        assert module.partition(".")[0] in {"torch", *sys.stdlib_module_names}


def test_a_copy_holds_only_what_is_needed() -> None:
    texts = {name: copyin.assemble([name]) for name in ("index_select_cat", "SwiGLU", "memory_efficient_attention")}
    everything = copyin.assemble(copyin.exported())
    assert len(texts["index_select_cat"].splitlines()) < 30
    assert "class SwiGLU" not in texts["memory_efficient_attention"]
    assert "memory_efficient_attention" not in texts["SwiGLU"]
    assert all(len(text) < len(everything) / 2 for name, text in texts.items() if name != "memory_efficient_attention")
    smallest = len(texts["memory_efficient_attention"])
    assert smallest < len(copyin.assemble(["memory_efficient_attention", "BlockDiagonalMask"])) < len(everything)


def test_a_copy_does_not_depend_on_the_order_of_its_names() -> None:
    names = ["SwiGLU", "BlockDiagonalMask", "memory_efficient_attention"]
    assert copyin.assemble(names) == copyin.assemble(reversed(names))


def test_a_name_that_no_copy_can_hold() -> None:
    with pytest.raises(KeyError, match="Inputs"):
        copyin.assemble(["SwiGLU", "Inputs"])
    assert not {"install", "uninstall"} & copyin.exported()


def test_the_head_says_what_it_is(tmp_path: Path) -> None:
    write(tmp_path, {"main.py": CALLS_HELPER})
    rewrite(tmp_path)
    text = (tmp_path / COPY).read_text("utf-8")
    head = ast.get_docstring(ast.parse(text)) or ""
    for said in ("xf2sdpa", "xformers.ops", "edit it", "delete it", "MIT"):
        assert said in head
    assert copyin.is_untouched(text)
    assert copyin.is_copy(text)
    assert copyin.is_untouched(text.replace("\n", "\r\n"))  # as git may check it out
    edited = text.replace("def memory_efficient_attention(", "def memory_efficient_attention( ")
    assert copyin.is_copy(edited)
    assert not copyin.is_untouched(edited)


def test_a_text_that_does_not_parse_binds_nothing() -> None:
    assert copyin.bound_names("def (") == frozenset()
    assert copyin.bound_names("import a\nb = 1\n") == {"b"}


@pytest.mark.parametrize(("content", "why"), [(b"\xff", "is not UTF-8"), (b"def (", "does not parse")])
def test_what_is_no_module_is_told(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / COPY
    path.write_bytes(content)
    assert copyin.with_text(Copy(path, {}), {"memory_efficient_attention"}, Uses(frozenset())).broken == why
    assert copyin.held(path) == frozenset()


def test_a_cell_that_a_person_edited_stays() -> None:
    cell = in_notebook.cell_with({"memory_efficient_attention"})
    text = in_notebook.helper_of(cell or "") or ""
    assert in_notebook.cell_with({"LowerTriangularMask"}, text) is not None
    assert in_notebook.cell_with({"LowerTriangularMask"}, text.replace("def ", "def  ", 1)) is None
