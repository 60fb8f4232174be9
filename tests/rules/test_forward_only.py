"""The variant that only runs forward: the same numbers, and no graph behind them."""

from __future__ import annotations

import torch

from tests.oracle import memory_efficient_attention_forward
from tests.rules.common import Case, attend, by_name, examples_hold, holds, rule
from xf2sdpa.rewrite.engine import rewrite_text

CALL = "xops.memory_efficient_attention_forward(q, k, v{})"
EMITTED = {
    "returned": Case(attend(CALL.format("")), ("assumed XF101",), has=(".transpose(1, 2).contiguous().detach()",)),
    "reshaped": Case(attend(CALL.format("") + ".flatten(2)"), has=(".transpose(1, 2).detach().flatten(2)",)),
    "turned back": Case(attend(CALL.format("") + ".transpose(1, 2)"), has=(").detach()\n",), lacks=("contiguous",)),
    "three dimensions": Case(
        attend(CALL.format("")).replace("b, n, h, d", "b, n, d"), has=(".squeeze(1).contiguous().detach()",)
    ),
    "dropout and scale": Case(attend(CALL.format(", None, drop, c")), has=("dropout_p=drop, scale=c", ".detach()")),
}
NEAR_MISSES = {
    "the plain one": Case(attend(CALL.format("").replace("_forward", "")), ("assumed XF101",), lacks=("detach",)),
    "a mask": Case(attend(CALL.format(", bias")), ("left XF208",), lacks=("detach",)),
}


@by_name(EMITTED)
def test_the_result_is_detached(case: Case) -> None:
    holds(case)


@by_name(NEAR_MISSES)
def test_others_are_not(case: Case) -> None:
    holds(case)


def test_it_computes_the_same_and_leaves_no_graph() -> None:
    text = rewrite_text(attend(CALL.format(""))).new
    space: dict[str, object] = {}
    exec(text, space)
    q, k, v = (torch.randn(2, 5, 3, 8, dtype=torch.float64, requires_grad=True) for _ in range(3))
    new = space["attend"](q, k, v, None, None, None)  # type: ignore[operator]
    assert not new.requires_grad
    torch.testing.assert_close(new, memory_efficient_attention_forward(q, k, v))


def test_it_has_no_code_of_its_own() -> None:
    assert not rule("forward_only").codes


def test_the_examples_hold() -> None:
    examples_hold("forward_only")
