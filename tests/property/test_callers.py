"""Who calls an attention function, and what is passed: generated projects keep their numbers, and planted faults show.

Each project has one function of parameters and its callers, one for each way of calling and each thing to pass. It is
run before the rewrite and after; then the function is given what no caller passed, which must raise or be right.
"""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import oracle
from tests.projects.harness import assert_equal, execute, fresh, installed, rewrite, write
from xf2sdpa.analysis.values import BY_CALLERS, Rank, Tensor
from xf2sdpa.project.arguments import Call
from xf2sdpa.project.callers import Callers

OPS = """\
from xformers.ops import memory_efficient_attention


def attend(query, key, value, mask=None):
    return memory_efficient_attention(query, key, value, attn_bias=mask)
"""
MODEL = """\
import ops
import torch
import torch.nn as nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(24, 72)

    def forward(self, x):
        b, n, c = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, 3, 8).unbind(2)
        merged = [t.transpose(1, 2).reshape(b * 3, n, 8) for t in (q, k, v)]
        first, second, third = merged
        return {result}


def run(q, k, v):
    torch.manual_seed(0)
    return "fast", Net().to(q.dtype)(q.flatten(2) + k.flatten(2) * v.flatten(2))
"""
INNER = """\


def inner(one, two, three, four=None):
    return ops.attend(one, two, three, four)
"""
FOUR, THREE = (
    "ops.attend(q, k, v{}).flatten(2)",
    "ops.attend(first, second, third{}).view(b, 3, n, 8).sum(1).repeat(1, 1, 3)",
)
WHO = {
    "one call": "{}",
    "two calls": "({} + {})",
    "one call up": "{up}",
    "behind a condition": "({} if b > 1 else {})",
}
WHAT = {
    "4-D": (FOUR, ""),
    "3-D": (THREE, ""),
    "4-D with a mask": (FOUR, ", torch.zeros(b, 3, n, n, dtype=x.dtype).tril()"),
    "3-D with a mask": (THREE, ", torch.zeros(b * 3, n, n, dtype=x.dtype).tril()"),
    "4-D with None": (FOUR, ", None"),
    "4-D with a mask that nobody knows": (FOUR, ", {1: torch.zeros(b, 3, n, n, dtype=x.dtype).tril()}[1]"),
    "4-D and 3-D": (f"({FOUR} + {THREE})", ""),
    "4-D with and without a mask": (f"({FOUR} + ops.attend(q, k, v).flatten(2))", ", x.new_zeros(b, 3, n, n).triu()"),
}
CASES = list(itertools.product(WHO, WHAT))


def project(who: str, what: str) -> dict[str, str]:
    call, mask = WHAT[what]
    call = call.replace("{}", mask)
    result = WHO[who].replace("{up}", call.replace("ops.attend(", "inner(")).replace("{}", call)
    up = INNER if "inner(" in result else ""
    return {"ops.py": OPS, "main.py": MODEL.replace("{result}", result) + up}


def complaints(files: dict[str, str], folder: Path) -> Iterator[str]:
    """What is wrong with the rewrite of a project."""
    root = write(folder, files)
    before = execute(root, installed)
    rewrite(root, "--flags", "off")
    after = execute(root, oracle.absent)
    try:
        assert_equal(before, after)
    except AssertionError as error:
        yield str(error)
    with fresh(root, oracle.absent):
        yield from _of_strangers(importlib.import_module("ops").attend)


def _of_strangers(attend: Callable[..., Any]) -> Iterator[str]:
    """What comes from outside has other dimensions, or a mask: it raises, or the numbers are those of attention."""
    x = torch.randn(3, 3, 4, 8, generator=torch.manual_seed(1), dtype=torch.float64)
    cases = [
        (x, None),
        (x[0, :, :3], None),
        (x, x.new_ones(3, 4, 3, 3).tril()),
        (x, x.new_ones(4, 3, 3).tril()),  # would be laid over the heads
        (x[0, :, :3], x.new_ones(3, 3, 3)),
    ]
    for given, mask in cases:
        try:
            found = attend(given, given, given, mask)
        except (NotImplementedError, ValueError, RuntimeError):
            continue
        if mask is not None and mask.ndim < given.ndim:
            yield f"{given.ndim}-D with a mask of {mask.ndim} dimensions: no error"
            continue
        heads = given.transpose(1, 2) if given.ndim == 4 else given.unsqueeze(1)
        bias = mask if mask is None or given.ndim == 4 else mask.unsqueeze(1)
        right = torch.nn.functional.scaled_dot_product_attention(heads, heads, heads, attn_mask=bias)
        right = right.transpose(1, 2) if given.ndim == 4 else right.squeeze(1)
        if not torch.allclose(found, right):
            yield f"{given.ndim}-D with a mask {mask is not None}: other numbers, and no error"


@pytest.mark.parametrize(("who", "what"), CASES, ids=[f"{who}, {what}" for who, what in CASES])
def test_what_is_passed_keeps_its_numbers(who: str, what: str, tmp_path: Path) -> None:
    assert list(complaints(project(who, what), tmp_path)) == []


def _first_only(self: Callers, file: Any, function: Any) -> list[Call]:
    return _CALLS(self, file, function)[:1]


def _of_four(values: list[Any], place: str) -> Tensor | None:
    return Tensor(Rank(4), given=frozenset({f"{BY_CALLERS} {place}"})) if values else None


def _unchecked(*_: object, **__: object) -> bool:
    return True


_CALLS = Callers.calls_of
FAULTS: dict[str, tuple[str, Any, tuple[str, str]]] = {
    "all calls but the first are overlooked": (
        "xf2sdpa.project.callers.Callers.calls_of", _first_only, ("one call", "4-D and 3-D"),
    ),
    "a rank is taken for four": ("xf2sdpa.project.ranks_from_callers._joined", _of_four, ("one call", "3-D")),
    "a mask is taken for none": (
        "xf2sdpa.project.callers.Callers._passes_none", _unchecked, ("one call", "4-D with a mask that nobody knows"),
    ),
    "no check of the rank is written": ("xf2sdpa.rules.rank.check_before", _unchecked, ("one call", "3-D")),
    "the dimensions of a mask are not checked": (
        "xf2sdpa.rules.mask_tensor.check_before", _unchecked, ("one call", "4-D with a mask"),
    ),
    "no check of a mask is written": ("xf2sdpa.rulekit.checks.check_before", _unchecked, ("one call", "4-D with None")),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS.values(), ids=list(FAULTS))
def test_planted_faults_are_found(
    fault: tuple[str, Any, tuple[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, wrong, case = fault
    monkeypatch.setattr(place, wrong)
    try:
        found = list(complaints(project(*case), tmp_path))
    except Exception as error:
        found = [repr(error)]
    assert found


def test_the_callers_are_what_makes_some_inline(tmp_path: Path) -> None:
    """Else the projects above would show nothing: each plain way of calling must let the call be written inline."""
    for number, who in enumerate(WHO):
        root = write(tmp_path / str(number), project(who, "4-D"))
        rewrite(root, "--flags", "off")
        assert "scaled_dot_product_attention(" in (root / "ops.py").read_text("utf-8"), who
