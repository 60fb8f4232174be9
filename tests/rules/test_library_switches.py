"""Another library's switch to xformers is named where it is used; what is the project's own, or asks only, is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.projects.harness import rewrite, write
from xf2sdpa.model import FileResult, FindingKind
from xf2sdpa.rewrite.engine import rewrite_text, rewrite_with
from xf2sdpa.rewrite.options import Options
from xf2sdpa.settings import Settings

FROM = "from diffusers.models.attention_processor import XFormersCrossAttnProcessor\n\n\ndef main(unet, flag):\n    "
FLAG = "_use_memory_efficient_attention_xformers"
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
        (METHOD.format("forward(q)") + f"\n    def __init__(self):\n        print(self.{FLAG})\n", [6]),
        (METHOD.format("forward(q)") + f"\n    def __init__(self, block):\n        block.{FLAG} = False\n", [6]),
        (f"{FROM}unet.set_attn_processor(XFormersCrossAttnProcessor())\n", [5]),
        (f"{FROM}kind = XFormersCrossAttnProcessor if flag == 1 else None\n", [5]),
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
        METHOD.format("_memory_efficient_attention_xformers(q)")
        + "\n    def _memory_efficient_attention_xformers(self, q):\n        return q\n"
        + "\n    def __init__(self):\n        self.q = None\n",
        "class XFormersCrossAttnProcessor:\n    pass\n\n\nproc = XFormersCrossAttnProcessor()\n",
        "from .processors import XFormersCrossAttnProcessor\n\nproc = XFormersCrossAttnProcessor()\n",
        f"{FROM}return isinstance(unet, (list, XFormersCrossAttnProcessor))\n",
        f"{FROM}return type(unet) == XFormersCrossAttnProcessor\n",
        f"{FROM}unet: XFormersCrossAttnProcessor = flag\n",
        FROM.replace("unet,", "unet: XFormersCrossAttnProcessor,").replace("):", ") -> XFormersCrossAttnProcessor:")
        + "pass\n",
        f"from typing import Union\n{FROM}return Union[str, XFormersCrossAttnProcessor]\n",
    ],
)
def test_it_is_not(text: str) -> None:
    assert found(text) == []


ASKING = """\
from diffusers.utils.import_utils import is_xformers_available


def main(make, fast):
    unet = make()
    if fast:
        if is_xformers_available():
            unet.enable_xformers_memory_efficient_attention()
        else:
            raise ValueError("install xformers")
"""


def advice(result: FileResult) -> str:
    return next(finding.advice for finding in result.findings if finding.code == "XF411")


def test_the_question_before_it_goes_with_it() -> None:
    assert advice(rewrite_text(ASKING)).startswith("Delete the call, with lines 7 to 10, which ask for xformers first")


def test_a_class_of_the_project_with_code_behind_the_switch_is_named(tmp_path: Path) -> None:
    own = "class Block:\n    def set_use_memory_efficient_attention_xformers(self, on):\n        self.plain = on\n"
    write(tmp_path, {"train.py": ASKING, "block.py": own})
    told = rewrite(tmp_path, "--check", "-v").output
    assert "Classes of this project define that method as well" in told
    assert "SDPA is diffusers' default" not in told


def test_a_class_of_the_project_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(
        tmp_path,
        {
            "pk/__init__.py": "",
            "pk/procs.py": "class XFormersCrossAttnProcessor:\n    pass\n",
            "run.py": "from pk.procs import XFormersCrossAttnProcessor\n\nPROC = XFormersCrossAttnProcessor()\n",
            "other.py": "from diffusers import XFormersCrossAttnProcessor\n\nPROC = XFormersCrossAttnProcessor()\n",
        },
    )
    monkeypatch.chdir(tmp_path)
    report = rewrite(".").output
    assert "other.py:3:8: XF411" in report
    assert "run.py:1:" not in report.partition("Only named:")[0]
    assert report.endswith("xformers can be uninstalled: no, because other.py needs it\n")


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


def test_a_method_that_a_class_of_the_project_hands_down_is_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = (
        "class Base:\n    def __init__(self):\n        self._use_memory_efficient_attention_xformers = True\n\n"
        "    def _memory_efficient_attention_xformers(self, q):\n        return q\n"
    )
    more = (
        "\n\nclass More(Base):\n    def forward(self, q):\n        if self._use_memory_efficient_attention_xformers:\n"
        "            return self._memory_efficient_attention_xformers(q)\n"
    )
    write(tmp_path, {"pk/__init__.py": "", "pk/base.py": base, "pk/more.py": f"from .base import Base\n{more}"})
    write(tmp_path, {"pk/other.py": f"from diffusers import Base\n{more}"})
    monkeypatch.chdir(tmp_path)
    report = rewrite(".").output
    assert "pk/other.py:7:20: XF411" in report
    assert "pk/more.py" not in report.partition("Only named:")[0]


@pytest.mark.parametrize(("held", "kept"), [((0, 12), True), ((0, 13), False), ((0, 14), False), (None, False)])
def test_a_switch_stays_for_a_diffusers_that_is_too_old(held: tuple[int, int] | None, kept: bool) -> None:
    text = (
        "from diffusers import UNet2DConditionModel\n\nunet = UNet2DConditionModel.from_pretrained(path)\n"
        "unet.enable_xformers_memory_efficient_attention()\n"
    )
    result = rewrite_with(text, "model.py", Options(Settings(), diffusers=held))
    assert ("enable_xformers" in result.new) is kept
    told = [(finding.message, finding.advice) for finding in result.findings if finding.code == "XF411"]
    assert len(told) == kept
    for message, advice in told:
        assert "0.12" in message
        assert advice == "Let the project have diffusers 0.13 or newer, and run again."


def test_what_is_to_be_deleted_begins_with_the_outermost_question() -> None:
    text = (
        "def f(net):\n    if net:\n        if is_xformers_available():\n            if is_xformers_available():\n"
        "                net.enable_xformers_memory_efficient_attention()\n"
    )
    result = rewrite_with(text, "model.py", Options(Settings()))
    (advice,) = [finding.advice for finding in result.findings if finding.code == "XF411"]
    assert "with lines 3 to 5, which ask for xformers first" in advice
