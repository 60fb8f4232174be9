"""Notebooks are rewritten like files: cell by cell, to the byte outside the edited ones; and run before and after."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from unittest import mock

import pytest
import torch

from tests import oracle
from tests.notebooks import BY_HELPER, INLINE, SEED, book, code, run_by_kernel, run_cells, saved, sources
from tests.projects.harness import write
from tests.run.commands import EXACT, NOTHING_FOUND, PLAIN, call, rewrite
from xf2sdpa.files.notebook import Notebook, decode_notebook
from xf2sdpa.model import CellChange, FileResult, Run
from xf2sdpa.run.notebooks import fitted, tell_by_cells

pytestmark = pytest.mark.usefixtures("inside")


WITHOUT = "import sys\nsys.modules['xformers'] = None"


WITH = "from tests import oracle\nstanding_in = oracle.installed()\nstanding_in.__enter__()"


def before_and_after(path: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """What `out` is: on the reference in xformers' place, and after the rewrite without xformers."""
    with oracle.installed() as calls:
        before = run_cells(path)["out"]
    assert calls.count
    assert rewrite(path).exit_code == 0
    gone = dict.fromkeys(("xformers", "xformers.ops", "mslk"))
    kept = {name: module for name, module in sys.modules.items() if name != "_attention_compat"}
    with mock.patch.dict(sys.modules, {**kept, **gone}), mock.patch.object(sys, "path", [str(Path.cwd()), *sys.path]):
        sys.modules.pop("_attention_compat", None)
        return before, run_cells(path)["out"]


@pytest.mark.parametrize("cells", [INLINE, BY_HELPER], ids=["inline", "by the helper"])
def test_the_numbers_are_the_same(cells: tuple[dict[str, object], ...]) -> None:
    before, after = before_and_after(saved(*cells))
    assert (before - after).abs().max().item() < 1e-9


@pytest.mark.parametrize("cells", [INLINE, BY_HELPER], ids=["inline", "by the helper"])
def test_a_kernel_prints_the_same(cells: tuple[dict[str, object], ...]) -> None:
    path = saved(*(cell for cell in cells if "pip install" not in "".join(map(str, cell["source"]))))
    before = run_by_kernel(path, WITH)
    assert rewrite(path).exit_code == 0
    after = run_by_kernel(path, WITHOUT)
    assert float(before[-1]) == pytest.approx(float(after[-1]), abs=1e-9)


def test_only_the_source_of_edited_cells_changes() -> None:
    path = saved(*INLINE)
    before = path.read_text("utf-8")
    assert "demo.ipynb:cell 5:2:7: XF101 assumed" in rewrite(path).output
    old, new = json.loads(before), json.loads(path.read_text("utf-8"))
    assert [sources(path)[n] for n in (0, 2)] == [
        "",
        "%env A=1\nb, n, h = 2, 5, 3\nx = torch.randn(b, n, 8)\nto_qkv = torch.nn.Linear(8, 3 * h * 8)",
    ]
    assert "import xformers" not in sources(path)[1]
    for index in (1, 2, 4):
        new["cells"][index]["source"] = old["cells"][index]["source"]
    assert json.dumps(new, indent=1, ensure_ascii=False) + "\n" == before
    assert NOTHING_FOUND in rewrite(path).output


def test_an_import_that_only_its_own_cell_sees_is_refused() -> None:
    cells = (
        code("from torch import nn, randn", "from xformers.ops import memory_efficient_attention as attend"),
        code("x, linear = randn(2, 5, 8), nn.Linear(8, 24)"),
        code("%%timeit", "import torch.nn.functional as F", "F.relu"),
        code("q, k, v = linear(x).view(2, 5, 3, 4, 2).unbind(2)", "out = attend(q, k, v).reshape(2, 5, 8)"),
    )
    path = saved(*cells)
    before = path.read_text("utf-8")
    result = rewrite(path)
    assert result.exit_code == 2
    assert "demo.ipynb:cell 1:1:1: XF912 error   cell 4 would read `F`, and cell 3 binds nothing" in result.output
    assert path.read_text("utf-8") == before


def test_an_import_below_its_reader_is_refused() -> None:
    source = decode_notebook(book(code("x = 1"), code("y = 2")).encode(), Path("a.ipynb"))
    assert source is not None
    late = source.text.replace("x = 1", "x = math.pi").replace("y = 2", "import math")
    result = fitted(FileResult(source.path, source.text, late), source, helped=False)
    assert [f.message for f in result.findings] == ["cell 1 would read `math`, which is imported in cell 2, below it"]
    assert not result.changed
    early = source.text.replace("x = 1", "import math").replace("y = 2", "y = math.pi")
    assert fitted(FileResult(source.path, source.text, early), source, helped=False).new == early


def test_an_import_above_all_goes_to_the_first_cell_that_can_hold_it() -> None:
    cells = (code("%%bash", "ls"), code(""), code("#@title A", "%%capture", "x = 1"), code("y = math.pi"))
    source = decode_notebook(book(*cells).encode(), Path("a.ipynb"))
    assert source is not None
    result = fitted(FileResult(source.path, source.text, "import math\n" + source.text), source, helped=False)
    assert [change.new for change in told(result, source)] == ["#@title A\n%%capture\nimport math\nx = 1"]


def told(result: FileResult, source: Notebook) -> tuple[CellChange, ...]:
    tell_by_cells(Run([result]), {result.path: source})
    return result.cells


def test_another_language_and_notebooks_without_a_match_are_passed_over() -> None:
    write(Path(), {"a.ipynb": "{ not read", "b.py": PLAIN})
    saved(code("using xformers"), name="c.ipynb", metadata={"language_info": {"name": "julia"}})
    assert NOTHING_FOUND in rewrite(".").output


def test_include_and_exclude() -> None:
    path = saved(*INLINE)
    before = path.read_text("utf-8")
    for options in (("--exclude", "*.ipynb"), ("--include", "*.py"), ("--exclude", "demo.*")):
        assert NOTHING_FOUND in rewrite(*options, ".").output
    assert path.read_text("utf-8") == before
    assert rewrite("--include", "*.ipynb", ".").exit_code == 0
    assert path.read_text("utf-8") != before


def test_standard_input() -> None:
    text = book(*INLINE)
    result = call("rewrite", "--stdin-filename", "a.ipynb", "-q", "-", given=text)
    cells = json.loads(result.stdout)["cells"]
    assert "xformers" not in "".join(cells[2]["source"] + cells[4]["source"])


def test_cells_of_scripts_are_plain_python() -> None:
    script = (
        "# %%\nimport torch\nimport xformers.ops as xops\n\n# %% [markdown]\n# # A\n\n# %%\n" + EXACT.split("\n\n\n")[1]
    )
    write(Path(), {"a.py": script})
    rewrite("a.py")
    text = Path("a.py").read_text()
    assert text.startswith("# %%\nimport torch\n\n# %% [markdown]\n# # A\n\n# %%\ndef attend")
    assert "xformers" not in text


def test_names_come_from_files_and_go_to_them() -> None:
    handing = "import xformers.ops as xops\n"
    write(Path(), {"shared.py": handing, "used.py": "from xformers.ops import memory_efficient_attention\n"})
    cells = (
        code(*SEED, "from shared import xops", "import used"),
        *INLINE[3:],
        code("print(used.memory_efficient_attention)"),
    )
    path = saved(*cells)
    rewrite(".")
    assert "xops" not in "".join(sources(path))
    assert Path("shared.py").read_text().strip() == ""
    assert "memory_efficient_attention" in Path("used.py").read_text()


def test_a_magic_in_a_handler_keeps_it() -> None:
    guard = code(
        "try:",
        "    import xformers.ops as xops",
        "except ImportError:",
        "    !pip install xformers",
        "    import xformers.ops as xops",
    )
    path = saved(guard, *INLINE[2:])
    before, after = before_and_after(path)
    assert (before - after).abs().max().item() < 1e-9
    assert "scaled_dot_product_attention" in "".join(sources(path))
