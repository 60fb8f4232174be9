"""A value of a dimension."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Option:
    """A value of a dimension.

    `blocks`: no program with it can be proved in this version. `hard`: it may be left, and if it is migrated,
    it must be right.
    """

    name: str
    blocks: bool = field(default=False, kw_only=True)
    hard: bool = field(default=False, kw_only=True)
