"""Another library's switch to xformers is named where it is used; what is the project's own, or asks only, is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.projects.harness import rewrite, write
from xf2sdpa.model import FindingKind
from xf2sdpa.rewrite.engine import rewrite_text

FROM = "from diffusers.models.attention_processor import XFormersAttnProcessor\n\n\ndef main(unet, flag):\n    "
METHOD = "class Mine(Base):\n    def forward(self, q):\n        return self.{}\n"


def found(text: str) -> list[int]:
    """The lines that are named."""
    result = rewrite_text(text, compat="_attention_compat")
    assert not result.changed
    assert not result.failed
    named = [finding for finding in result.findings if finding.code == "XF411"]
    assert all(finding.kind is FindingKind.KEEPS and finding.advice for finding in named)
    return [finding.span.line for finding in named]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("def main(pipe):\n    pipe.enable_xformers_memory_efficient_attention()\n", [2]),
        ("pipe.unet.enable_xformers_memory_efficient_attention(attention_op=None)\n", [1]),
        ("block.set_use_memory_efficient_attention_xformers(True)\n", [1]),
        ("block._use_memory_efficient_attention_xformers = True\n", [1]),
        (METHOD.format("_memory_efficient_attention_xformers(q)"), [3]),
        (METHOD.format("_use_memory_efficient_attention_xformers"), [3]),
        (f"{FROM}unet.set_attn_processor(XFormersAttnProcessor())\n", [5]),
        (f"{FROM}kind = XFormersAttnProcessor if flag == 1 else None\n", [5]),
        ("import diffusers as d\n\nprocs = {'a': d.LoRAXFormersAttnProcessor}\n", [3]),
    ],
)
def test_it_is_named(text: str, lines: list[int]) -> None:
    assert found(text) == lines


@pytest.mark.parametrize(
    "text",
    [
        "def main(args):\n    return args.enable_xformers_memory_efficient_attention\n",
        "block.set_use_memory_efficient_attention_xformers(False)\n",
        "pipe.disable_xformers_memory_efficient_attention()\n",
        METHOD.format("_memory_efficient_attention_xformers(q)")
        + "\n    def _memory_efficient_attention_xformers(self, q):\n        return q\n",
        METHOD.format("_use_memory_efficient_attention_xformers")
        + "\n    def __init__(self):\n        self._use_memory_efficient_attention_xformers = False\n",
        "class XFormersAttnProcessor:\n    pass\n\n\nproc = XFormersAttnProcessor()\n",
        "from .processors import XFormersAttnProcessor\n\nproc = XFormersAttnProcessor()\n",
        f"{FROM}return isinstance(unet, (list, XFormersAttnProcessor))\n",
        f"{FROM}return type(unet) == XFormersAttnProcessor\n",
        f"{FROM}unet: XFormersAttnProcessor = flag\n",
        FROM.replace("unet,", "unet: XFormersAttnProcessor,").replace("):", ") -> XFormersAttnProcessor:") + "pass\n",
        f"from typing import Union\n{FROM}return Union[str, XFormersAttnProcessor]\n",
    ],
)
def test_it_is_not(text: str) -> None:
    assert found(text) == []


def test_a_class_of_the_project_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(
        tmp_path,
        {
            "pk/__init__.py": "",
            "pk/procs.py": "class XFormersAttnProcessor:\n    pass\n",
            "run.py": "from pk.procs import XFormersAttnProcessor\n\nPROC = XFormersAttnProcessor()\n",
            "other.py": "from diffusers import XFormersAttnProcessor\n\nPROC = XFormersAttnProcessor()\n",
        },
    )
    monkeypatch.chdir(tmp_path)
    report = rewrite(".").output
    assert "other.py:3:8: XF411" in report
    assert "run.py" not in report


@pytest.mark.parametrize("home", ["diffusers", "src/diffusers"])
def test_a_library_that_the_project_holds_is_its_own(tmp_path: Path, home: str) -> None:
    call = (
        "import xformers.ops as xops\n\n\ndef attend(q, k, v, bias):\n"
        "    return xops.memory_efficient_attention(q, k, v, bias)\n"
    )
    flag = 'import importlib.util\n\nFAST = importlib.util.find_spec("xformers") is not None\n'
    script = (
        "from diffusers import load\nfrom diffusers.flags import FAST\n\nunet = load()\nif FAST:\n"
        "    unet.enable_xformers_memory_efficient_attention()\n"
    )
    write(tmp_path, {f"{home}/__init__.py": "from .attention import attend as load\n", "examples/train.py": script})
    write(tmp_path, {f"{home}/attention.py": f"from .flags import FAST\n{call}", f"{home}/flags.py": flag})
    report = rewrite(tmp_path).output
    assert (tmp_path / home / "flags.py").read_text() == "FAST = True\n"
    assert "XF411" not in report
    assert "XF408" not in report


def test_a_library_from_elsewhere_is_not(tmp_path: Path) -> None:
    flag = 'import importlib.util\n\nFAST = importlib.util.find_spec("xformers") is not None\n'
    call = (
        "from flags import FAST\nimport xformers.ops as xops\n\n\ndef attend(q, k, v, bias):\n"
        "    return xops.memory_efficient_attention(q, k, v, bias)\n"
    )
    script = (
        "from diffusers import load\nfrom flags import FAST\n\nunet = load()\nif FAST:\n"
        "    unet.enable_xformers_memory_efficient_attention()\n"
    )
    write(tmp_path, {"train.py": script, "attention.py": call, "flags.py": flag})
    report = rewrite(tmp_path).output
    assert (tmp_path / "flags.py").read_text() == flag
    assert "XF411" in report
    assert "XF408" in report
