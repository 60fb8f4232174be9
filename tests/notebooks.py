"""Small notebooks, and ways to run them: their cells in one namespace, or by a real kernel where there is one."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

Cell = dict[str, Any]
_DROPPED = re.compile(r"^[ \t]*[%!].*(?:\\\n.*)*\n?", re.MULTILINE)


def code(*lines: str, **more: Any) -> Cell:
    """A code cell of lines, with whatever else it holds."""
    cell = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": []}
    return {**cell, "source": [f"{line}\n" for line in lines[:-1]] + [*lines[-1:]], **more}


def prose(text: str) -> Cell:
    """A Markdown cell."""
    return {"cell_type": "markdown", "metadata": {}, "source": [text]}


def book(*cells: Cell, **more: Any) -> str:
    """A notebook as Jupyter writes it."""
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    whole = {"cells": list(cells), "metadata": kernel, "nbformat": 4, "nbformat_minor": 4, **more}
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def printed(text: str) -> list[Cell]:
    """What a cell printed, as its outputs."""
    return [{"name": "stdout", "output_type": "stream", "text": [text]}]


def sources(path: Path) -> list[str]:
    """The code cells of a notebook on disk, read by the standard library."""
    cells = json.loads(path.read_text("utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def saved(*cells: Cell, name: str = "demo.ipynb", **more: Any) -> Path:
    """A notebook on disk, below the current folder."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(book(*cells, **more), "utf-8")
    return path


def run_cells(path: Path) -> dict[str, Any]:
    """The namespace after all cells of a notebook, run in order; magics and shell lines are left out.

    `%%writefile` writes beside the notebook, where a kernel would be.
    """
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for source in sources(path):
        head, _, body = source.partition("\n")
        if head.startswith("%%writefile "):
            (path.parent / head.split()[1]).write_text(body + "\n", "utf-8")
        else:
            exec(compile(_DROPPED.sub("", source), str(path), "exec", dont_inherit=True), namespace)
    return namespace


def run_by_kernel(path: Path, before: str) -> list[str]:
    """What the cells of a notebook print, run by Jupyter's own client and kernel in the notebook's folder.

    Args:
        path: the notebook.
        before: code that a cell in front of all others runs.
    """
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(before))
    client = nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}
    )
    client.execute(env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))})
    return list(_streams(notebook))


def _streams(notebook: Any) -> Iterator[str]:
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if output.get("name") == "stdout":
                yield output["text"]


# Two notebooks with one call each, and what they begin with.
SEED = (
    "import torch",
    "torch.manual_seed(7)",
    "q, k, v = (torch.randn(2, 5, 3, 8, dtype=torch.float64) for _ in range(3))",
)
ATTEND = ("def attend(q, k, v, bias=None):", "    return memory_efficient_attention(q, k, v, attn_bias=bias)")
BY_HELPER = (
    code("%pip install -q xformers==0.0.22 triton"),
    code("from xformers.ops import LowerTriangularMask, memory_efficient_attention"),
    code(*ATTEND),
    code(*SEED),
    code("out = attend(q, k, v) + attend(q, k, v, LowerTriangularMask())", "print(out.sum().item())"),
)
INLINE = (
    prose("# Größe: xformers"),
    code("!pip install xformers"),
    code(*SEED, "torch.set_default_dtype(torch.float64)", "import xformers.ops as xops", outputs=printed("old\n")),
    code("%env A=1", "b, n, h = 2, 5, 3", "x = torch.randn(b, n, 8)", "to_qkv = torch.nn.Linear(8, 3 * h * 8)"),
    code(
        "q, k, v = to_qkv(x).view(b, n, 3, h, -1).unbind(2)",
        "out = xops.memory_efficient_attention(q, k, v).reshape(b, n, -1)",
        "print(out.sum().item())",
    ),
)
