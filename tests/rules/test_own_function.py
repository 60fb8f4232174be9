"""The project's own function takes over only where it is one of the operator's kind, and all calls fit it."""

from __future__ import annotations

import pytest

from xf2sdpa.model import FileResult, SiteClass
from xf2sdpa.rewrite.engine import rewrite_text

TEXT = """\
import torch.nn.functional as F

try:
    from xformers.ops import memory_efficient_attention
except ImportError:
    # ours
    def memory_efficient_attention(q, k, v, attn_bias=None, p=0.0):
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        return F.scaled_dot_product_attention(q, k, v, attn_mask=attn_bias).transpose(1, 2)


def attend(q, k, v, mask):
    return memory_efficient_attention(q, k, v)
"""
CALL = "    return memory_efficient_attention(q, k, v)\n"
HEAD = "    # ours\n"


def rewritten(old: str = "", new: str = "", text: str = TEXT) -> FileResult:
    assert old in text
    result = rewrite_text(text.replace(old, new, 1) if old else text, compat="_attention_compat")
    assert not result.failed
    return result


def test_it_takes_over() -> None:
    result = rewritten()
    assert result.new == TEXT.replace(TEXT[TEXT.index("\ntry") : TEXT.index("    # ours")], "\n\n").replace(
        TEXT[TEXT.index("    # ours") : TEXT.index("\n\ndef attend")],
        "# ours\ndef memory_efficient_attention(q, k, v, attn_bias=None, p=0.0):\n"
        "    q, k, v = (x.transpose(1, 2) for x in (q, k, v))\n"
        "    return F.scaled_dot_product_attention(q, k, v, attn_mask=attn_bias).transpose(1, 2)\n",
    )
    assert [(site.kind, site.code) for site in result.sites] == [(SiteClass.ASSUMED, "XF163")]
    assert not rewrite_text(result.new, compat="_attention_compat").changed


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (CALL, CALL.replace("v)", "v, attn_bias=mask)")),
        (CALL, CALL.replace("v)", "v, mask)")),
        (HEAD, "    print('no xformers: slow')\n"),
        (HEAD, "    import torch\n\n"),
        ("except ImportError", "except Exception"),
    ],
)
def test_forms_of_it(old: str, new: str) -> None:
    assert [site.code for site in rewritten(old, new).sites] == ["XF163"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (CALL, CALL.replace("v)", "v, p=0.1)")),
        (CALL, CALL.replace("v)", "v, scale=2)")),
        (CALL, CALL.replace("(q, k, v)", "(*q)")),
        (CALL, CALL.replace("(q, k, v)", "(q, k, v) + map(memory_efficient_attention, q)")),
        (CALL, CALL.replace("v)", "v, mask, 0.1)")),
        ("attn_bias=None, p=0.0", "p=0.0, attn_bias=None"),
        ("k, v, attn_bias=None", "k, v, how, attn_bias=None"),
        ("F.scaled_dot_product_attention(q, k, v, attn_mask=attn_bias)", "(q @ k @ v + attn_bias)"),
        (HEAD, "    @cache\n"),
        (HEAD, "    OURS = True\n"),
        ("memory_efficient_attention\nexcept", "memory_efficient_attention, unbind\nexcept"),
    ],
)
def test_otherwise_the_helper_does(old: str, new: str) -> None:
    text = TEXT if "p=0.0, attn" not in new else TEXT.replace(CALL, CALL.replace("v)", "v, mask)"))
    assert "XF163" not in [site.code for site in rewritten(old, new, text).sites]


def test_what_is_one_with_the_line_above_is_not_taken_apart() -> None:
    text = "try:\n    from xformers.ops import memory_efficient_attention\nexcept ImportError: from own import "
    text += "memory_efficient_attention\n\n\ndef attend(q, k, v):\n" + CALL
    assert "XF163" not in [site.code for site in rewritten(text=text).sites]
