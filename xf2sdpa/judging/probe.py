"""A call site made runnable: its old and its new expression as functions of the same atoms.

An *atom* is the largest part of an argument that the old and the new expression share. The program evaluates it once,
in its place and order (without a program, `verify` makes up its value). The rest of both sides has no side effects.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Operator = Callable[..., Any]
"""xformers' `memory_efficient_attention`, a variant of it, or a replacement with the same signature."""


@dataclass(frozen=True)
class Probe:
    """The two sides of a site.

    Attributes:
        site: id of the site.
        old: `old(operator, *atoms)`: the old expression with its operator as a parameter, so that the same
            expression can be run by xformers, by one pinned kernel of it, or by the float64 judge.
        new: `new(*atoms)`: the emitted expression itself.
        operator: what the old expression calls.
        strides_matter: whether the program needs a contiguous result (False where the rewrite turned every `.view`
            behind the call into `.reshape`).
        roles: one per atom: the parameter it belongs to (`query`, …, `p`); `*` or `**` for an unpacked tuple or dict;
            else empty, or a parameter that only the new side has. Dropout's `p` is always an atom of its own, even if
            it is a constant.
    """

    site: str
    old: Callable[..., Any]
    new: Callable[..., Any]
    operator: Operator
    strides_matter: bool = True
    roles: tuple[str, ...] = ()
    is_refused: Callable[..., bool] | None = None
    """`is_refused(*atoms)`: whether the new text refuses these by a check of what the rewrite assumed never to come, so
    that it is no difference. None where a program passes the atoms: there it is one."""
