"""What reaches xformers by a way that cannot be followed is named."""

from __future__ import annotations

from tests.rules.common import Case, attend, by_name, codes_in, examples_hold, holds, mea, rule

CALL = attend(mea())
EMITTED = {
    "an operator": Case(
        CALL + "\n\nKEEP = torch.ops.xformers_flash.flash_fwd.default\n",
        ("finding XF404",),
        "torch.ops.xformers_flash.flash_fwd is gone once",
    ),
    "of its successor": Case(CALL + "\n\nKEEP = torch.ops.mslk.f\n", ("finding XF404",)),
    "a string": Case(
        CALL + "\n\nm = importlib.import_module('xformers.ops')\n",
        ("finding XF405",),
        "xformers.ops is imported by a string",
    ),
    "a string for the builtin": Case(CALL + "\n\nm = __import__('xformers')\n", ("finding XF405",)),
    "a module kept on an object": Case(
        "def f(self, q):\n    return self.xops.memory_efficient_attention(q, q, q)\n",
        ("finding XF406",),
        "self.xops may be xformers' module",
        same=True,
    ),
    "a star of another file": Case(
        "from .ops import *\n\ny = memory_efficient_attention(q, k, v)\n",
        ("finding XF406",),
        "only a star import can bring it",
        same=True,
    ),
}
NEAR_MISSES = {
    "torch's own operators": Case(CALL + "\n\nKEEP = torch.ops.aten.mm.default\n"),
    "another module by a string": Case(CALL + "\n\nm = importlib.import_module('numba')\n"),
    "a variable": Case(CALL + "\n\nm = importlib.import_module(xformers)\n"),
    "no argument": Case(CALL + "\n\nm = importlib.import_module()\n"),
    "another function": Case(CALL + "\n\nm = load('xformers')\n"),
    "what a call gives": Case("y = ops().memory_efficient_attention(q, k, v)\n", same=True),
    "a function of the file": Case(
        "from .ops import *\n\n\ndef memory_efficient_attention(q):\n    return q\n\n\nmemory_efficient_attention(q)\n",
        same=True,
    ),
    "no star": Case("y = memory_efficient_attention(q, k, v)\n", same=True),
    "the helper's star": Case("from _attention_compat import *\n\nmemory_efficient_attention(q, k, v)\n", same=True),
    "xformers' own module": Case(CALL, ("assumed XF101",)),
    "in an arm that goes": Case(
        "import importlib\nimport torch.nn.functional as F\nimport xformers.ops as xops\n\n\ndef attend(q, k, v):\n"
        "    if not hasattr(F, 'scaled_dot_product_attention'):\n        importlib.import_module('xformers')\n"
        "        return xops.memory_efficient_attention(q, k, v)\n"
        "    return F.scaled_dot_product_attention(q, k, v)\n",
        ("removed XF218",),
        helper=True,
    ),
    "no text": Case(CALL + "\n\nm = importlib.import_module(1)\n"),
    "another name of a star": Case("from .ops import *\n\nattend(q)  # memory_efficient_attention\n", same=True),
    "xformers' own star": Case(
        "from xformers.ops import *\n\nmemory_efficient_attention(q, k, v)\n", ("left XF201",), same=True
    ),
}


@by_name(EMITTED)
def test_it_is_told(case: Case) -> None:
    holds(case)


@by_name(NEAR_MISSES)
def test_a_near_miss_goes_elsewhere(case: Case) -> None:
    holds(case, never=tuple(rule("unfollowed").codes))


def test_every_code_is_told_somewhere() -> None:
    assert set(rule("unfollowed").codes) <= codes_in(EMITTED)


def test_the_examples_hold() -> None:
    examples_hold("unfollowed")
