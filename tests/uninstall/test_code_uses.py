"""What a Python file needs xformers for, on the careful side, and what it only offers."""

from __future__ import annotations

import pytest

from xf2sdpa.analysis.parsed import parse_once
from xf2sdpa.uninstall.code_uses import choices, imports, needs


@pytest.mark.parametrize(
    "line",
    [
        "import xformers",
        "import torch, xformers.ops as xops",
        "from mslk.attention import fmha",
        "found = importlib.util.find_spec('xformers')",
        "release = metadata.version('xformers')",
        "ops = importlib.import_module('xformers.ops')",
        "pytest.importorskip('xformers')",
        "loaded = sys.modules['xformers']",
        "fast = is_xformers_available()",
        "pipe.enable_xformers_memory_efficient_attention()",
        "vae.set_use_memory_efficient_attention_xformers(True)",
        "out = self._memory_efficient_attention_xformers(q, k, v)",
        "unet.set_attn_processor(XFormersAttnProcessor())",
        "pipe.transformer.set_attention_backend('xformers')",
        "op = torch.ops.xformers_flash.flash_fwd",
    ],
)
def test_it_needs_it(line: str) -> None:
    assert [use.line for use in needs(parse_once(f"import os\nif x:\n    {line}\n"))] == [3]


@pytest.mark.parametrize(
    "line",
    [
        "x = 'xformers'",
        "vae.set_use_memory_efficient_attention_xformers(False)",
        "pipe.disable_xformers_memory_efficient_attention()",
        "pipe.transformer.set_attention_backend('native')",
        "use = args.enable_xformers_memory_efficient_attention",
        "from .xformers import attend",
        "isinstance(p, XFormersAttnProcessor)",
        "parser.add_argument('--xformers')",
    ],
)
def test_it_does_not(line: str) -> None:
    assert not list(needs(parse_once(line)))


def test_choices_are_told() -> None:
    text = (
        "parser.add_argument('--enable_xformers', action='store_true')\nkind: Literal['sdpa', 'xformers'] = 'sdpa'\n"
        "x = 'with xformers it is fast'\nraise ModuleNotFoundError('no', name='xformers')\n"
    )
    assert [use.line for use in choices(parse_once(text))] == [1, 2]
    assert [use.line for use in imports(parse_once("find_spec('xformers')\nimport xformers\n"))] == [2]


def test_who_has_just_rewritten_a_file_is_not_told_to_do_so() -> None:
    file = parse_once("import xformers\n")
    assert "Run `xf2sdpa rewrite`" in next(needs(file)).advice
    assert "by hand" in next(imports(file)).advice
    assert "Run" not in next(imports(file)).advice
