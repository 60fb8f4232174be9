"""The float64 judge: answers calls of xformers' operator with the exact result.

The old expression is run with the judge in xformers' place, so that the code around the call processes the exact result
as it processed xformers'. `solution` says how the result is computed, and how large a correct kernel's error may be.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from xf2sdpa.judging.calls import Call
from xf2sdpa.judging.solution import Solution, sampled_solution, solve_backward, solve_forward, tensor_of

MOST_COPIES = 256
"""How many heads may share a key: bfloat16 and every other dtype represents counts up to this exactly."""


class Judge:
    """Answers calls of the operator in float64: `value` with the exact result, then `unit`, `ones`, `noise`.

    Run the old expression, forward and backward, first with `value`, then with another of these methods. The code
    around the call (views, transposes, casts) then moves the units as it moves the result; where it combines elements
    (a projection, a sum), `noise` shows how large the errors become.
    `ones` shows which of the two is the case: see `only_moves`.
    `rounds`: give results in the query's dtype, for an expression that fails with float64.
    """

    def __init__(self, seed: int, *, rounds: bool = False) -> None:
        self.seed = seed
        self.rounds = rounds
        self.solutions: list[Solution] = []
        self._turn = 0

    def value(self, call: Call) -> Any:
        """The exact result, differentiable where xformers' is."""
        solution = sampled_solution(call, self.seed + len(self.solutions))
        self.solutions.append(solution)
        with torch.no_grad(), torch.autocast(call.query.device.type, enabled=False):
            solve_forward(solution)
        return self._answer(call, solution, solution.exact)

    def again(self) -> Judge:
        """This judge, started again at the first call: needed before each further run of the old expression."""
        self._turn = 0
        return self

    def unit(self, call: Call) -> Any:
        """The units of the result, and in the backward pass those of the gradients."""
        solution = self._next()
        return self._answer(call, solution, solution.unit)

    def unit_of(self, call: Call, role: str) -> Any:
        """The units of the result, and in the backward pass those of the gradient of `role`, 0 for the others."""
        solution = self._next()
        kept = {"out", "lse", role}
        which = {name: x if name in kept else torch.zeros_like(x) for name, x in solution.unit.items()}
        return self._answer(call, solution, which)

    def ones(self, call: Call) -> Any:
        """1 everywhere, in the backward pass too."""
        solution = self._next()
        return self._answer(call, solution, {name: torch.ones_like(x) for name, x in solution.unit.items()})

    def noise(self, call: Call) -> Any:
        """The exact result and gradients with random errors of one unit times eps."""
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
    """Whether `image`, the result with `Judge.ones`, shows that elements were only moved, copied or scaled alike.

    Sums of copies (a gradient over heads that share a key) count as well. The result with `Judge.unit` then gives
    the units.
    """
    if not image.numel():
        return True
    image = image.double()  # bool has no rounding on a GPU
    least, most = (float(x) for x in image.aminmax())
    counts = most <= MOST_COPIES and bool((image == image.round()).all())
    return least > 0 and (counts or least == most)


class _Solved(torch.autograd.Function):
    """Returns the values of a solution; backward solves for the gradients, once it has the upstream gradient."""

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
