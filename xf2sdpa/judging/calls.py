"""A call of xformers' operator as plain data; it can be answered by xformers, a pinned kernel or the judge."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from xf2sdpa.judging.probe import Operator

NAMES = ("query", "key", "value", "attn_bias", "p", "scale")
"""The positional parameters of every variant of the operator, in order (xformers 0.0.34, ops/fmha/__init__.py)."""

PLAIN = "memory_efficient_attention"
FORWARD = "memory_efficient_attention_forward"
WITH_LSE = "memory_efficient_attention_forward_requires_grad"
PARTIAL = "memory_efficient_attention_partial"
VARIANTS = (PLAIN, FORWARD, WITH_LSE, PARTIAL)


@dataclass(frozen=True)
class Call:
    """The arguments of one call of the operator. `variant` is one of `VARIANTS`.

    query `[B, M, H, K]`, key `[B, N, H, K]`, value `[B, N, H, Kv]`; 3-D without H; or 5-D with `G, H` in place of H.
    """

    variant: str
    query: Tensor
    key: Tensor
    value: Tensor
    attn_bias: Any = None
    p: float = 0.0
    scale: float | None = None
    op: Any = None
    output_dtype: torch.dtype | None = None

    @classmethod
    def of(cls, variant: str, *args: Any, **kwargs: Any) -> Call:
        """Bind arguments to parameters as the operator would. Raises TypeError where the operator would."""
        return cls(variant, **dict(zip(NAMES, args[: len(NAMES)], strict=False)), **kwargs)

    @property
    def gives_lse(self) -> bool:
        """Whether the result is a pair (out, lse)."""
        return self.variant in {WITH_LSE, PARTIAL}

    @property
    def trains(self) -> bool:
        """Whether xformers builds an autograd graph, which it does not if only the bias requires a gradient."""
        return self.variant == PLAIN and any(x.requires_grad for x in (self.query, self.key, self.value))

    @property
    def result_shape(self) -> tuple[int, ...]:
        """Shape of out."""
        return (*self.query.shape[:-1], self.value.shape[-1])

    def answered_by(self, operator: Operator, **changes: Any) -> Any:
        """What an operator with xformers' signature returns for this call, with `changes` to its arguments.

        `op` and `output_dtype` are passed on only where they are given, as old versions do not have them.
        """
        call = replace(self, **changes)
        rest = {name: getattr(call, name) for name in ("op", "output_dtype") if getattr(call, name) is not None}
        return operator(*(getattr(call, name) for name in NAMES), **rest)


Attend = Callable[[Call], Any]


def variant_of(operator: Operator) -> str:
    """Which variant an operator is, by its name; the plain one if that says nothing."""
    name = getattr(operator, "__name__", "")
    return name if name in VARIANTS else PLAIN


def operator_of(variant: str, attend: Attend) -> Operator:
    """An operator with xformers' signature whose calls are answered by `attend`."""

    def operator(*args: Any, **kwargs: Any) -> Any:
        return attend(Call.of(variant, *args, **kwargs))

    operator.__name__ = variant
    return operator


INNER = {
    "_memory_efficient_attention": PLAIN,
    "_memory_efficient_attention_forward": FORWARD,
    (INNER_WITH_LSE := "_memory_efficient_attention_forward_requires_grad"): WITH_LSE,
}
"""The functions that `fmha`'s public ones call with `Inputs` and `op`, in xformers 0.0.16 to 0.0.35 and in mslk."""

_HOMES = ("xformers.ops.fmha", "mslk.attention.fmha")


@contextlib.contextmanager
def intercepted(attend: Callable[[Call, Operator], Any]) -> Iterator[None]:
    """Within this context, every call of xformers' operators is answered by `attend(call, original)`.

    It replaces the functions that the public ones call inside `xformers.ops.fmha`, because the caller may already hold
    references to the public ones. `original` is the variant's own implementation, with xformers' signature. Does
    nothing if xformers is not imported.
    """
    with contextlib.ExitStack() as stack:
        for home in {id(home): home for home in map(sys.modules.get, _HOMES) if home is not None}.values():
            inside = _Inside()
            for name, variant in INNER.items():
                if callable(inner := getattr(home, name, None)):
                    setattr(home, name, _answered(inner, variant, attend, inside))
                    stack.callback(setattr, home, name, inner)
        yield


@dataclass
class _Inside:
    """Whether xformers itself is running: the calls it then makes are not the user's."""

    busy: bool = False


def _answered(inner: Any, variant: str, attend: Callable[[Call, Operator], Any], inside: _Inside) -> Any:
    def run(given: Any, op: Any) -> Any:
        before, inside.busy = inside.busy, True
        try:
            return inner(given, op)
        finally:
            inside.busy = before

    def answer(inp: Any, op: Any = None) -> Any:
        if inside.busy:
            return inner(inp, op)

        def original(*args: Any, **kwargs: Any) -> Any:
            call = Call.of(variant, *args, **kwargs)
            fields = {name: getattr(call, name) for name in NAMES}
            result = run(replace(inp, **fields), call.op)
            return (result[0], result[1].lse) if call.gives_lse and hasattr(result[1], "lse") else result

        fields = {name: getattr(inp, name) for name in NAMES}
        given = variant if not getattr(inp, "is_partial", False) else PARTIAL
        result = attend(Call(given, op=op, output_dtype=getattr(inp, "output_dtype", None), **fields), original)
        return (result[0], _Context(result[1])) if variant == WITH_LSE else result

    return answer


@dataclass
class _Context:
    """The second result of xformers' inner function, with the one field that the public functions read."""

    lse: Tensor
