"""Processors that call xformers become those that call SDPA, with their imports and the questions that chose them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.projects.harness import rewrite, write
from tests.rules.common import examples_hold
from xf2sdpa.rewrite.engine import rewrite_text, rewrite_with
from xf2sdpa.rewrite.options import Options
from xf2sdpa.settings import Settings

FROM = "from diffusers.models.attention_processor import {}\n\n\n"
ASKS = "from diffusers.utils import is_xformers_available\n"


def test_a_comment_keeps_it() -> None:
    text = FROM.format("XFormersAttnProcessor") + "proc = XFormersAttnProcessor()  # xf2sdpa: ignore[XF181]\n"
    assert rewrite_text(text, compat="_attention_compat").new == text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            FROM.format("XFormersAttnProcessor") + "proc = XFormersAttnProcessor()\n",
            FROM.format("AttnProcessor2_0") + "proc = AttnProcessor2_0()\n",
        ),
        (
            FROM.format("AttnProcessor2_0, XFormersAttnProcessor") + "kind = XFormersAttnProcessor\n",
            FROM.format("AttnProcessor2_0") + "kind = AttnProcessor2_0\n",
        ),
        (
            FROM.format("LoRAXFormersAttnProcessor as L") + "proc = L(3, rank=4, attention_op=None)\n",
            FROM.format("LoRAAttnProcessor2_0") + "proc = LoRAAttnProcessor2_0(3, rank=4)\n",
        ),
        (
            ASKS + FROM.format("AttnProcessor, XFormersAttnProcessor")
            + "proc = XFormersAttnProcessor() if is_xformers_available() else AttnProcessor()\n",
            FROM.format("AttnProcessor2_0") + "proc = AttnProcessor2_0()\n",
        ),
        (
            ASKS + FROM.format("AttnProcessor, AttnProcessor2_0, XFormersAttnProcessor")
            + "def f(new):\n    if new:\n        return AttnProcessor2_0()\n    elif is_xformers_available():\n"
            "        return XFormersAttnProcessor()\n    else:\n        return AttnProcessor()\n",
            FROM.format("AttnProcessor2_0") + "def f(new):\n    return AttnProcessor2_0()\n",
        ),
        (
            ASKS + FROM.format("AttnProcessor2_0, XFormersAttnProcessor")
            + "kind = AttnProcessor2_0\nif is_xformers_available():\n    kind = XFormersAttnProcessor\n",
            FROM.format("AttnProcessor2_0") + "kind = AttnProcessor2_0\n",
        ),
        (
            ASKS + FROM.format("AttnProcessor, AttnProcessor2_0, XFormersAttnProcessor")
            + "kind = AttnProcessor\nif is_xformers_available():\n    kind = XFormersAttnProcessor\n",
            FROM.format("AttnProcessor, AttnProcessor2_0") + "kind = AttnProcessor\nkind = AttnProcessor2_0\n",
        ),
        (
            ASKS + FROM.format("AttnProcessor2_0, XFormersAttnProcessor")
            + "def f(new):\n    if new():\n        return AttnProcessor2_0()\n    elif is_xformers_available():\n"
            "        return XFormersAttnProcessor()\n",
            FROM.format("AttnProcessor2_0")
            + "def f(new):\n    if new():\n        return AttnProcessor2_0()\n    else:\n"
            "        return AttnProcessor2_0()\n",
        ),
        (
            ASKS + FROM.format("AttnProcessor2_0, XFormersAttnProcessor")
            + "kind = AttnProcessor2_0(hidden=3)\nif is_xformers_available():\n"
            "    kind = XFormersAttnProcessor(hidden=3, attention_op=None)\n",
            FROM.format("AttnProcessor2_0") + "kind = AttnProcessor2_0(hidden=3)\n",
        ),
        (
            ASKS + FROM.format("AttnProcessor2_0, XFormersAttnProcessor")
            + "kind = f(AttnProcessor2_0)\nif is_xformers_available():\n    kind = f(XFormersAttnProcessor)\n",
            FROM.format("AttnProcessor2_0") + "kind = f(AttnProcessor2_0)\n",
        ),
        (
            "from diffusers import UNet2DConditionModel\n" + FROM.format("XFormersAttnProcessor")
            + "unet = UNet2DConditionModel.from_pretrained(path)\n"
            "unet.enable_xformers_memory_efficient_attention(attention_op=XFormersAttnProcessor)\n"
            "proc = XFormersAttnProcessor()\n",
            "from diffusers import UNet2DConditionModel\n" + FROM.format("AttnProcessor2_0")
            + "unet = UNet2DConditionModel.from_pretrained(path)\nproc = AttnProcessor2_0()\n",
        ),
    ],
)  # fmt: skip
def test_it_is_exchanged(before: str, after: str) -> None:
    result = rewrite_text(before, compat="_attention_compat")
    assert not result.failed, result.findings
    assert not [finding for finding in result.findings if finding.needs_xformers], result.findings
    assert result.new == after


@pytest.mark.parametrize(
    "text",
    [
        FROM.format("XFormersAttnProcessor") + "def f(p):\n    return isinstance(p, (list, XFormersAttnProcessor))\n",
        FROM.format("XFormersAttnProcessor") + "def f(op):\n    return XFormersAttnProcessor(attention_op=op())\n",
        FROM.format("XFormersAttnProcessor") + "class Mine(XFormersAttnProcessor):\n    pass\n",
        "from .processors import XFormersAttnProcessor\n\nproc = XFormersAttnProcessor()\n",
        "from mine import XFormersAttnProcessor\n\nproc = XFormersAttnProcessor()\n",
        FROM.format("XFormersAttnProcessor") + "proc = XFormersAttnProcessor()\nother = AttnProcessor2_0\n",
    ],
)
def test_it_stays(text: str) -> None:
    assert rewrite_text(text, compat="_attention_compat").new == text


def test_what_is_compared_keeps_its_import() -> None:
    text = FROM.format("XFormersAttnProcessor") + (
        "def f(unet):\n    unet.set_attn_processor(XFormersAttnProcessor())\n"
        "    return isinstance(unet.p, XFormersAttnProcessor)\n"
    )
    new = rewrite_text(text, compat="_attention_compat").new
    assert "import XFormersAttnProcessor\n" in new
    assert "set_attn_processor(AttnProcessor2_0())" in new


def test_a_question_beside_it_in_one_condition_stays() -> None:
    text = ASKS + FROM.format("XFormersAttnProcessor")
    text += "if is_xformers_available() and f(XFormersAttnProcessor):\n    g()\n"
    new = rewrite_text(text, compat="_attention_compat").new
    assert new.endswith("if is_xformers_available() and f(AttnProcessor2_0):\n    g()\n")


@pytest.mark.parametrize(("release", "keeps"), [("0.16.1", True), ("0.17.0", False)])
def test_a_release_without_them_keeps_all(tmp_path: Path, release: str, keeps: bool) -> None:
    text = FROM.format("XFormersAttnProcessor") + "proc = XFormersAttnProcessor()\n"
    write(tmp_path, {"run.py": text, "requirements.txt": f"diffusers=={release}\n"})
    rewrite(tmp_path)
    assert ((tmp_path / "run.py").read_text() == text) is keeps


def test_one_that_goes_with_a_switch_is_not_told_besides() -> None:
    text = (
        "from diffusers import UNet2DConditionModel\n"
        + FROM.format("XFormersAttnProcessor")
        + (
            "unet = UNet2DConditionModel.from_pretrained(path)\n"
            "unet.enable_xformers_memory_efficient_attention(attention_op=XFormersAttnProcessor)\n"
            "proc = XFormersAttnProcessor()\n"
        )
    )
    findings = rewrite_text(text, compat="_attention_compat").findings
    assert [finding.span.line for finding in findings if finding.code == "XF181"] == [2, 7]


def test_the_library_itself_keeps_all() -> None:
    text = FROM.format("XFormersAttnProcessor") + "proc = XFormersAttnProcessor()\n"
    options = Options(Settings(), compat="_attention_compat", own_library=True)
    assert rewrite_with(text, "model.py", options).new == text


@pytest.mark.parametrize("line", ["    elif is_xformers_available():", "        return XFormersAttnProcessor()"])
def test_a_comment_keeps_both_arms(line: str) -> None:
    text = (
        ASKS
        + FROM.format("AttnProcessor2_0, XFormersAttnProcessor")
        + (
            "def f(new):\n    if new:\n        return AttnProcessor2_0()\n    elif is_xformers_available():\n"
            "        return XFormersAttnProcessor()\n"
        )
    )
    commented = text.replace(line, f"{line}  # xf2sdpa: ignore")
    assert rewrite_text(commented, compat="_attention_compat").new == commented


def test_a_slower_one_that_a_package_took_itself_goes() -> None:
    text = ASKS + FROM.format("AttnProcessor, XFormersAttnProcessor")
    text += "proc = XFormersAttnProcessor() if is_xformers_available() else AttnProcessor()\n"
    new = rewrite_text(text, "pkg/__init__.py", compat="_attention_compat").new
    assert new == FROM.format("AttnProcessor2_0") + "proc = AttnProcessor2_0()\n"


def test_its_example() -> None:
    examples_hold("sdpa_processors")


@pytest.mark.parametrize("arguments", ["op", "op, attention_op=None"])
def test_what_is_given_by_its_place_is_a_kernel_of_xformers(arguments: str) -> None:
    """SDPA's processor takes no argument there, so nothing is exchanged."""
    text = FROM.format("XFormersAttnProcessor") + f"proc = XFormersAttnProcessor({arguments})\n"
    assert rewrite_text(text, compat="_attention_compat").new == text


def test_a_class_that_is_listed_in_all_stays_imported() -> None:
    text = (
        FROM.format("XFormersAttnProcessor") + "__all__ = ['XFormersAttnProcessor']\nproc = XFormersAttnProcessor()\n"
    )
    new = rewrite_text(text, compat="_attention_compat").new
    assert "proc = AttnProcessor2_0()\n" in new
    assert "XFormersAttnProcessor" in new.partition("__all__")[0]
