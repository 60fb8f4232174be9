"""The state of the walk: the variables at a point, the functions it is in, what it saw at each call site."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from xf2sdpa.analysis.evidence import Path
from xf2sdpa.analysis.values import Rank, Value


@dataclass
class SiteFacts:
    """What the walk saw at one call site, joined over all paths that lead there.

    Attributes:
        path: the blocks and arms around the site.
        order: the evidence book's clock when the walk was last at the site.
        arguments: the values of the arguments, by parameter.
        result: the rank of the call's result.
    """

    path: Path
    order: int
    arguments: dict[str, Value]
    result: Rank


@dataclass
class Environment:
    """The variables at one point, and the call sites executed before it (`done`, by `id` of the call)."""

    variables: dict[str, Value] = field(default_factory=dict)
    done: frozenset[int] = frozenset()
    autocast_is_off: bool = False
    """Inside `with torch.autocast("cuda", enabled=False)`."""

    def copy(self) -> Environment:
        """A copy whose variables can change independently."""
        return Environment(dict(self.variables), self.done, self.autocast_is_off)


@dataclass
class Frame:
    """One function being walked; call sites in it are recorded only if it is `primary`."""

    node: ast.AST
    owner: ast.ClassDef | None
    primary: bool
    is_sealed: bool = False
    """Whether `self` is of exactly the class `owner`."""
    given: frozenset[str] = frozenset()
    """The assumptions under which this function is the one that is called."""
    handed: frozenset[int] = frozenset()
    """The lists that it is given, by `id`: others may hold them too."""
    returned: list[Value] = field(default_factory=list)
    """The value of each `return` so far."""
    left_loop: list[Environment] = field(default_factory=list)
    """The environments at the `continue` statements so far."""
    broken_off: list[Environment] = field(default_factory=list)
    """The environments at the `break` statements so far."""
