"""Notebooks are rewritten like files: cell by cell, to the byte outside the edited ones; and run before and after."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import jsonschema
import pytest
import torch

from tests import oracle
from tests.notebooks import book, code, printed, prose, run_by_kernel, run_cells, sources
from tests.projects.harness import write
from tests.run.commands import EXACT, PLAIN, call, rewrite
from xf2sdpa.files.notebook import Notebook, decode_notebook
from xf2sdpa.model import CellChange, FileResult, Run
from xf2sdpa.report import json as json_report
from xf2sdpa.run.notebooks import fitted, tell_by_cells

NOTHING_FOUND = "No call of xformers' attention found"
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
WITHOUT = "import sys\nsys.modules['xformers'] = None"
WITH = "from tests import oracle\nstanding_in = oracle.installed()\nstanding_in.__enter__()"


@pytest.fixture(autouse=True)
def _inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Cells run in this process, and may say what a tensor is by default."""
    monkeypatch.chdir(tmp_path)
    before = torch.get_default_dtype()
    yield
    torch.set_default_dtype(before)


def saved(*cells: dict[str, object], name: str = "demo.ipynb", **more: object) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(book(*cells, **more), "utf-8")
    return path


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


def test_a_helper_gets_a_cell_and_is_found_again() -> None:
    path = saved(*BY_HELPER, nbformat_minor=5)
    assert "XF164 changed" in rewrite("-v", path).output
    first = sources(path)
    assert first[:1] == ["%pip install -q triton"]
    assert first[1].startswith("%%writefile _attention_compat.py\n")
    assert first[2] == "from _attention_compat import LowerTriangularMask, memory_efficient_attention"
    assert json.loads(path.read_text("utf-8"))["cells"][1]["id"] == "xf2sdpa-helper"
    assert sorted(Path().iterdir()) == [path]
    rewrite(path)
    assert sources(path) == first
    whole = json.loads(path.read_text("utf-8"))
    more = [
        "from xformers.ops import unbind, fmha\n",
        "out = memory_efficient_attention(q, k, v, fmha.BlockDiagonalMask.from_seqlens([2, 3]))",
    ]
    whole["cells"].append(code(*(line.rstrip("\n") for line in more), id="more"))
    path.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", "utf-8")
    rewrite(path)
    assert len(sources(path)) == len(first) + 1
    assert "class BlockDiagonalMask" in sources(path)[1]
    assert "class LowerTriangularMask" in sources(path)[1]


def test_an_edited_helper_cell_stays() -> None:
    path = saved(*BY_HELPER)
    rewrite(path)
    whole = json.loads(path.read_text("utf-8"))
    whole["cells"][1]["source"].append("\n# mine\n")
    whole["cells"].append(code("from xformers.ops import SwiGLU", "layer = SwiGLU(8, 16)"))
    path.write_text(json.dumps(whole, indent=1) + "\n", "utf-8")
    before = path.read_text("utf-8")
    assert "XF412" in rewrite("-v", path).output
    assert path.read_text("utf-8") == before


def test_a_helper_beside_the_notebook_is_imported() -> None:
    write(
        Path(),
        {
            "net/__init__.py": "",
            "net/a.py": "\n".join(["import xformers.ops", "from . import b", *ATTEND]),
            "net/b.py": "",
        },
    )
    write(
        Path(),
        {
            "net/a.py": Path("net/a.py")
            .read_text()
            .replace("import xformers.ops", "from xformers.ops import memory_efficient_attention")
        },
    )
    beside = saved(*BY_HELPER[1:], code("from net import a"))
    inside, apart = saved(*BY_HELPER[1:], name="net/x.ipynb"), saved(*BY_HELPER[1:], name="demos/x.ipynb")
    alone = saved(*BY_HELPER[1:], name="alone.ipynb")
    assert rewrite(".").exit_code == 0
    assert sources(beside)[0] == "from net._attention_compat import LowerTriangularMask, memory_efficient_attention"
    assert sources(inside)[0] == "from _attention_compat import LowerTriangularMask, memory_efficient_attention"
    assert "class LowerTriangularMask" in Path("net/_attention_compat.py").read_text()
    for path in (apart, alone):
        assert sources(path)[0].startswith("%%writefile")
    assert NOTHING_FOUND in rewrite(".").output
    assert Path("net/_attention_compat.py").exists()


def test_the_hook_makes_no_new_cell() -> None:
    path = saved(*BY_HELPER)
    before = path.read_text("utf-8")
    assert "1 call site: 0 compat" not in rewrite("--no-new-files", path).output
    assert path.read_text("utf-8") == before


def test_names_in_magics_keep_the_import() -> None:
    path = saved(*INLINE, code("%timeit xops.memory_efficient_attention(q, k, v)"))
    output = rewrite("-v", path).output
    assert "import xformers.ops as xops" in sources(path)[1]
    assert sources(path)[0] == "!pip install xformers"
    assert "cell 2:1:1: XF410 note    installs xformers, and stays, as it is still needed here" in output
    assert "scaled_dot_product_attention" in sources(path)[3]


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


def test_an_error_of_ours_costs_one_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xf2sdpa.run.rewrite_files.set_flags_apart", mock.Mock(side_effect=KeyError("x")))
    write(Path(), {"a.py": EXACT, "b.ipynb": book(*INLINE)})
    result = rewrite(".")
    assert result.exit_code == 2
    assert "b.ipynb:cell 2:1:1: XF910 error   the work on it broke off: KeyError" in result.output
    assert "xformers" not in Path("a.py").read_text()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"cells": [ xformers', "is no JSON"),
        (json.dumps({"nbformat": 3, "worksheets": [{"cells": []}], "a": "xformers"}), "is in format 3"),
        (json.dumps({"nbformat": 4, "metadata": {"a": "xformers"}}), "has no list of cells"),
    ],
)
def test_a_broken_notebook_costs_itself(text: str, why: str) -> None:
    write(Path(), {"a.ipynb": text, "b.py": EXACT})
    result = rewrite(".")
    assert result.exit_code == 2
    assert "a.ipynb:1:1: XF911 error" in result.output
    assert why in result.output
    assert Path("a.ipynb").read_text() == text
    assert "xformers" not in Path("b.py").read_text()


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


def test_check_and_diff_tell_cells() -> None:
    path = saved(*INLINE)
    before = path.read_text("utf-8")
    assert rewrite("--check", ".").exit_code == 1
    shown = rewrite("--diff", ".").output
    assert "--- a/demo.ipynb:cell 3\n+++ b/demo.ipynb:cell 3\n" in shown
    assert "-import xformers.ops as xops" in shown
    assert "source" not in shown
    assert path.read_text("utf-8") == before


def test_the_json_report_has_cells() -> None:
    saved(*INLINE)
    report = json.loads(rewrite("--check", "--output-format", "json", ".").output)
    jsonschema.validate(report, json.loads((Path(json_report.__file__).parent / "schema.json").read_text()))
    (file,) = report["files"]
    assert [(site["cell"], site["line"], site["column"]) for site in file["sites"]] == [(5, 2, 7)]
    assert [cell["cell"] for cell in file["cells"]] == [2, 3, 5]
    assert file["cells"][0] == {"cell": 2, "old": "!pip install xformers", "new": ""}
    assert file["old"] == Path("demo.ipynb").read_text("utf-8")
    assert {"XF149", "XF140", "XF308"} <= {finding["code"] for finding in file["findings"]}


def test_outputs_of_edited_cells_are_kept_and_told() -> None:
    path = saved(*INLINE)
    assert "cell 3:1:1: XF308 note    the outputs kept with cell 3 are" in rewrite("-v", path).output
    assert json.loads(path.read_text("utf-8"))["cells"][2]["outputs"] == printed("old\n")


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


TRAINING = (
    code(*SEED, "from torch import nn", "import xformers.ops as xops"),
    code("class Attention(nn.Module):", "    def __init__(self):", "        super().__init__()",
         "        self.qkv, self.conv = nn.Linear(24, 72), nn.Conv2d(1, 1, 1)", "", "    def forward(self, x):",
         "        q, k, v = self.qkv(x).view(2, 5, 3, 3, 8).unbind(2)",
         "        return xops.memory_efficient_attention(q, k, v).flatten(2)"),
    code("model = Attention()", "loss = model(torch.randn(2, 5, 24)).square().mean()", "loss.backward()"),
)  # fmt: skip


def test_flags_have_a_cell_of_their_own() -> None:
    path = saved(*TRAINING)
    output = rewrite(path).output
    assert "demo.ipynb:cell 2:1:1: XF501 flags" in output
    assert "a convolution, Conv2d at demo.ipynb:cell 2:4" in output
    first = sources(path)
    assert len(first) == 4
    assert first[1].startswith("# xf2sdpa: H200 flags")
    assert first[1].endswith("# xf2sdpa: end of H200 flags")
    assert "xf2sdpa" not in first[0] + first[2] + first[3]
    assert rewrite("--flags", "safe", path).exit_code == 0
    assert [len(sources(path)), sources(path)[0]] == [4, first[0]]
    assert rewrite("--flags", "off", path).exit_code == 0
    assert sources(path) == [first[0], *first[2:]]
    assert rewrite("--flags-in", path, "--flags", "h200", path).exit_code == 0
    assert sources(path) == first


def test_a_notebook_apart_from_what_it_imports_gets_none() -> None:
    write(
        Path(),
        {
            "net/__init__.py": "",
            "net/a.py": "\n".join(line for c in TRAINING[:2] for line in "".join(c["source"]).split("\n")),
        },
    )
    beside = saved(code("from net.a import Attention  # no xformers"), TRAINING[2], name="beside.ipynb")
    apart = saved(code("from net.a import Attention  # no xformers"), TRAINING[2], name="demos/apart.ipynb")
    rewrite(".")
    assert [len(sources(path)) for path in (beside, apart)] == [3, 2]


def test_without_a_program_there_are_no_flags() -> None:
    path = saved(*TRAINING[:2])
    rewrite(path)
    assert len(sources(path)) == 2


@pytest.mark.parametrize(
    ("further", "why"),
    [
        (code("!python launch.py --xformers"), "cell 7 still names it"),
        (code("!accelerate launch train.py"), "code that is not seen here may need it"),
        (code("%run train.py"), "code that is not seen here may need it"),
        (code("!git clone https://host/a"), "code that is not seen here may need it"),
        (code("%%bash", "python train.py"), "code that is not seen here may need it"),
        (code('config = {"xformers": True}'), "cell 7 still names it"),
        (code("from needing import a"), "needing.py imports it"),
        (code("from unseen import a"), "unseen was not looked at"),
        (code("xops.fmha.memory_efficient_attention_partial(q, k, v)"), "it is still needed here"),
    ],
)
def test_install_lines_stay_where_something_may_need_it(further: dict[str, object], why: str) -> None:
    write(Path(), {"needing.py": "import xformers.components\na = xformers.components\n", "out/unseen.py": "a = 1\n"})
    path = saved(*INLINE, prose("x"), further)
    Path("out/unseen.py").rename("unseen.py")
    output = rewrite("-v", path, "needing.py").output
    assert f"XF410 note    installs xformers, and stays, as {why}" in output
    assert sources(path)[0] == "!pip install xformers"
    assert "scaled_dot_product_attention" in sources(path)[3]


def test_install_lines_stay_where_nothing_shows_what_they_are_for() -> None:
    path = saved(code("!pip install xformers diffusers"), code("import diffusers"))
    before = path.read_text("utf-8")
    assert "as nothing that was rewritten shows what it is for" in rewrite(path).output
    assert path.read_text("utf-8") == before


def test_install_lines_in_blocks_and_below_magics() -> None:
    cells = (
        code("%%capture", "!pip install xformers"),
        code("import sys", "if 'google.colab' in sys.modules:", "    !pip install -q xformers"),
        code("if 'google.colab' in sys.modules:", "    !pip install -q xformers", "    !pip install a xformers"),
        code("said = !pip install xformers"),
    )
    path = saved(*cells, *INLINE[2:])
    output = rewrite("-v", path).output
    assert sources(path)[:4] == [
        "",
        "import sys\nif 'google.colab' in sys.modules:\n    pass",
        "if 'google.colab' in sys.modules:\n    !pip install a",
        "said = !pip install xformers",
    ]
    assert "cell 4:1:1: XF410" in output


def test_only_exact_and_ignored_codes_keep_install_lines() -> None:
    for options in (("--only", "exact"), ("--ignore", "XF149"), ("--requirements", "keep")):
        path = saved(*INLINE)
        rewrite(*options, path)
        assert sources(path)[0] == "!pip install xformers"


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


def test_services_get_lines_of_the_file() -> None:
    path = saved(*INLINE)
    lines = path.read_text("utf-8").split("\n")
    told = rewrite("--check", "--output-format", "github", ".").output
    number = next(n for n, line in enumerate(lines, 1) if "out = xops" in line)
    assert f"line={number}" in told
    assert "cell 5, line 2: " in told


def test_a_diff_to_apply_is_of_the_json(tmp_path: Path) -> None:
    path = saved(*INLINE)
    before = path.read_text("utf-8")
    shown = rewrite("--check", "--output-format", "diff", ".").output
    rewrite(path)
    after = path.read_text("utf-8")
    removed = [line[1:] for line in shown.split("\n") if line.startswith("-") and not line.startswith("---")]
    added = [line[1:] for line in shown.split("\n") if line.startswith("+") and not line.startswith("+++")]
    assert removed
    assert all(line in before.split("\n") for line in removed)
    assert all(line in after.split("\n") for line in added)
