"""What the walk carries along: the variables at a point, the function it is in, what it saw at each site."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from xf2sdpa.analysis.evidence import Path
from xf2sdpa.analysis.values import Rank, Value


@dataclass
class SiteFacts:
    """What the walk saw at one call site, over all the ways that lead there."""

    path: Path
    order: int
    arguments: dict[str, Value]
    result: Rank


@dataclass
class Environment:
    """The variables at one point, and the sites that have run on the way."""

    variables: dict[str, Value] = field(default_factory=dict)
    done: frozenset[int] = frozenset()
    autocast_is_off: bool = False
    """Inside `with torch.autocast("cuda", enabled=False)`."""

    def copy(self) -> Environment:
        """An environment that can go its own way."""
        return Environment(dict(self.variables), self.done, self.autocast_is_off)


@dataclass
class Frame:
    """One function being walked."""

    node: ast.AST
    owner: ast.ClassDef | None
    primary: bool
    is_sealed: bool = False
    """Whether `self` is of exactly the class `owner`."""
    given: frozenset[str] = frozenset()
    """What must hold for the function to be the one that is called."""
    returned: list[Value] = field(default_factory=list)
    left_loop: list[Environment] = field(default_factory=list)
