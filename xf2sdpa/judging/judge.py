"""The float64 judge: it answers calls of xformers' operator with what they come to exactly.

The old expression is run with the judge in xformers' place, so that whatever surrounds the call happens to the exact
result as it did to xformers'. What is exact, and by how much an honest kernel may miss it: `solution`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from xf2sdpa.judging.calls import Call
from xf2sdpa.judging.solution import Solution, sampled_solution, solve_backward, solve_forward, tensor_of

MOST_COPIES = 256
"""How many heads may share a key: counts up to this are exact in every dtype."""


class Judge:
    """Answers calls of the operator in float64: `value` with the exact result, then `unit`, `ones`, `noise`.

    Run the old expression with the first, and its backward pass; then with another, and its backward pass. What the
    expression does around the call (views, transposes, casts) then happens to the units as it does to the result;
    where it mixes elements (a projection, a sum), `noise` shows what becomes of errors.
    `ones` shows which of the two it is: see `only_moves`.
    `rounds`: give results in the query's dtype, for an expression that cannot go on with float64.
    """

    def __init__(self, seed: int, *, rounds: bool = False) -> None:
        self.seed = seed
        self.rounds = rounds
        self.solutions: list[Solution] = []
        self._turn = 0

    def value(self, call: Call) -> Any:
        """The exact result, differentiable as xformers' is."""
        solution = sampled_solution(call, self.seed + len(self.solutions))
        self.solutions.append(solution)
        with torch.no_grad(), torch.autocast(call.query.device.type, enabled=False):
            solve_forward(solution)
        return self._answer(call, solution, solution.exact)

    def again(self) -> Judge:
        """The same, at its first call once more: before another run of the old expression."""
        self._turn = 0
        return self

    def unit(self, call: Call) -> Any:
        """The units of the result, and in the backward pass those of the gradients."""
        solution = self._next()
        return self._answer(call, solution, solution.unit)

    def unit_of(self, call: Call, role: str) -> Any:
        """The units of the result, and in the backward pass those of one gradient, 0 for the others."""
        solution = self._next()
        kept = {"out", "lse", role}
        which = {name: x if name in kept else torch.zeros_like(x) for name, x in solution.unit.items()}
        return self._answer(call, solution, which)

    def ones(self, call: Call) -> Any:
        """1 everywhere, in the backward pass too."""
        solution = self._next()
        return self._answer(call, solution, {name: torch.ones_like(x) for name, x in solution.unit.items()})

    def noise(self, call: Call) -> Any:
        """The exact result with the errors of a poor kernel, and such gradients."""
        solution = self._next()
        generator = torch.Generator(call.query.device).manual_seed(self.seed)
        eps = torch.finfo(call.query.dtype).eps
        noisy = {}
        for name, exact in solution.exact.items():
            drawn = torch.randn(exact.shape, generator=generator, device=exact.device, dtype=exact.dtype)
            noisy[name] = exact + eps * solution.unit[name] * drawn
        return self._answer(call, solution, noisy)

    def _next(self) -> Solution:
        self._turn += 1
        return self.solutions[self._turn - 1]

    def _answer(self, call: Call, solution: Solution, which: dict[str, Tensor]) -> Any:
        dtype = call.query.dtype if self.rounds else torch.float64
        bias = tensor_of(call.attn_bias)
        if call.trains:
            out = _Solved.apply(solution, which, dtype, call.query, call.key, call.value, bias)  # type: ignore[no-untyped-call]
        else:
            out = which["out"].to(dtype)
        return (out, which["lse"].clone()) if call.gives_lse else out


def only_moves(image: Tensor) -> bool:
    """Whether what became of `Judge.ones` shows that elements were only moved, copied, added, or scaled by one number.

    The units are then what became of `Judge.unit`.
    """
    if not image.numel():
        return True
    least, most = (float(x) for x in image.double().aminmax())
    counts = most <= MOST_COPIES and bool((image == image.round()).all())
    return least > 0 and (counts or least == most)


class _Solved(torch.autograd.Function):
    """Hands out what a solution holds, and lets the upstream gradient in."""

    @staticmethod
    def forward(  # type: ignore[no-untyped-def]
        ctx,
        solution: Solution,
        which: dict[str, Tensor],
        dtype: torch.dtype,
        *inputs: Tensor | None,  # noqa: ARG004
    ) -> Tensor:
        ctx.solution, ctx.which = solution, which
        return which["out"].to(dtype, copy=True)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, upstream: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[no-untyped-def]
        solution, which = ctx.solution, ctx.which
        if "query" not in which:
            with torch.autocast(upstream.device.type, enabled=False):
                solve_backward(solution, upstream)
        wanted = zip(("query", "key", "value", "bias"), ctx.needs_input_grad[3:], strict=True)
        return None, None, None, *(which[name].clone() if needed else None for name, needed in wanted)
