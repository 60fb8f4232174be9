"""A guard around a name that no release has becomes its handler; run with xformers and without it, before and after."""

from __future__ import annotations

import importlib
import sys
from functools import partial

import pytest
import torch

from tests.rules.common import Case as AnyCase
from tests.rules.common import by_name, codes_in, examples_hold, holds, rewritten, rule
from xf2sdpa.analysis.api import NEVER_RELEASED

Case = partial(AnyCase, helper=True)  # without a helper, only files with a call are looked into
LOSS = """\
import torch
import torch.nn.functional as F

try:
    from xformers.ops import cross_entropy

    FUSED = True

    def loss(target, scores, temperature):
        return -cross_entropy(scores, target, temperature)

{handler}
MORE = True
"""
PLAIN = """\
    # in plain torch
    def loss(target, scores, temperature):
        return torch.sum(target * F.log_softmax(scores / temperature, dim=-1), dim=-1)

    FUSED = False  # slower
    # that is all"""


OTHER = "from xformers.ops import SparseCSRTensor\n"


def program(handler: str = f"except ImportError:\n{PLAIN}") -> str:
    return LOSS.format(handler=handler)


EMITTED = {
    "as its authors wrote it": Case(
        program(),
        ("finding XF152",),
        "no release of xformers has that name",
        has=("FUSED = False",),
        lacks=("xformers", "try"),
    ),
    "comments stay": Case(program(), has=("# in plain torch\ndef loss", "FUSED = False  # slower\n# that is all\n")),
    "any exception": Case(program(f"except Exception:\n{PLAIN}"), ("finding XF152",), lacks=("xformers",)),
    "whatever": Case(program(f"except:\n{PLAIN}"), ("finding XF152",), lacks=("xformers",)),
    "one of two": Case(program(f"except (OSError, ImportError):\n{PLAIN}"), ("finding XF152",), lacks=("xformers",)),
    "with a message": Case(
        program(f"except ImportError:\n    print('please install xformers')\n{PLAIN}"),
        ("finding XF152",),
        lacks=("xformers",),
    ),
    "in a function": Case(
        "def make():\n    try:\n        from xformers.ops import cross_entropy\n"
        "    except ImportError:\n        return None\n    return cross_entropy\n",
        ("finding XF152",),
        has=("def make():\n    return None\n    return cross_entropy\n",),
    ),
}
LEFT = {
    "only a missing package is caught": Case(program(f"except ModuleNotFoundError:\n{PLAIN}"), same=True),
    "the error is read": Case(program(f"except ImportError as error:\n{PLAIN}\n    print(error)"), same=True),
    "the error goes on": Case(program("except ImportError:\n    raise"), same=True),
    "the error is printed": Case(program(f"except ImportError:\n    traceback.print_exc()\n{PLAIN}"), same=True),
    "another name of xformers": Case(
        program().replace("FUSED = True", "FUSED = SparseCSRTensor").replace("\n\n", f"\n{OTHER}\n", 1),
        has=("import cross_entropy", "FUSED = SparseCSRTensor"),
    ),
    "in an arm that goes": Case(
        "import torch.nn.functional as F\nimport xformers.ops as xops\n\n\ndef attend(q, k, v):\n"
        "    if not hasattr(F, 'scaled_dot_product_attention'):\n"
        "        try:\n            from xformers.ops import cross_entropy\n"
        "        except ImportError:\n            pass\n"
        "        return xops.memory_efficient_attention(q, k, v)\n"
        "    return F.scaled_dot_product_attention(q, k, v)\n",
        ("removed XF218",),
        helper=True,
    ),
    "something before it": Case(program().replace("    from", "    start()\n    from", 1), same=True),
    "in any case": Case(program(f"except ImportError:\n{PLAIN}\nfinally:\n    FUSED = None"), same=True),
    "a name that there is": Case(program().replace("cross_entropy", "SparseCSRTensor"), same=True),
    "another library's": Case(program().replace("xformers.ops", "flash_attn.losses"), same=True),
    "with one that there is": Case(
        program().replace("    FUSED = True", "    from xformers.ops import RMSNorm"), same=True
    ),
    "a comment asks": Case(program().replace("try:", "try:  # xf2sdpa: ignore"), same=True),
    "not guarded": Case(
        "from xformers.ops import cross_entropy\n\n\ndef loss(t, s):\n    return -cross_entropy(s, t, 0.1)\n",
        ("finding XF402",),
        same=True,
    ),
}


@by_name(EMITTED)
def test_the_handler_takes_the_place_of_the_guard(case: AnyCase) -> None:
    holds(case)


@by_name(LEFT)
def test_what_may_do_something_else_is_left(case: AnyCase) -> None:
    holds(case, never=("XF152",))


def test_it_is_told_that_the_import_fails() -> None:
    finding = next(f for f in rewritten(LEFT["not guarded"]).findings if f.code == "XF402")
    assert "always fails" in finding.advice


@pytest.mark.parametrize("there", [True, False])
def test_both_programs_do_the_same(there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not there:
        monkeypatch.setitem(sys.modules, "xformers", None)
        monkeypatch.setitem(sys.modules, "xformers.ops", None)
    given = torch.softmax(torch.randn(3, 5, dtype=torch.float64), -1), torch.randn(3, 5, dtype=torch.float64), 0.1
    results = []
    for text in (program(), rewritten(Case(program())).new):
        scope: dict[str, object] = {}
        exec(compile(text, "<loss>", "exec"), scope)
        assert scope["FUSED"] is False
        results.append(scope["loss"](*given))  # type: ignore[operator]
    assert torch.equal(*results)


@pytest.mark.parametrize("dotted", sorted(NEVER_RELEASED))
def test_this_release_has_none_of_them(dotted: str) -> None:
    pytest.importorskip("xformers")
    module, _, name = dotted.rpartition(".")
    assert not hasattr(importlib.import_module(module), name)


def test_examples() -> None:
    examples_hold("never_released")


def test_every_code_has_a_case() -> None:
    assert set(rule("never_released").codes) <= codes_in(EMITTED)
