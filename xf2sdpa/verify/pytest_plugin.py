"""The pytest fixture `attention_agrees` for a project's own tests, available where xf2sdpa is installed.

    import torch
    from torch.nn.functional import scaled_dot_product_attention
    from xformers.ops import memory_efficient_attention

    def new(q, k, v):
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        return scaled_dot_product_attention(q, k, v).transpose(1, 2)

    def test_attention(attention_agrees):
        q, k, v = (torch.randn(2, 77, 8, 40, device="cuda", dtype=torch.float16) for _ in range(3))
        attention_agrees(memory_efficient_attention, new, (q, k, v))

torch is imported when a test first calls it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from xf2sdpa.judging.model import Case, Check


@pytest.fixture
def attention_agrees() -> Callable[..., Case]:
    """A function `(old, new, inputs, *, need_xformers=False, **options)` that fails the test if old and new differ.

    `old`, `new`, `inputs` and `options` are those of `xf2sdpa.verify.compare`; the `Case` is returned. The test fails
    with a table of all checks, also if nothing could be compared. With `need_xformers`, the test is skipped if the
    plain reference would be used in xformers' place.
    """
    return _agree


def _agree(
    old: Callable[..., Any],
    new: Callable[..., Any],
    inputs: Sequence[Any] | Mapping[str, Any],
    *,
    need_xformers: bool = False,
    **options: Any,
) -> Case:
    __tracebackhide__ = True
    from xf2sdpa.judging.compare import compare  # noqa: PLC0415 - imports torch
    from xf2sdpa.judging.old_path import find_old_path  # noqa: PLC0415

    path = find_old_path()
    if need_xformers and path.version is None:
        pytest.skip(path.description)
    case = compare(old, new, inputs, **options)
    if case.failed:
        pytest.fail("old and new attention disagree\n" + table(case), pytrace=False)
    if not case.ok:
        pytest.fail("old and new attention could not be compared\n" + table(case), pytrace=False)
    return case


def table(case: Case) -> str:
    """The case as text: its inputs, and a line for each check; errors are in the judge's units."""
    facts = [case.shape, case.dtype, f"mask {case.mask}"]
    if case.autocast:
        facts.append(f"autocast to {case.autocast}")
    width = max((len(check.name) for check in case.checks), default=0)
    lines = [", ".join(facts), f"{'':{width}}  {'':6}  {'old error':>9}  {'new error':>9}  {'allowed':>9}"]
    lines += [f"{check.name:{width}}  {_verdict(check):6}  {_figures(check)}  {check.message}" for check in case.checks]
    return "\n".join(line.rstrip() for line in [*lines, *(f"note: {note}" for note in case.notes)])


def _verdict(check: Check) -> str:
    if not check.available:
        return "-"
    return "ok" if check.ok else "FAILS"


def _figures(check: Check) -> str:
    figures = (check.old_error, check.new_error, check.limit)
    return "  ".join(f"{'' if figure is None else format(figure, '.2g'):>9}" for figure in figures)
