"""The cells that a run makes: one for the helper module, one for the H200 flags; what each is found again by."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.notebooks import ATTEND, BY_HELPER, SEED, code, saved, sources
from tests.projects.harness import write
from tests.run.commands import NOTHING_FOUND, rewrite

pytestmark = pytest.mark.usefixtures("inside")


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
