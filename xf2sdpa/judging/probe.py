"""One site made runnable: its old and its new expression as functions of the same atoms.

An *atom* is the largest part of an argument that old and new share; it is evaluated once, in place and in order, by
the program (or made up, where there is no program). What is left of both sides has no effect but computing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Operator = Callable[..., Any]
"""xformers' `memory_efficient_attention`, a variant of it, or something that stands in for it."""


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
        roles: one per atom: the parameter it belongs to (`query`, …, `p`); `*` and `**` for what was unpacked (a
            tuple, a dict); empty, or a parameter of the new side alone, for anything else. Dropout's `p` is always an
            atom of its own, a constant too.
    """

    site: str
    old: Callable[..., Any]
    new: Callable[..., Any]
    operator: Operator
    strides_matter: bool = True
    roles: tuple[str, ...] = ()
