"""Switches to xformers that stay: of objects that are not diffusers', with effects, and where a comment asks."""

from __future__ import annotations

import pytest

from tests.rules.test_removed_switches import program
from xf2sdpa.model import FindingKind
from xf2sdpa.rewrite.engine import rewrite_text

STAYING = {
    "an object of unknown make": "args.model.enable_xformers_memory_efficient_attention()",
    "a parameter": "accelerator.enable_xformers_memory_efficient_attention()",
    "an effect beside it": "if args.count():\n    args.model.enable_xformers_memory_efficient_attention()",
    "a request": "if args.get('http://a'):\n    args.model.enable_xformers_memory_efficient_attention()",
    "a return": "if args.fast:\n    args.model.enable_xformers_memory_efficient_attention()\n    return",
    "an argument that does something": "unet.enable_xformers_memory_efficient_attention(attention_op=args.op())",
    "a result that is read": "x = unet.enable_xformers_memory_efficient_attention()",
    "another object after all": "unet = args.make()\nunet.enable_xformers_memory_efficient_attention()",
}


@pytest.mark.parametrize("body", STAYING.values(), ids=STAYING)
def test_it_stays_and_is_named(body: str) -> None:
    result = rewrite_text(program(body), compat="_attention_compat")
    assert "enable_xformers_memory_efficient_attention" in result.new
    assert "XF411" in {finding.code for finding in result.findings if finding.kind is FindingKind.KEEPS}


SWITCH = "unet.enable_xformers_memory_efficient_attention()"


@pytest.mark.parametrize(
    "body",
    [
        f"if args.slow:  # xf2sdpa: ignore[XF180]\n        {SWITCH}\n    else:\n        args.x = 1",
        f"if args.slow:\n        args.x = 1\n    elif args.fast:  # xf2sdpa: ignore[XF180]\n        {SWITCH}",
    ],
)
def test_a_comment_keeps_it(body: str) -> None:
    text = program(body.replace("\n    ", "\n"))
    assert rewrite_text(text, compat="_attention_compat").new == text


def test_what_switches_off_stays_and_needs_nothing() -> None:
    body = "pipe.vae.set_use_memory_efficient_attention_xformers(False)"
    result = rewrite_text(program(body), compat="_attention_compat")
    assert body in result.new
    assert not [finding for finding in result.findings if finding.needs_xformers]


def test_a_switch_of_the_projects_own_keeps_what_it_does() -> None:
    text = program("unet.enable_xformers_memory_efficient_attention()").replace("def main(", "def use_xformers(")
    result = rewrite_text(text, compat="_attention_compat")
    assert result.new == text
    assert [finding.code for finding in result.findings] == ["XF411"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (f"if args.fast:\n    args.count()\n    {SWITCH}", "if args.fast:\n        args.count()\n"),
        (f"if args.pop('fast'):\n    {SWITCH}", "if args.pop('fast'):\n        pass\n"),
        (f"if (n := args.fast):\n    {SWITCH}", "if (n := args.fast):\n        pass\n"),
        (f"if args.get('fast', default=1):\n    {SWITCH}", "if args.get('fast', default=1):\n        pass\n"),
        (f"if args.get(1):\n    {SWITCH}", "if args.get(1):\n        pass\n"),
        (
            f"if args.fast:\n    from mine import is_xformers_available\n\n    {SWITCH}",
            "if args.fast:\n        from mine import is_xformers_available\n",
        ),
        (
            f"if args.fast:\n    from diffusers import models\n\n    {SWITCH}",
            "if args.fast:\n        from diffusers import models\n",
        ),
    ],
)
def test_what_is_done_beside_it_stays(before: str, after: str) -> None:
    result = rewrite_text(program(before), compat="_attention_compat")
    assert f"    {after}    return" in result.new


def test_an_ignored_one_stays() -> None:
    body = "unet.enable_xformers_memory_efficient_attention()  # xf2sdpa: ignore"
    result = rewrite_text(program(body), compat="_attention_compat")
    assert body in result.new


@pytest.mark.parametrize(
    "test", ["args.fast", "args.get('fast')", "args.get('fast', True)", "importlib.util.find_spec('xformers')"]
)
def test_a_condition_that_only_tells_goes_with_it(test: str) -> None:
    text = "import importlib.util\n" + program(f"if {test}:\n    {SWITCH}")
    assert "    if " not in rewrite_text(text, compat="_attention_compat").new
