"""Run a small project as its users do: on xformers before the rewrite, without xformers after it.

A project is a folder of files. Its entry module defines `run(q, k, v)`, which returns which path it took
(`"fast"` or `"eager"`) and the result. `execute` imports it afresh, counts who computed attention, and takes
the gradients; `rewrite` is the command line.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import io
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from click.testing import CliRunner, Result

from tests import oracle
from xf2sdpa.cli import cli

Surroundings = Callable[[], AbstractContextManager[Any]]
SHAPE = (2, 5, 3, 8)
COPY = "_attention_compat.py"
EAGER = """\
import torch


def eager(q, k, v, attn_bias=None):
    weights = torch.einsum("bmhd,bnhd->bhmn", q, k) / q.shape[-1] ** 0.5
    return torch.einsum("bhmn,bnhd->bmhd", weights.softmax(-1), v)
"""
"""The slow path of the mini projects, without SDPA: `from eager import eager`."""


@dataclass
class Outcome:
    """What one execution did."""

    path: str
    out: torch.Tensor
    gradients: tuple[torch.Tensor, ...]
    xformers_calls: int
    sdpa_calls: int
    printed: str


def write(folder: Path, files: Mapping[str, str]) -> Path:
    """Write the files of a project, by path below the folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def tree(folder: Path) -> dict[str, str]:
    """All Python files of a project with their text."""
    return {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in sorted(folder.rglob("*.py"))}


def rewrite(*arguments: str | Path, status: int = 0) -> Result:
    """Run `xf2sdpa rewrite -v` in this process."""
    result = CliRunner().invoke(cli, ["rewrite", "--jobs", "1", "-v", *map(str, arguments)])
    assert result.exit_code == status, result.output
    return result


def imports_of_xformers(folder: Path) -> list[str]:
    """Every import of xformers that is left below a folder, as `file:line`."""
    found = []
    for name, text in tree(folder).items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            else:
                modules = [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            found += [f"{name}:{node.lineno}" for module in modules if module.partition(".")[0] in oracle.ROOTS]
    return found


def tensors(shape: tuple[int, ...] = SHAPE) -> list[torch.Tensor]:
    """The same q, k and v every time."""
    generator = torch.Generator().manual_seed(7)
    return [torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_() for _ in range(3)]


def execute(
    root: Path,
    surroundings: Surroundings,
    *,
    entry: str = "main",
    environment: Mapping[str, str] | None = None,
    cleared: tuple[str, ...] = (),
) -> Outcome:
    """Import a project's entry module afresh, with `root` on the path, and call its `run`."""
    inputs = tensors()
    with fresh(root, surroundings, environment or {}, cleared) as (calls, spy, printed):
        path, out = importlib.import_module(entry).run(*inputs)
        gradients = torch.autograd.grad(out.square().sum(), inputs)
    return Outcome(path, out.detach(), gradients, getattr(calls, "count", 0), spy.call_count, printed.getvalue())


@contextlib.contextmanager
def fresh(
    root: Path, surroundings: Surroundings, environment: Mapping[str, str] | None = None, cleared: tuple[str, ...] = ()
) -> Iterator[tuple[Any, mock.Mock, io.StringIO]]:
    """Surroundings with a project on the path and none of its modules loaded; SDPA is counted."""
    before = dict(sys.modules)
    with contextlib.ExitStack() as stack:
        calls = stack.enter_context(surroundings())
        stack.enter_context(mock.patch.object(sys, "path", [str(root), *sys.path]))
        stack.enter_context(mock.patch.object(sys, "dont_write_bytecode", True))
        stack.enter_context(mock.patch.dict("os.environ", environment or {}))
        for name in cleared:
            os.environ.pop(name, None)
        spy = stack.enter_context(
            mock.patch.object(F, "scaled_dot_product_attention", wraps=F.scaled_dot_product_attention)
        )
        printed = stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        importlib.invalidate_caches()
        try:
            yield calls, spy, printed
        finally:
            new = [name for name in sys.modules if name not in before and _lies_below(sys.modules[name], root)]
            for name in new:
                del sys.modules[name]


def _lies_below(module: Any, root: Path) -> bool:
    places = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
    return any(isinstance(place, str) and Path(place).is_relative_to(root) for place in places)


def assert_equal(before: Outcome, after: Outcome, tolerance: float = 1e-9) -> None:
    """The same path, result and gradients."""
    assert after.path == before.path
    for old, new in zip((before.out, *before.gradients), (after.out, *after.gradients), strict=True):
        assert old.shape == new.shape
        assert old.dtype == new.dtype
        assert (old - new).abs().max().item() <= tolerance


def assert_noticed(files: Mapping[str, str], folder: Path) -> None:
    """The project computes the same after the rewrite, or stops at a check that was written for it."""
    root = write(folder, files)
    before = execute(root, installed)
    rewrite(root, "--flags", "off")
    try:
        after = execute(root, oracle.absent)
    except NotImplementedError as error:
        if "(xf2sdpa)" not in str(error):
            raise
    else:
        assert_equal(before, after)


def assert_inline(files: Mapping[str, str], folder: Path) -> None:
    """The project's calls are SDPA's where they stand, without the helper, and compute the same."""
    root = write(folder, files)
    before = execute(root, installed)
    rewrite(root, "--flags", "off")
    new = "".join(tree(root).values())
    assert "scaled_dot_product_attention(" in new
    assert "_attention_compat" not in new
    assert_equal(before, execute(root, oracle.absent))


# -- the operators of xformers that need Triton, for a reference on the CPU ---------------------------------


def index_select_cat(sources: list[torch.Tensor], indices: list[torch.Tensor]) -> torch.Tensor:
    """`xformers.ops.index_select_cat`: the chosen rows of every source, flat and in one piece."""
    return torch.cat([source[rows].reshape(-1) for source, rows in zip(sources, indices, strict=True)])


def scaled_index_add(
    input: torch.Tensor,  # noqa: A002 - the name in xformers
    index: torch.Tensor,
    source: torch.Tensor,
    scaling: torch.Tensor | None = None,
    alpha: float = 1.0,
) -> torch.Tensor:
    """`xformers.ops.scaled_index_add`, which works in place."""
    addend = alpha * (source if scaling is None else scaling * source)
    for position, row in enumerate(index.tolist()):
        input[row] += addend[position]
    return input


@contextlib.contextmanager
def installed() -> Iterator[oracle.Calls]:
    """`oracle.installed()` with these two operators."""
    with oracle.installed() as calls:
        ops: Any = sys.modules["xformers.ops"]
        ops.index_select_cat, ops.scaled_index_add = index_select_cat, scaled_index_add
        yield calls
